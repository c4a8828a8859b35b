// Whether the thread that turns the loop may run instant work: see trust.h.
//
// After each take-over there is a pause for everybody, which grows with each take-over that follows soon: so a slow
// disk costs a pause now and then only.  Work that hangs is another matter: its lane (its user) may be able to make
// the next one hang too, and gets no instant work for some minutes.
//
// Between the two there is work that is slow, and not so slow that the loop is taken over.  A user can make their own
// work slow: making files on ext4 became slow after thousands of files had been removed.  So a lane whose work was slow
// has a pause of its own, which grows as the one for everybody.  So has a lane with several pieces in a row for which
// others would wait too long.
#include "daemon/work/trust.h"

#include "proto/util/checked.h"

enum {
    PAUSE_MS = 4, // after a take-over; twice as long after a take-over that follows soon
    MOST_PAUSE_MS = 256,
    SOON_MS = 1000,
    LANE_MS = 10 * 60 * 1000,
    SLOW_US = 500,   // a piece of instant work that takes longer is slow
    LONG_US = 120,   // and one that takes longer than this is long, if others have instant work as well
    COMPANY_MS = 50, // since they had some
    MOST_LONG = 2,   // pieces in a row: a single one may be long for any reason
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

// The place of LANE among the slow ones; TRUST_SLOW_LANES: it has none.
static unsigned find(const struct trust *t, uint64_t lane)
{
    unsigned i = 0;

    while (i < TRUST_SLOW_LANES && (t->slow[i].lane != lane || !t->slow[i].in_use))
        i++;
    return i;
}

static unsigned find_or_make(struct trust *t, uint64_t lane)
{
    unsigned i = find(t, lane), oldest = 0;

    if (i < TRUST_SLOW_LANES)
        return i;
    for (i = 1; i < TRUST_SLOW_LANES && t->slow[oldest].in_use; i++)
        if (!t->slow[i].in_use || t->slow[i].matters_until < t->slow[oldest].matters_until)
            oldest = i;
    t->slow[oldest] = (struct trust_slow){.lane = lane, .in_use = true};
    return oldest;
}

static void pause_lane(struct trust_slow *s, uint64_t now)
{
    s->pause_ms = s->noted_at == 0 ? PAUSE_MS : next_pause(s->pause_ms, now - s->noted_at);
    s->noted_at = now;
    s->until = s->matters_until = now + s->pause_ms;
    s->n_long = 0;
}

void trust_note_slow(struct trust *t, uint64_t lane, uint64_t now)
{
    pause_lane(&t->slow[find_or_make(t, lane)], now);
}

void trust_note_length(struct trust *t, uint64_t lane, bool is_long, uint64_t now)
{
    unsigned i = is_long ? find_or_make(t, lane) : find(t, lane);

    if (i == TRUST_SLOW_LANES)
        return;
    t->slow[i].n_long = is_long ? t->slow[i].n_long + 1 : 0;
    t->slow[i].matters_until = u64_max(t->slow[i].matters_until, is_long ? now : 0);
    if (t->slow[i].n_long == MOST_LONG)
        pause_lane(&t->slow[i], now);
}

void trust_note_offer(struct trust *t, uint64_t lane, uint64_t now)
{
    if (lane != t->last_lane)
        t->company_at = now;
    t->last_lane = lane;
}

void trust_begin(struct trust *t)
{
    t->use = proc_thread_use();
}

// How many of the US microseconds that the present piece of work has taken are its own doing.  What other threads had
// of them is not.
static uint64_t own_us(struct trust *t, uint64_t us)
{
    const struct proc_thread_use before = t->use;

    if (us < LONG_US)
        return us;
    t->use = proc_thread_use();
    return t->use.n_preemptions == before.n_preemptions ? us : u64_min(us, t->use.cpu_us - before.cpu_us);
}

void trust_judge(struct trust *t, uint64_t lane, uint64_t us, uint64_t now)
{
    const bool has_company = t->company_at && now - t->company_at < COMPANY_MS;
    const uint64_t own = own_us(t, us);

    if (own >= SLOW_US)
        trust_note_slow(t, lane, now);
    else
        trust_note_length(t, lane, has_company && own >= LONG_US, now);
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
