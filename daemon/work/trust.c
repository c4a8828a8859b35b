// Whether the thread that turns the loop may run instant work: see trust.h.
//
// After each take-over there is a pause for everybody, which grows with each take-over that follows soon: so a slow
// disk costs a pause now and then only.  Work that hangs is another matter: its lane (its user) may be able to make
// the next one hang too, and gets no instant work for some minutes.
#include "daemon/work/trust.h"

#include "proto/util/checked.h"

enum {
    PAUSE_MS = 4, // after a take-over; twice as long after a take-over that follows soon
    MOST_PAUSE_MS = 256,
    SOON_MS = 1000,
    LANE_MS = 10 * 60 * 1000,
};

void trust_init(struct trust *t)
{
    *t = (struct trust){.pause_ms = PAUSE_MS};
}

void trust_note_take_over(struct trust *t, uint64_t now)
{
    uint64_t twice = 2 * t->pause_ms;

    t->pause_ms = now - t->taken_over_at > SOON_MS ? PAUSE_MS : u64_min(twice, MOST_PAUSE_MS);
    t->taken_over_at = now;
    t->until = now + t->pause_ms;
}

void trust_note_hung(struct trust *t, uint64_t lane, uint64_t now)
{
    unsigned oldest = 0;

    for (unsigned i = 1; i < TRUST_LANES; i++)
        if (t->lanes[i].until < t->lanes[oldest].until)
            oldest = i;
    t->lanes[oldest].lane = lane;
    t->lanes[oldest].until = now + LANE_MS;
}

bool trust_allows(const struct trust *t, uint64_t lane, uint64_t now)
{
    if (now < t->until)
        return false;
    for (unsigned i = 0; i < TRUST_LANES; i++)
        if (t->lanes[i].lane == lane && now < t->lanes[i].until)
            return false;
    return true;
}
