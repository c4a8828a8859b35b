// The thread that turns the event loop also runs instant work.
//
// A small grow takes the disk some microseconds.  Handing it to a worker and back costs two wake-ups of threads, which take
// longer.  So the turner, the thread that turns the loop, runs instant work itself, between two turns, when it is inside no
// callback.  But a file system may hang.  A second thread stands by: while instant work runs, it looks every millisecond, and
// if the same piece of work is still running at the second look, it takes the loop over and turns it from there.  The late
// thread finds the loop taken when its work returns; it hands the work in as a worker does, and stands by from then on.
//
// At every moment at most one thread is inside the event loop and its callbacks.  The loop stands still for some two
// milliseconds at most, however long the disk hangs.  While nobody stands by, and for a while after a take-over, instant
// work goes to the workers; that while grows with each take-over, so that a slow disk costs a pause now and then only.
//
// `turn` decides who owns the loop: it is odd while the turner runs work.  Whichever thread moves it on to the next even
// number owns the loop: the turner, when the work is done, or the thread that stands by.  The lock guards the ends and the
// sleep only, and no other lock is taken under it.  When the daemon is idle, the thread that stands by sleeps.
//
// Without instant work and the second thread a grow of 1 MiB takes 49.5 us instead of 32.7 us (46.0 instead of 21.1 with
// one CPU; 1000 busy clients: 136 instead of 47 us in the median, 1211 instead of 250 at the 99th percentile).
//
// This file relies on run() touching nothing that the loop touches, as on a worker.  It does not decide what is instant (the
// types of operations do), and counts no shares: instant work takes no longer than a callback.
#include "daemon/work/loop.h"

#include <errno.h>
#include <event2/event.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdlib.h>
#include <time.h>

#include "daemon/work/worker.h"
#include "proto/util/checked.h"
#include "proto/util/clock.h"
#include "proto/util/thread.h"

enum {
    LOOK_NS = 1000 * 1000,
    LOOKS_BEFORE_SLEEP = 100, // looks that saw no work, before the thread that stands by goes to sleep
    DISTRUST_MS = 4,          // after a take-over; twice as long after a take-over that follows soon
    MOST_DISTRUST_MS = 256,
    SOON_MS = 1000,
    ROUNDS_A_TURN = 8, // calls of serve, before events have their turn
    MOST_A_ROUND = 16, // pieces of instant work
};

struct loop {
    struct event_base *base;
    struct worker_pool *pool;
    // Used by the thread that owns the loop only:
    struct work_queue here; // instant work to be run by this thread
    bool (*serve)(void *data);
    void *serve_data;
    uint64_t distrusted_until; // ms, monotonic: until then instant work goes to the workers
    uint64_t taken_over_at;    // ms, monotonic: the last take-over
    uint64_t distrust_ms;      // how long instant work went to the workers after it
    bool failed;               // libevent reported an error
    // Used by both threads:
    atomic_uint_fast64_t turn; // odd: work is running
    atomic_bool stood_in;      // a thread stands by
    atomic_bool asleep;        // that thread must be woken first
    atomic_bool ended;         // written under the lock
    pthread_mutex_t lock;      // for ended, asleep and n_threads
    pthread_cond_t wake;       // asleep is false again
    pthread_cond_t changed;    // ended or n_threads has changed
    unsigned n_threads;
    pthread_t threads[2]; // 0: not started
};

static bool is_trusted(const struct loop *l)
{
    return l->stood_in && clock_now() >= l->distrusted_until;
}

static bool take(void *data, struct work *w)
{
    struct loop *l = data;

    if (!is_trusted(l))
        return false;
    TAILQ_INSERT_TAIL(&l->here, w, entry);
    return true;
}

static void wake_stand_in(struct loop *l)
{
    pthread_mutex_lock(&l->lock);
    l->asleep = false;
    pthread_cond_signal(&l->wake);
    pthread_mutex_unlock(&l->lock);
}

static void give_to_workers(struct worker_pool *pool, struct work *w)
{
    w->instant = false;
    worker_submit(pool, w);
}

// False: W took so long that the other thread owns the loop now, and this thread must not touch it any more.
static bool run_one(struct loop *l, struct work *w)
{
    uint_fast64_t mine = l->turn + 1;
    struct worker_pool *pool = l->pool;
    enum work_status status;
    bool is_ours;

    l->turn = mine;
    if (l->asleep)
        wake_stand_in(l);
    status = w->run(w);
    is_ours = atomic_compare_exchange_strong(&l->turn, &mine, mine + 1);
    if (status == WORK_AGAIN)
        give_to_workers(pool, w);
    else if (is_ours)
        w->done(w);
    else
        worker_complete(pool, w);
    return is_ours;
}

// Runs the instant work that is here.  Returns as run_one.
static bool run_here(struct loop *l)
{
    struct work *w;

    for (int i = 0; i < MOST_A_ROUND && (w = TAILQ_FIRST(&l->here)); i++) {
        TAILQ_REMOVE(&l->here, w, entry);
        if (!is_trusted(l))
            give_to_workers(l->pool, w);
        else if (!run_one(l, w))
            return false;
    }
    return true;
}

static void end(struct loop *l)
{
    worker_pool_offer(l->pool, NULL, NULL);
    pthread_mutex_lock(&l->lock);
    l->ended = true;
    l->asleep = false;
    pthread_cond_signal(&l->wake);
    pthread_cond_broadcast(&l->changed);
    pthread_mutex_unlock(&l->lock);
}

// Between two turns.  *RET_MORE: there is more to do, so the next turn must not wait for events.  Returns as run_one.
static bool serve(struct loop *l, bool *ret_more)
{
    bool more = true;

    for (int i = 0; more && i < ROUNDS_A_TURN; i++) {
        more = l->serve && l->serve(l->serve_data);
        if (!run_here(l))
            return false;
        more = more || !TAILQ_EMPTY(&l->here);
    }
    *ret_more = more;
    return true;
}

// True: the loop has ended.  False: the other thread owns it.
static bool turn_loop(struct loop *l)
{
    bool goes_on = true, more = false;

    while (goes_on) {
        l->failed = event_base_loop(l->base, more ? EVLOOP_ONCE | EVLOOP_NONBLOCK : EVLOOP_ONCE) < 0;
        goes_on = !l->failed && !event_base_got_break(l->base);
        if (goes_on && !serve(l, &more))
            return false;
        // Work may have called event_base_loopbreak; the next turn would forget that.
        goes_on = goes_on && !event_base_got_break(l->base);
    }
    end(l);
    return true;
}

// Returns when work runs again, or the loop has ended.
static void sleep_till_woken(struct loop *l, uint_fast64_t seen)
{
    pthread_mutex_lock(&l->lock);
    l->asleep = !l->ended;
    // Work that began before asleep was set has not seen it.
    if (l->turn != seen)
        l->asleep = false;
    while (l->asleep)
        pthread_cond_wait(&l->wake, &l->lock);
    pthread_mutex_unlock(&l->lock);
}

static void distrust(struct loop *l)
{
    uint64_t now = clock_now(), twice = 2 * l->distrust_ms;

    l->distrust_ms = now - l->taken_over_at > SOON_MS ? DISTRUST_MS : u64_min(twice, MOST_DISTRUST_MS);
    l->taken_over_at = now;
    l->distrusted_until = now + l->distrust_ms;
}

// True: this thread owns the loop now.  False: the loop has ended.
static bool stand_in(struct loop *l)
{
    static const struct timespec look = {.tv_nsec = LOOK_NS};
    uint_fast64_t seen = 0;
    unsigned n_quiet = 0;

    l->stood_in = true;
    while (!l->ended) {
        uint_fast64_t turn = l->turn;

        if (turn % 2 == 1 && turn == seen && atomic_compare_exchange_strong(&l->turn, &turn, turn + 1)) {
            l->stood_in = false;
            distrust(l);
            return true;
        }
        n_quiet = turn == seen ? n_quiet + 1 : 0;
        seen = turn;
        if (n_quiet < LOOKS_BEFORE_SLEEP)
            nanosleep(&look, NULL);
        else {
            sleep_till_woken(l, seen);
            n_quiet = 0;
        }
    }
    return false;
}

static void *end_thread(struct loop *l)
{
    pthread_mutex_lock(&l->lock);
    l->n_threads--;
    pthread_cond_broadcast(&l->changed);
    pthread_mutex_unlock(&l->lock);
    return NULL;
}

static void *stand_in_main(void *data)
{
    struct loop *l = data;

    while (stand_in(l) && !turn_loop(l))
        continue;
    return end_thread(l);
}

static void *turner_main(void *data)
{
    struct loop *l = data;

    return turn_loop(l) ? end_thread(l) : stand_in_main(l);
}

static int start_threads(struct loop *l)
{
    static void *(*const mains[])(void *data) = {turner_main, stand_in_main};
    int r = 0;

    pthread_mutex_lock(&l->lock);
    for (int i = 0; i < 2 && r == 0; i++) {
        r = thread_start(&l->threads[i], 0, mains[i], l);
        l->n_threads += r == 0;
    }
    pthread_mutex_unlock(&l->lock);
    // A turner alone is enough: the workers do the instant work then.
    return l->threads[0] ? 0 : r;
}

int loop_run(struct loop *l)
{
    int r = start_threads(l);

    pthread_mutex_lock(&l->lock);
    while (r == 0 && !l->ended)
        pthread_cond_wait(&l->changed, &l->lock);
    pthread_mutex_unlock(&l->lock);
    return r == 0 && l->failed ? -EIO : r;
}

void loop_on_turn(struct loop *l, bool (*fn)(void *data), void *data)
{
    l->serve = fn;
    l->serve_data = data;
}

bool loop_stop(struct loop *l, unsigned timeout_ms)
{
    struct timespec until = clock_timespec(clock_after(timeout_ms));
    int r = 0;

    pthread_mutex_lock(&l->lock);
    while (l->n_threads > 0 && r == 0)
        r = pthread_cond_clockwait(&l->changed, &l->lock, CLOCK_MONOTONIC, &until);
    pthread_mutex_unlock(&l->lock);
    return r == 0;
}

int loop_new(struct event_base *base, struct worker_pool *pool, struct loop **ret)
{
    struct loop *l = calloc(1, sizeof *l);

    if (!l)
        return -ENOMEM;
    l->base = base;
    l->distrust_ms = DISTRUST_MS;
    l->pool = pool;
    TAILQ_INIT(&l->here);
    pthread_mutex_init(&l->lock, NULL);
    pthread_cond_init(&l->wake, NULL);
    pthread_cond_init(&l->changed, NULL);
    worker_pool_offer(pool, take, l);
    *ret = l;
    return 0;
}

void loop_free(struct loop *l)
{
    if (!l)
        return;
    worker_pool_offer(l->pool, NULL, NULL);
    for (int i = 0; i < 2; i++)
        if (l->threads[i])
            pthread_join(l->threads[i], NULL);
    pthread_mutex_destroy(&l->lock);
    pthread_cond_destroy(&l->wake);
    pthread_cond_destroy(&l->changed);
    free(l);
}
