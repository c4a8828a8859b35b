// Following a program that fills memory which it got in one piece.
//
// A vector that is pushed tells the library how far it has come (prefetch.c).  A program that has reserved much, or
// has resized a region, stores wherever it likes, on as many threads as it likes, and tells nobody.  But the kernel's
// page table tells which pages this process has touched (touched.c), as far as nobody else has made them.  So:
//
//   - A *front* is a place at which units of 2 MiB (one entry of the page table) are touched one after the other,
//     upwards.  Ahead of it, units are made, but each eighth one is *left out*.  The program makes that one itself, by
//     touching it, and so shows that it has got there: then the front moves on.
//   - A front begins as a *candidate*: a unit that is not touched, behind one that is.  It has to move in two looks,
//     and have three untouched units ahead.  Then three units are made ahead, and each time it moves, twice as many, as
//     far as 16 units (32 MiB) beyond the next one that is left out.  A program that overtakes its front is followed to
//     where it is, makes the unit there itself, and the thread the next one: so both work.
//   - The first candidate is the beginning of the memory.  For other threads, 256 places, or one in each 16 MiB, are
//     looked at in turn.  A place that has been touched leads to the end of the touched units behind it.
//
// Bounds.
//   - All fronts of a region together have no more than 32 units (64 MiB) made ahead, whatever happens to them, and up
//     to seven more where one meets another.  A front at which nothing moves keeps its share until the program comes
//     there.  So a program that touches memory at random costs so much at most, and mostly nothing, as its units have
//     no touched neighbours.
//   - Looks become rarer while nothing moves, an eighth of the time since something did, from 1 ms to 1 s; after a
//     minute they end.
//
//   - Where as many fronts move as there are processors, the library's thread would only take turns with the program's:
//     then nothing is made, and looks are rare.
//
// Not followed: filling downwards, and strides of more than a unit.  Memory that is only read in order, without ever
// having been written, is taken for memory that is being filled.
//
// Nothing in this file calls the kernel.
#include "client/memory/fronts.h"

#include <stddef.h>
#include <string.h>

#include "proto/util/checked.h"

enum {
    FIRST_WINDOW = 4,
    MOVES = 2, // of a candidate
    SAMPLES_A_LOOK = 16,
    SAMPLE_DISTANCE = 8, // units, at least
    LOOK_US = 1000,
    IDLE_SHARE = 8,
    LONGEST_PAUSE_MS = 1000,
    OLD_US = 50 * 1000, // what has not moved for this long stands still
    RARE_PAUSE_MS = 10,
};
#define ENOUGH_IDLE_US ((uint64_t)60 * 1000 * 1000)

static uint64_t sample_distance(const struct fronts *f)
{
    return u64_max(SAMPLE_DISTANCE, (f->to - f->from + FRONTS_SAMPLES - 1) / FRONTS_SAMPLES);
}

static bool is_seen(const struct fronts *f, uint64_t sample)
{
    return f->seen[sample / 64] >> sample % 64 & 1;
}

static void note_seen(struct fronts *f, uint64_t from, uint64_t to)
{
    uint64_t distance = sample_distance(f), i = (u64_max(from, f->from) - f->from + distance - 1) / distance;

    for (; i < FRONTS_SAMPLES && f->from + i * distance < to; i++)
        f->seen[i / 64] |= UINT64_C(1) << i % 64;
}

static uint64_t count_ahead(const struct front *x)
{
    uint64_t units = x->window > 0 && x->next > x->at ? x->next - x->at : 0;

    return x->behind + units - (units + FRONTS_GAP - 1) / FRONTS_GAP;
}

uint64_t fronts_count_ahead(const struct fronts *f)
{
    uint64_t sum = f->lost;

    for (unsigned i = 0; i < f->n; i++)
        sum += count_ahead(&f->items[i]);
    return sum;
}

// MADE: units that stay ahead of the program.
static void drop(struct fronts *f, unsigned i, uint64_t made)
{
    f->lost += (unsigned)made;
    f->items[i] = f->items[--f->n];
}

// The first unit from UNIT on that is not touched, LIMIT at most, if the touched ones are a run.
static uint64_t find_end(const struct fronts_eyes *e, uint64_t unit, uint64_t limit)
{
    uint64_t step = 1, touched = unit;

    if (unit >= limit || !e->is_touched(e->data, unit))
        return unit;
    while (touched + step < limit && e->is_touched(e->data, touched + step)) {
        touched += step;
        step *= 2;
    }
    // The end is behind touched, and not behind the other one.
    for (uint64_t other = u64_min(touched + step, limit); touched + 1 < other;) {
        uint64_t middle = touched + (other - touched) / 2;

        if (e->is_touched(e->data, middle))
            touched = middle;
        else
            limit = other = middle;
    }
    return touched + 1;
}

// An item other than SELF that is at one of the units from FROM to LAST, or has made one; to a front, only another
// front counts.  NULL: none.
static const struct front *find_other(const struct fronts *f, uint64_t from, uint64_t last, const struct front *self)
{
    for (unsigned i = 0; i < f->n; i++) {
        const struct front *x = &f->items[i];

        if (x != self && (!self || self->window == 0 || x->window > 0) && x->at <= last && x->next > from)
            return x;
    }
    return NULL;
}

static void become_candidate(struct front *x, uint64_t at)
{
    x->at = at;
    x->next = at + 1;
    x->window = 0;
    x->n_moves = 0;
}

static unsigned oldest_candidate(const struct fronts *f)
{
    unsigned oldest = FRONTS_MOST;

    for (unsigned i = 0; i < f->n; i++)
        if (f->items[i].window == 0 && f->items[i].behind == 0 &&
            (oldest == FRONTS_MOST || f->items[i].moved_us < f->items[oldest].moved_us))
            oldest = i;
    return oldest;
}

// False: there is no room.
static bool add_candidate(struct fronts *f, uint64_t at, uint64_t now)
{
    unsigned i = f->n;

    if (f->n == FRONTS_MOST) {
        i = oldest_candidate(f);
        if (i == FRONTS_MOST || now - f->items[i].moved_us < OLD_US)
            return false;
    } else {
        f->n++;
    }
    f->items[i] = (struct front){.moved_us = now};
    become_candidate(&f->items[i], at);
    return true;
}

void fronts_begin(struct fronts *f, uint64_t from, uint64_t to, uint64_t now_us)
{
    from = (from + FRONTS_UNIT - 1) / FRONTS_UNIT;
    to /= FRONTS_UNIT;
    if (from >= to)
        return;
    if (f->from >= f->to)
        *f = (struct fronts){.from = from, .to = to};
    f->from = u64_min(f->from, from);
    f->to = u64_max(f->to, to);
    f->moved_us = now_us;
    f->lost = 0;
    memset(f->seen, 0, sizeof f->seen);
    if (!find_other(f, from, from, NULL))
        add_candidate(f, from, now_us);
}

// What was made behind TO is gone.
void fronts_cut(struct fronts *f, uint64_t to)
{
    f->to = u64_min(f->to, to / FRONTS_UNIT);
    if (f->from >= f->to)
        *f = (struct fronts){0};
    for (unsigned i = f->n; i-- > 0;) {
        f->items[i].next = u64_min(f->items[i].next, f->to);
        if (f->items[i].at >= f->to)
            f->items[i] = f->items[--f->n];
    }
}

static void note_move(struct fronts *f, struct front *x, uint64_t from, uint64_t now)
{
    x->moved_us = f->moved_us = now;
    note_seen(f, from, u64_max(x->next, x->at));
}

// ---- A candidate ----

static bool is_untouched_ahead(const struct fronts *f, const struct front *x, const struct fronts_eyes *e)
{
    for (uint64_t unit = x->at + 1; unit < f->to && unit < x->at + FIRST_WINDOW; unit++)
        if (e->is_touched(e->data, unit))
            return false;
    return true;
}

// False: it is none any more.
static bool look_at_candidate(struct fronts *f, struct front *x, uint64_t now, const struct fronts_eyes *e)
{
    uint64_t from = x->at, end = find_end(e, from, f->to);

    // The program goes on while it is looked at.
    if (end >= f->to || find_other(f, from, end, x)) {
        note_seen(f, from, end);
        return false;
    }
    if (end == from)
        return true;
    x->at = end;
    x->next = end + 1;
    x->behind = 0;
    x->n_moves++;
    note_move(f, x, from, now);
    if (x->n_moves >= MOVES && is_untouched_ahead(f, x, e))
        x->window = FIRST_WINDOW;
    return true;
}

// ---- A front ----

// The program is not where it was expected.  A run that is much longer than what the program can have filled meanwhile
// is another thread's: there the front has to show anew that it moves.
static void move_to(struct fronts *f, struct front *x, uint64_t end, uint64_t now)
{
    uint64_t from = x->at;

    if (end > from + (uint64_t)2 * FRONTS_WINDOW)
        become_candidate(x, end);
    x->at = end;
    x->next = end + 1;
    note_move(f, x, from, now);
}

// False: it has come to the end of the memory, or to another front.  The program is about to touch what was made before
// such a place.
static bool follow(struct fronts *f, struct front *x, uint64_t now, const struct fronts_eyes *e)
{
    uint64_t from = x->at;
    const struct front *other;

    while (x->at < x->next && e->is_touched(e->data, x->at)) {
        x->behind = (unsigned)u64_min(x->next - x->at, FRONTS_GAP) - 1;
        x->at += FRONTS_GAP;
    }
    if (x->at == from)
        return true;
    x->window = u64_min(x->window * 2, FRONTS_WINDOW);
    if (x->at >= x->next)
        move_to(f, x, find_end(e, x->next, f->to), now);
    else
        note_move(f, x, from, now);
    other = find_other(f, x->at, x->at, x);
    return x->at < f->to && (!other || (other->at == x->at && x->next > x->at + 1));
}

// The next unit to make ahead of X.  False: there is none now.  A unit that is touched already, although the program
// has not got there, is another thread's: the front ends before it.  Behind each unit that is made, one is left out,
// which tells that the program has come there.
static bool find_unit(struct fronts *f, struct front *x, const struct fronts_eyes *e, uint64_t *ret)
{
    uint64_t unit = x->next + ((x->next - x->at) % FRONTS_GAP == 0);

    if (unit >= x->at + x->window || unit + 1 >= f->to || e->is_touched(e->data, unit))
        return false;
    *ret = unit;
    x->next = unit + 1;
    return true;
}

// ---- All of them ----

// The sample has been touched: that may be the trail of a thread that nobody knows.
static void look_for_front(struct fronts *f, uint64_t sample, uint64_t now, const struct fronts_eyes *e)
{
    uint64_t distance = sample_distance(f), unit = f->from + sample * distance;
    uint64_t end = find_end(e, unit, u64_min(unit + distance, f->to));
    bool is_news = end > unit && end < f->to && end < unit + distance && !find_other(f, unit, end, NULL);

    if (end > unit && (!is_news || add_candidate(f, end, now)))
        note_seen(f, unit, unit + 1);
}

static void take_samples(struct fronts *f, uint64_t now, const struct fronts_eyes *e)
{
    uint64_t n = (f->to - f->from + sample_distance(f) - 1) / sample_distance(f);

    for (unsigned k = 0; k < SAMPLES_A_LOOK && k < n; k++) {
        f->sample = f->sample + 1 < n ? f->sample + 1 : 0;
        if (!is_seen(f, f->sample))
            look_for_front(f, f->sample, now, e);
    }
    f->sampled_us = now;
}

static bool is_busy(const struct fronts *f, uint64_t now, unsigned n_processors)
{
    unsigned n_moving = 0;

    for (unsigned i = 0; i < f->n; i++)
        n_moving += f->items[i].n_moves > 0 && now - f->items[i].moved_us < OLD_US;
    return n_moving >= n_processors;
}

static struct fronts_step wait_for(const struct fronts *f, uint64_t now, bool busy)
{
    uint64_t idle = now - f->moved_us, pause = idle / IDLE_SHARE / 1000;

    if (idle >= ENOUGH_IDLE_US)
        return (struct fronts_step){.advice = FRONTS_OVER};
    pause = u64_min(u64_max(pause, busy ? RARE_PAUSE_MS : 1), LONGEST_PAUSE_MS);
    return (struct fronts_step){.advice = FRONTS_WAIT, .pause_ms = (unsigned)pause};
}

static bool all_is_seen(const struct fronts *f)
{
    uint64_t n = (f->to - f->from + sample_distance(f) - 1) / sample_distance(f);

    for (uint64_t i = 0; i < n; i++)
        if (!is_seen(f, i))
            return false;
    return true;
}

// The fronts first: candidates and samples are compared with the places where these are now.
static void look_at_all(struct fronts *f, uint64_t now, const struct fronts_eyes *e)
{
    for (unsigned i = f->n; i-- > 0;)
        if (f->items[i].window > 0 && !follow(f, &f->items[i], now, e))
            drop(f, i, 0);
    for (unsigned i = f->n; i-- > 0;)
        if (f->items[i].window == 0 && !look_at_candidate(f, &f->items[i], now, e))
            drop(f, i, 0);
    if (now - f->sampled_us >= LOOK_US)
        take_samples(f, now, e);
}

// The fronts take turns.
static bool find_any_unit(struct fronts *f, const struct fronts_eyes *e, uint64_t *ret)
{
    for (unsigned n = f->n; n > 0; n--) {
        struct front *x = &f->items[f->turn++ % f->n];

        if (x->window > 0 && find_unit(f, x, e, ret))
            return true;
    }
    return false;
}

struct fronts_step fronts_step(struct fronts *f, uint64_t now_us, const struct fronts_limits *limits,
                               const struct fronts_eyes *eyes)
{
    uint64_t unit;
    bool busy;

    if (f->from >= f->to)
        return (struct fronts_step){.advice = FRONTS_OVER};
    look_at_all(f, now_us, eyes);
    busy = is_busy(f, now_us, limits->n_processors);
    if (!busy && fronts_count_ahead(f) < limits->most && find_any_unit(f, eyes, &unit))
        return (struct fronts_step){.advice = FRONTS_MAKE, .unit = unit};
    if (f->n == 0 && all_is_seen(f)) {
        f->to = f->from;
        return (struct fronts_step){.advice = FRONTS_OVER};
    }
    return wait_for(f, now_us, busy);
}

static unsigned front_that_made(const struct fronts *f, uint64_t unit)
{
    unsigned i = 0;

    while (i < f->n && (f->items[i].window == 0 || f->items[i].next != unit + 1))
        i++;
    return i;
}

void fronts_put_off(struct fronts *f, uint64_t unit)
{
    unsigned i = front_that_made(f, unit);

    if (i < f->n)
        f->items[i].next = unit;
}

void fronts_give_up(struct fronts *f, uint64_t unit)
{
    unsigned i = front_that_made(f, unit);

    if (i < f->n)
        drop(f, i, count_ahead(&f->items[i]));
}
