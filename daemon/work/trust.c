// Whether the thread that turns the loop may run instant work: see trust.h.
//
// After each take-over there is a pause for everybody, which grows with each take-over that follows soon: so a slow
// disk costs a pause now and then only.  Work that hangs is another matter: its lane (its user) may be able to make
// the next one hang too, and gets no instant work for some minutes.
//
// Between the two there is work that is slow, and not so slow that the loop is taken over.  A user can make their own
// work slow: making files on ext4 became slow after thousands of files had been removed.  So a lane whose work was slow
// has a pause of its own, which grows as the one for everybody.
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

static uint64_t next_pause(uint64_t last, uint64_t since_last)
{
    return since_last > SOON_MS ? PAUSE_MS : u64_min(2 * last, MOST_PAUSE_MS);
}

void trust_note_take_over(struct trust *t, uint64_t now)
{
    t->pause_ms = next_pause(t->pause_ms, now - t->taken_over_at);
    t->taken_over_at = now;
    t->until = now + t->pause_ms;
}

void trust_note_slow(struct trust *t, uint64_t lane, uint64_t now)
{
    unsigned i = 0, oldest = 0;

    for (; i < TRUST_SLOW_LANES && (t->slow[i].lane != lane || t->slow[i].until == 0); i++)
        if (t->slow[i].until < t->slow[oldest].until)
            oldest = i;
    if (i == TRUST_SLOW_LANES) {
        i = oldest;
        t->slow[i].noted_at = 0;
    }
    t->slow[i].pause_ms =
        t->slow[i].noted_at == 0 ? PAUSE_MS : next_pause(t->slow[i].pause_ms, now - t->slow[i].noted_at);
    t->slow[i].lane = lane;
    t->slow[i].noted_at = now;
    t->slow[i].until = now + t->slow[i].pause_ms;
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
    for (unsigned i = 0; i < TRUST_SLOW_LANES; i++)
        if (t->slow[i].lane == lane && now < t->slow[i].until)
            return false;
    return true;
}
