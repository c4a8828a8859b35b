// A request that takes the disk some microseconds should not cost two wake-ups of other threads.  So the thread that turns the event
// loop runs instant work itself, between two turns, when it holds nothing of the loop's.  A file system may hang all the same: a
// second thread stands in.  It looks every millisecond, and when the same piece of work is still running at the second look it
// takes the loop over and turns it from there.  The late thread, when it comes back, finds the loop gone: it hands its work in as
// any worker does, and stands in from then on.
//
// Guarantees: at every moment one thread at most is inside the event loop and its callbacks; the loop stands still for some two
// milliseconds at most, however long the disk hangs. While nobody stands in, and for a moment after a take-over, instant work goes to
// the workers, longer each time: a disk that is slow and not hung costs such a pause now and then, and not at every request.
//
// It relies on: run() of instant work touching nothing that the loop touches (as on a worker), and on one word, `turn`: odd while
// work runs. The one who moves it on owns the loop: the thread that has done its work, or the one that stands in.
//
// It does not: decide what is instant (the operations do), or count fair shares: what is instant takes no longer than a callback.
// An idle daemon is left to sleep: who stands in sleeps too, until the next instant work.
#include "daemon/work/loop.h"

#include <errno.h>
#include <event2/event.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdlib.h>
#include <time.h>

#include "daemon/work/worker.h"
#include "proto/util/clock.h"

enum {
    LOOK_NS = 1000 * 1000,
    LOOKS_BEFORE_SLEEP = 100, // without any work seen
    DISTRUST_MS = 4,          // after a take-over; twice as long after one that follows soon
    MOST_DISTRUST_MS = 256,
    SOON_MS = 1000,
    ROUNDS_A_TURN = 8, // of serving; then the events have theirs
    MOST_A_ROUND = 16, // of instant work
};

struct loop {
    struct event_base *base;
    struct worker_pool *pool;
    // Of the thread that turns the loop:
    struct work_queue here;
    bool (*serve)(void *data);
    void *serve_data;
    uint64_t distrusted_until; // ms, monotonic; 0: not
    uint64_t taken_over_at, distrust_ms;
    bool failed;
    // Of both:
    atomic_uint_fast64_t turn; // odd: work is running
    atomic_bool stood_in;      // somebody would take over
    atomic_bool asleep;        // but has to be woken first
    pthread_mutex_t lock;      // for what follows
    pthread_cond_t wake, changed;
    bool ended, first_is_taken;
    unsigned n_threads;
    pthread_t threads[2];
    bool started[2];
};

static bool is_trusted(struct loop *l)
{
    if (l->distrusted_until && clock_now() >= l->distrusted_until)
        l->distrusted_until = 0;
    return !l->distrusted_until && l->stood_in;
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

static void give_to_workers(struct loop *l, struct work *w)
{
    w->instant = false;
    worker_submit(l->pool, w);
}

// False: it took so long that another thread turns the loop now, and nothing of it may be touched any more.
static bool run_one(struct loop *l, struct work *w)
{
    uint_fast64_t mine = l->turn + 1;
    struct worker_pool *pool = l->pool;
    enum work_status status;

    l->turn = mine;
    if (l->asleep)
        wake_stand_in(l);
    status = w->run(w);
    if (atomic_compare_exchange_strong(&l->turn, &mine, mine + 1)) {
        if (status == WORK_AGAIN)
            give_to_workers(l, w);
        else
            w->done(w);
        return true;
    }
    if (status == WORK_AGAIN)
        give_to_workers(l, w);
    else
        worker_complete(pool, w);
    return false;
}

static bool run_here(struct loop *l)
{
    struct work *w;

    for (int i = 0; i < MOST_A_ROUND && (w = TAILQ_FIRST(&l->here)); i++) {
        TAILQ_REMOVE(&l->here, w, entry);
        if (!is_trusted(l))
            give_to_workers(l, w);
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

// As run_here.  *RET_MORE: events shall not be waited for, only looked at.
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

// True: the loop has ended.  False: it is another's.
static bool turn_loop(struct loop *l)
{
    bool goes_on = true, more = false;

    while (goes_on) {
        l->failed = event_base_loop(l->base, more ? EVLOOP_ONCE | EVLOOP_NONBLOCK : EVLOOP_ONCE) < 0;
        goes_on = !l->failed && !event_base_got_break(l->base);
        if (goes_on && !serve(l, &more))
            return false;
        // The next turn would forget that work has asked for the end.
        goes_on = goes_on && !event_base_got_break(l->base);
    }
    end(l);
    return true;
}

// Until there is work again, or the loop has ended.
static void sleep_till_woken(struct loop *l, uint_fast64_t seen)
{
    pthread_mutex_lock(&l->lock);
    l->asleep = !l->ended;
    if (l->turn != seen)
        l->asleep = false;
    while (l->asleep)
        pthread_cond_wait(&l->wake, &l->lock);
    pthread_mutex_unlock(&l->lock);
}

static bool has_ended(struct loop *l)
{
    bool ended;

    pthread_mutex_lock(&l->lock);
    ended = l->ended;
    pthread_mutex_unlock(&l->lock);
    return ended;
}

static void distrust(struct loop *l)
{
    uint64_t now = clock_now(), twice = 2 * l->distrust_ms;

    l->distrust_ms = now - l->taken_over_at > SOON_MS ? DISTRUST_MS
                     : twice < MOST_DISTRUST_MS       ? twice
                                                      : MOST_DISTRUST_MS;
    l->taken_over_at = now;
    l->distrusted_until = now + l->distrust_ms;
}

// True: the loop is this thread's.  False: it has ended.
static bool stand_in(struct loop *l)
{
    static const struct timespec look = {.tv_nsec = LOOK_NS};
    uint_fast64_t seen = 0;
    unsigned n_quiet = 0;

    l->stood_in = true;
    while (!has_ended(l)) {
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

static void *thread_main(void *data)
{
    struct loop *l = data;
    bool turns;

    pthread_mutex_lock(&l->lock);
    turns = !l->first_is_taken;
    l->first_is_taken = true;
    pthread_mutex_unlock(&l->lock);
    while ((turns || stand_in(l)) && !turn_loop(l))
        turns = false;
    pthread_mutex_lock(&l->lock);
    l->n_threads--;
    pthread_cond_broadcast(&l->changed);
    pthread_mutex_unlock(&l->lock);
    return NULL;
}

static int start_threads(struct loop *l)
{
    sigset_t all, before;
    int r = 0;

    // Signals are for the thread that called: the kernel might give one to a thread that hangs, and wake no other.
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    pthread_mutex_lock(&l->lock);
    for (int i = 0; i < 2 && r == 0; i++) {
        r = pthread_create(&l->threads[i], NULL, thread_main, l);
        l->started[i] = r == 0;
        l->n_threads += r == 0;
    }
    pthread_mutex_unlock(&l->lock);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    // One alone turns the loop too, and the workers do the work.
    return l->started[0] ? 0 : -r;
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
        if (l->started[i])
            pthread_join(l->threads[i], NULL);
    pthread_mutex_destroy(&l->lock);
    pthread_cond_destroy(&l->wake);
    pthread_cond_destroy(&l->changed);
    free(l);
}
