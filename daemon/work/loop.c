// The thread that turns the event loop also runs instant work.
//
// A small grow takes the disk some microseconds.  Handing it to a worker and back costs two wake-ups of threads,
// which take longer.  So the turner, the thread that turns the loop, runs instant work itself, between two turns,
// when it is inside no callback.  But a file system may hang.  A second thread stands by: while instant work runs, it
// looks every millisecond, and if the same piece of work is still running at the second look, it takes the loop over
// and turns it from there.  The late thread finds the loop taken when its work returns; it hands the work in as a
// worker does, and stands by from then on.  A thread that is late because others have the processor keeps the loop
// (is_hungry).
//
// At every moment at most one thread is inside the event loop and its callbacks.  The loop stands still for some two
// milliseconds at most, however long the disk hangs.  While nobody stands by, and for a while after a take-over
// (trust.c), instant work goes to the workers.
//
// Work that hangs holds its thread, and no other thread would stand by from then on.  So a thread that is still late
// after a moment is replaced, and the lane of that work (its user) gets no instant work for some minutes.  Threads
// are bounded; without any that stands by, all instant work goes to the workers.  A late thread that returns stands
// by again if nobody does, and ends otherwise.
//
// `turn` decides who owns the loop: it is odd while the turner runs work.  Whichever thread moves it on to the next
// even number owns the loop: the turner, when the work is done, or the thread that stands by.  The lock guards the
// ends and the sleep only, and no other lock is taken under it.  When the daemon is idle, the thread that stands by
// sleeps.
//
// Without instant work and the second thread a grow of 1 MiB takes 49.5 us instead of 32.7 us (46.0 instead of 21.1
// with one CPU; 1000 busy clients: 136 instead of 47 us in the median, 1211 instead of 250 at the 99th percentile).
//
// This file relies on run() touching nothing that the loop touches, as on a worker.  It does not decide what is
// instant (the types of operations do), and counts no shares: instant work takes no longer than a callback.
#include "daemon/work/loop.h"

#include <errno.h>
#include <event2/event.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "daemon/proc.h"
#include "daemon/work/priority.h"
#include "daemon/work/trust.h"
#include "daemon/work/worker.h"
#include "proto/util/clock.h"
#include "proto/util/thread.h"

enum {
    LOOK_NS = 1000 * 1000,
    LOOKS_BEFORE_SLEEP = 100, // looks that saw no work, before the thread that stands by goes to sleep
    MOST_LOOKS_HUNGRY = 50,   // at the same piece of work
    TURN_US = 50,             // serve is called again and again for so long, before events have their turn
    MOST_A_ROUND = 2,         // pieces of instant work after each call of serve
    MOST_THREADS = 16,
    REPLACE_MS = 500, // after a take-over, while the late thread has not returned
};

struct loop_thread {
    struct loop *loop;
    pthread_t thread;
    bool started, ended;
};

struct loop {
    struct event_base *base;
    struct worker_pool *pool;
    // Used by the thread that owns the loop only:
    struct work_queue here; // instant work to be run by this thread
    bool (*serve)(void *data);
    void *serve_data;
    struct trust trust;
    atomic_int turner_tid; // the thread that turns the loop
    uint64_t running_lane; // of the work that runs, or ran last; after a take-over: of the work that is late
    bool is_late;          // a thread was late at the last take-over, and was not replaced yet
    bool failed;           // libevent reported an error
    // Used by all threads:
    atomic_uint_fast64_t turn; // odd: work is running
    atomic_bool stood_in;      // a thread stands by
    atomic_bool asleep;        // that thread must be woken first
    atomic_bool ended;         // written under the lock
    pthread_mutex_t lock;      // for ended, asleep, n_threads and the threads
    pthread_cond_t wake;       // asleep is false again
    pthread_cond_t changed;    // ended or n_threads has changed
    unsigned n_threads;
    struct loop_thread threads[MOST_THREADS];
};

static void *stand_in_main(void *data);

// A thread of its own, in a place that no thread has.  0 or -errno.
static int start_thread(struct loop *l, void *(*fn)(void *data))
{
    struct loop_thread *t = l->threads;
    int r = -EAGAIN;

    pthread_mutex_lock(&l->lock);
    while (t < l->threads + MOST_THREADS && t->started && !t->ended)
        t++;
    if (t < l->threads + MOST_THREADS) {
        if (t->started)
            pthread_join(t->thread, NULL);
        *t = (struct loop_thread){.loop = l};
        r = thread_start(&t->thread, 0, fn, t);
        t->started = r == 0;
        l->n_threads += r == 0;
    }
    pthread_mutex_unlock(&l->lock);
    return r;
}

// After a take-over, the late thread does not come back: another one stands by instead.
static void replace_late_thread(struct loop *l, uint64_t now)
{
    if (!l->is_late || now - l->trust.taken_over_at < REPLACE_MS)
        return;
    l->is_late = false;
    if (l->stood_in)
        return;
    trust_note_hung(&l->trust, l->running_lane, now);
    start_thread(l, stand_in_main);
}

static bool is_trusted(struct loop *l, uint64_t lane, uint64_t now)
{
    replace_late_thread(l, now);
    return l->stood_in && trust_allows(&l->trust, lane, now);
}

static bool take(void *data, struct work *w)
{
    struct loop *l = data;
    uint64_t now = clock_now();

    trust_note_offer(&l->trust, w->lane, now);
    if (!is_trusted(l, w->lane, now))
        return false;
    w->since = now;
    w->has_begun = true; // it cannot be taken back
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
    uint64_t began;
    bool is_ours;

    l->running_lane = w->lane;
    trust_begin(&l->trust); // before another thread may take the loop over
    l->turn = mine;
    if (l->asleep)
        wake_stand_in(l);
    began = clock_now_us();
    status = w->run(w);
    is_ours = atomic_compare_exchange_strong(&l->turn, &mine, mine + 1);
    if (is_ours)
        trust_judge(&l->trust, w->lane, clock_now_us() - began, clock_now());
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
        if (!is_trusted(l, w->lane, clock_now())) {
            w->has_begun = false;
            give_to_workers(l->pool, w);
        } else if (!run_one(l, w))
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
    const uint64_t began = clock_now_us();
    bool more, has_work;

    do {
        more = l->serve && l->serve(l->serve_data);
        has_work = !TAILQ_EMPTY(&l->here);
        if (!run_here(l))
            return false;
        more = more || has_work; // its end may have given serve something to do
    } while (more && clock_now_us() - began < TURN_US);
    *ret_more = more;
    return true;
}

// True: the loop has ended.  False: the other thread owns it.
static bool turn_loop(struct loop *l)
{
    bool goes_on = true, more = false;

    l->turner_tid = (int)syscall(SYS_gettid);
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

// Whether the thread that runs work is late because other processes have the processors.  Not for very long: a thread
// that hangs inside the kernel may seem to run.
static bool is_hungry(const struct loop *l, unsigned n_looks)
{
    return n_looks < MOST_LOOKS_HUNGRY && proc_thread_runs(l->turner_tid);
}

// True: this thread owns the loop now.  False: the loop has ended, or another thread stands by already.
static bool stand_in(struct loop *l)
{
    static const struct timespec look = {.tv_nsec = LOOK_NS};
    uint_fast64_t seen = 0;
    unsigned n_quiet = 0;

    if (atomic_exchange(&l->stood_in, true))
        return false;
    while (!l->ended) {
        uint_fast64_t turn = l->turn;

        if (turn % 2 == 1 && turn == seen && !is_hungry(l, n_quiet) &&
            atomic_compare_exchange_strong(&l->turn, &turn, turn + 1)) {
            l->stood_in = false;
            trust_note_take_over(&l->trust, clock_now());
            l->is_late = true;
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

static void *end_thread(struct loop_thread *self)
{
    struct loop *l = self->loop;

    pthread_mutex_lock(&l->lock);
    self->ended = true;
    l->n_threads--;
    pthread_cond_broadcast(&l->changed);
    pthread_mutex_unlock(&l->lock);
    return NULL;
}

static void *stand_in_main(void *data)
{
    struct loop_thread *self = data;

    priority_quick();
    while (stand_in(self->loop) && !turn_loop(self->loop))
        continue;
    return end_thread(self);
}

static void *turner_main(void *data)
{
    struct loop_thread *self = data;

    priority_quick();
    return turn_loop(self->loop) ? end_thread(self) : stand_in_main(self);
}

// A turner alone is enough: the workers do the instant work then.
int loop_start(struct loop *l)
{
    int r = start_thread(l, turner_main);

    if (r == 0)
        start_thread(l, stand_in_main);
    return r;
}

int loop_wait(struct loop *l)
{
    pthread_mutex_lock(&l->lock);
    while (!l->ended)
        pthread_cond_wait(&l->changed, &l->lock);
    pthread_mutex_unlock(&l->lock);
    return l->failed ? -EIO : 0;
}

int loop_run(struct loop *l)
{
    int r = loop_start(l);

    return r < 0 ? r : loop_wait(l);
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
    trust_init(&l->trust);
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
    for (int i = 0; i < MOST_THREADS; i++)
        if (l->threads[i].started)
            pthread_join(l->threads[i].thread, NULL);
    pthread_mutex_destroy(&l->lock);
    pthread_cond_destroy(&l->wake);
    pthread_cond_destroy(&l->changed);
    free(l);
}
