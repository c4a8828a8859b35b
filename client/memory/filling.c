// Making pages ahead where nobody tells how far the program has come: after name_reserve, name_append_uninit and
// name_resize, in new regions, and in what a region was grown by.
//
// client/memory/fronts.c tells from the units that the program has touched (touched.c) where it is filling, and which
// unit to make next.  Here this is done, on the client's thread: a unit is one piece of the task, and where nothing is
// to be made the task pauses, as long as fronts.c says.
//
//   - Nothing is made while memory is short (pressure.c).  In a control group, all that is ahead in one region is a
//     sixteenth of the group at most.
//   - Nothing is made in ranges with the advice RANDOM, or beyond the size.
//   - A page that can't be made, because access was taken away or the disk is full after all, ends its front.  It is
//     made when it is touched.  The kernel reports that as an error, and never as SIGBUS.
//   - A region that shrinks, and a part that is discarded, must not get pages meanwhile: filling_halt.
//   - A vector that is pushed beyond what was reserved tells where it is, and prefetch.c goes on: filling_end.
//
// Measured, see diskalloc-performance(7).
//
// Locks: the lock is held for moments, also by the client's thread, and not while a unit is made.  Under it only the
// lock of the background is taken.
#include "client/memory/filling.h"

#include <stddef.h>
#include <sys/mman.h>

#include "client/memory/mapping.h"
#include "client/memory/prefetch.h"
#include "client/memory/touched.h"
#include "proto/util/checked.h"
#include "proto/util/clock.h"
#include "proto/util/container.h"

#define MIB ((uint64_t)1 << 20)
#define SMALLEST (16 * MIB) // for less, a thread costs more than it saves

enum { LOOK_AGAIN_US = 100 * 1000, GROUP_SHARE = 16 };

struct eyes {
    struct touched touched;
    const char *base;
};

static bool is_touched(void *data, uint64_t unit)
{
    const struct eyes *e = data;

    return touched_look(&e->touched, e->base + unit * FRONTS_UNIT);
}

static bool is_random(const struct filling *f, uint64_t unit)
{
    return f->random_everywhere || ranges_overlap(&f->random, unit * FRONTS_UNIT, FRONTS_UNIT) > 0;
}

// Called with the lock held.
static struct fronts_step take_step(struct filling *f, struct eyes *eyes)
{
    const struct fronts_eyes e = {.is_touched = is_touched, .data = eyes};
    struct fronts_step step;

    if (f->n_halts > 0)
        return (struct fronts_step){.advice = FRONTS_OVER};
    do {
        step = fronts_step(&f->fronts, clock_now_us(), &f->limits, &e);
        if (step.advice != FRONTS_MAKE || !is_random(f, step.unit))
            break;
        fronts_give_up(&f->fronts, step.unit);
    } while (true);
    f->active = step.advice != FRONTS_OVER;
    return step;
}

// A fork waits until the descriptor is closed again.
static struct fronts_step look(struct filling *f)
{
    struct fronts_step step = {.advice = FRONTS_OVER};
    struct eyes eyes = {.base = f->mapping->base};

    background_begin_whole(f->background);
    if (touched_open(&eyes.touched)) {
        f->limits.n_processors = background_processors();
        pthread_mutex_lock(&f->lock);
        step = take_step(f, &eyes);
        pthread_mutex_unlock(&f->lock);
        touched_close(&eyes.touched);
    }
    background_end_whole(f->background);
    return step;
}

// Units that may be made ahead, now that one is about to be made.
static void look_at_pressure(struct filling *f)
{
    uint64_t now = clock_now_us();
    struct pressure_state state;

    if (f->looked_us > 0 && f->n_since < FRONTS_WINDOW && now - f->looked_us < LOOK_AGAIN_US)
        return;
    pressure_look(&f->pressure, &state);
    f->looked_us = now;
    f->n_since = 0;
    f->limits.most = pressure_is_high(&f->pressure, &state) ? 0 : FRONTS_AHEAD;
    if (f->pressure.group)
        f->limits.most = u64_min(f->limits.most, state.most / GROUP_SHARE / FRONTS_UNIT);
}

static void settle(struct filling *f, uint64_t unit, void (*how)(struct fronts *fronts, uint64_t unit))
{
    pthread_mutex_lock(&f->lock);
    how(&f->fronts, unit);
    pthread_mutex_unlock(&f->lock);
}

static void make(struct filling *f, uint64_t unit)
{
    look_at_pressure(f);
    if (f->limits.most == 0) {
        settle(f, unit, fronts_put_off);
    } else if (mapping_populate(f->mapping, unit * FRONTS_UNIT, (unit + 1) * FRONTS_UNIT) < 0) {
        settle(f, unit, fronts_give_up);
    } else {
        f->n_made++;
        f->n_since++;
    }
}

static enum background_result run(struct background_task *t)
{
    struct filling *f = container_of(t, struct filling, task);
    struct fronts_step step;

    // An old answer must not keep the task from asking again.
    if (f->limits.most == 0 && clock_now_us() - f->looked_us >= LOOK_AGAIN_US)
        f->limits.most = 1;
    step = look(f);
    if (step.advice == FRONTS_OVER)
        return BACKGROUND_DONE;
    if (step.advice == FRONTS_MAKE) {
        make(f, step.unit);
        return BACKGROUND_MORE;
    }
    f->task.pause_ms = step.pause_ms;
    return BACKGROUND_LATER;
}

void filling_init(struct filling *f, struct background *background, const struct mapping *mapping)
{
    *f = (struct filling){
        .task.run = run,
        .background = background,
        .mapping = mapping,
        .off = !prefetch_is_possible(),
        .limits.most = FRONTS_AHEAD,
    };
    pthread_mutex_init(&f->lock, NULL);
    pressure_init(&f->pressure, NULL);
}

void filling_deinit(struct filling *f)
{
    if (f->background)
        background_cancel(f->background, &f->task);
    pressure_deinit(&f->pressure);
    ranges_deinit(&f->random);
    pthread_mutex_destroy(&f->lock);
}

void filling_begin(struct filling *f, uint64_t from, uint64_t to)
{
    if (f->off || !f->background || to < from + SMALLEST || !background_start(f->background))
        return;
    pthread_mutex_lock(&f->lock);
    fronts_begin(&f->fronts, from, to, clock_now_us());
    f->active = true;
    if (f->n_halts == 0)
        background_submit(f->background, &f->task);
    pthread_mutex_unlock(&f->lock);
}

void filling_end(struct filling *f)
{
    if (!f->active)
        return;
    pthread_mutex_lock(&f->lock);
    fronts_cut(&f->fronts, 0);
    f->active = false;
    pthread_mutex_unlock(&f->lock);
}

void filling_halt(struct filling *f)
{
    if (!f->background)
        return;
    pthread_mutex_lock(&f->lock);
    f->n_halts++;
    pthread_mutex_unlock(&f->lock);
    background_cancel(f->background, &f->task);
}

void filling_go_on(struct filling *f, uint64_t size)
{
    if (!f->background)
        return;
    pthread_mutex_lock(&f->lock);
    f->n_halts--;
    fronts_cut(&f->fronts, size);
    if (f->active && f->n_halts == 0)
        background_submit(f->background, &f->task);
    pthread_mutex_unlock(&f->lock);
}

void filling_note_advice(struct filling *f, uint64_t from, uint64_t to, int advice)
{
    int r = 0;

    if (f->off || !f->background || from >= to)
        return;
    pthread_mutex_lock(&f->lock);
    if (advice == MADV_RANDOM)
        r = ranges_add(&f->random, from, to - from);
    else if (advice == MADV_NORMAL || advice == MADV_SEQUENTIAL)
        r = ranges_remove(&f->random, from, to - from);
    if (r < 0)
        f->random_everywhere = true;
    else if (f->random.n == 0)
        f->random_everywhere = false;
    pthread_mutex_unlock(&f->lock);
}

// The parent's threads may have been changing what the struct owns.
void filling_forked(struct filling *f)
{
    f->background = NULL;
    f->active = false;
    f->random = (struct ranges){0};
    pressure_init(&f->pressure, NULL);
    pthread_mutex_init(&f->lock, NULL);
}
