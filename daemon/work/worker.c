// Workers do what may block; the loop decides.
//
// worker_submit, on the loop, queues a piece of work; a worker calls run(), and the loop calls done().  Work that
// takes long does itself piece by piece: run() returns WORK_AGAIN after a piece and is queued again behind the other
// work of its lane.
//
// Each user has a lane (lane.c), in which all uids that count in the user's account share (user_lane).  Within a
// lane, brief work comes before other work, and otherwise first come, first served.  Lanes take turns, so that one
// user delays another by the pieces in progress at most.  One lane never occupies more than half of the workers.
// Some workers, one at first, take brief work only, so that a stat or an open does not wait behind many long frees.
// The other workers run at a lower priority: a long free takes the processor from nobody who is in a hurry.  So brief
// work goes to the workers for brief work first, and the loop does not wait for a worker (crew.c, run_one).
//
// A piece of work may never end: whoever has a file open can hold its lock in the kernel for ever.  So the pool grows
// while its workers are held up (overseer.c).  A lane has no more workers for that, so a user holds up their own lane
// only.  Workers that were added end when they have had nothing to do for a while.
//
// Instant work is offered to the loop's own thread first (loop.c), which runs it without waking a worker.
//
// There is one lock, of the pool.  No other lock is taken under it, and run() and done() are called without it.  This
// file relies on run() touching nothing that the loop touches, but the work's own memory.
//
// It does not cancel: a run() that should stop early looks at a flag of its own.  It does not bound the queues: the
// requests in flight are bounded where they are read (conn.c).
#include "daemon/work/worker.h"

#include <errno.h>
#include <event2/event.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "daemon/log.h"
#include "daemon/work/priority.h"
#include "daemon/work/worker_internal.h"
#include "proto/util/clock.h"
#include "proto/util/thread.h"

enum {
    STACK_SIZE = 256 * 1024, // bytes
    DONE_A_TURN = 4,         // pieces of work that have ended, before the loop looks at other events
};

// Only the first piece of work wakes the loop: if that were lost, the loop would hear of no later piece either.
static void wake_loop(struct worker_pool *pool)
{
    static const uint64_t one = 1;
    ssize_t n;

    do
        n = write(pool->wake_fd, &one, sizeof one);
    while (n < 0 && errno == EINTR);
    if (n < 0)
        log_error("the workers cannot wake the loop: %m");
}

// True: the caller must wake the loop, without the lock.  The loop would run at once in the place of this worker, which
// has a lower priority, and then wait for the lock.
static bool complete(struct worker_pool *pool, struct work *w)
{
    bool is_first = TAILQ_EMPTY(&pool->completed);

    TAILQ_INSERT_TAIL(&pool->completed, w, entry);
    return is_first;
}

static void wake_overseer(struct worker_pool *pool)
{
    if (pool->overseer_sleeps)
        pthread_cond_signal(&pool->held_up);
    pool->overseer_sleeps = false;
}

// If the lane of a piece of work that has ended was at its limit of workers, other workers have passed its work over.
static void call_others(struct worker_pool *pool)
{
    if (TAILQ_EMPTY(&pool->lanes.ring))
        return;
    if (crew_has_free(&pool->all))
        crew_call(&pool->all);
    else
        wake_overseer(pool);
}

static void run_one(struct worker_pool *pool, struct work *w)
{
    enum work_status status;
    bool again, wakes;

    w->has_begun = true;
    w->since = clock_now();
    pthread_mutex_unlock(&pool->lock);
    status = w->run(w);
    pthread_mutex_lock(&pool->lock);

    again = status == WORK_AGAIN && !pool->stopping;
    w->since = clock_now();
    w->slow = false;
    lanes_end(&pool->lanes, w, again);
    wakes = !again && complete(pool, w);
    call_others(pool);
    if (wakes) {
        pthread_mutex_unlock(&pool->lock);
        wake_loop(pool);
        pthread_mutex_lock(&pool->lock);
    }
}

void worker_end_thread(struct worker *self)
{
    struct worker_pool *pool = self->pool;

    TAILQ_REMOVE(&pool->workers, self, entry);
    TAILQ_INSERT_TAIL(&pool->ended, self, entry);
    pool->n_alive--;
    pthread_cond_broadcast(&pool->fewer);
    pthread_mutex_unlock(&pool->lock);
}

static void *worker_main(void *data)
{
    struct worker *self = data;
    struct worker_pool *pool = self->pool;
    struct crew *crew = self->crew;
    bool goes_on = true;

    if (crew->brief_only)
        priority_normal(); // the loop's thread may have started this one
    else
        priority_low();
    pthread_mutex_lock(&pool->lock);
    while (goes_on && !pool->stopping) {
        struct work *w = lanes_take(&pool->lanes, crew->brief_only);

        if (w) {
            crew->n_taken++;
            run_one(pool, w);
        } else {
            goes_on = crew_wait(crew, &pool->lock);
        }
    }
    crew->n_alive--;
    worker_end_thread(self);
    return NULL;
}

static void on_completed(evutil_socket_t fd, short what, void *data)
{
    struct worker_pool *pool = data;
    struct work_queue completed = TAILQ_HEAD_INITIALIZER(completed);
    struct work *w;
    uint64_t count;
    bool more;

    (void)what;
    if (read(fd, &count, sizeof count) < 0)
        return;
    pthread_mutex_lock(&pool->lock);
    for (int i = 0; i < DONE_A_TURN && (w = TAILQ_FIRST(&pool->completed)); i++) {
        TAILQ_REMOVE(&pool->completed, w, entry);
        TAILQ_INSERT_TAIL(&completed, w, entry);
    }
    more = !TAILQ_EMPTY(&pool->completed);
    pthread_mutex_unlock(&pool->lock);
    if (more)
        wake_loop(pool);
    while ((w = TAILQ_FIRST(&completed))) {
        TAILQ_REMOVE(&completed, w, entry);
        w->done(w);
    }
}

int worker_start_thread(struct worker_pool *pool, struct crew *crew, void *(*fn)(void *data))
{
    struct worker *worker = calloc(1, sizeof *worker);
    int r = -ENOMEM;

    if (!worker)
        return r;
    *worker = (struct worker){.pool = pool, .crew = crew};
    r = thread_start(&worker->thread, STACK_SIZE, fn, worker);
    if (r < 0) {
        free(worker);
        return r;
    }
    TAILQ_INSERT_TAIL(&pool->workers, worker, entry);
    pool->n_alive++;
    if (crew)
        crew->n_alive++;
    return 0;
}

int worker_add(struct worker_pool *pool, struct crew *crew)
{
    return worker_start_thread(pool, crew, worker_main);
}

void worker_join_ended(struct worker_pool *pool)
{
    struct worker *worker;

    while ((worker = TAILQ_FIRST(&pool->ended))) {
        TAILQ_REMOVE(&pool->ended, worker, entry);
        pthread_join(worker->thread, NULL);
        free(worker);
    }
}

static int start_workers(struct worker_pool *pool, unsigned n_workers)
{
    int r = 0;

    pool->brief.brief_only = true;
    pool->brief.n_fixed = n_workers > 1;
    pool->all.n_fixed = n_workers - pool->brief.n_fixed;
    // Workers that run already must not count n_alive down before all are counted.
    pthread_mutex_lock(&pool->lock);
    for (unsigned i = 0; i < n_workers && r == 0; i++)
        r = worker_add(pool, i < pool->brief.n_fixed ? &pool->brief : &pool->all);
    pthread_mutex_unlock(&pool->lock);
    return r;
}

int worker_pool_new(struct event_base *base, unsigned n_workers, struct worker_pool **ret)
{
    struct worker_pool *pool = calloc(1, sizeof *pool);
    int r;

    if (!pool)
        return -ENOMEM;
    pthread_mutex_init(&pool->lock, NULL);
    crew_init(&pool->all);
    crew_init(&pool->brief);
    pthread_cond_init(&pool->fewer, NULL);
    pthread_cond_init(&pool->held_up, NULL);
    lanes_init(&pool->lanes, n_workers);
    TAILQ_INIT(&pool->completed);
    TAILQ_INIT(&pool->workers);
    TAILQ_INIT(&pool->ended);
    pool->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    r = pool->wake_fd < 0 ? -errno : 0;
    if (r == 0)
        pool->event = event_new(base, pool->wake_fd, EV_READ | EV_PERSIST, on_completed, pool);
    if (r == 0 && (!pool->event || event_add(pool->event, NULL) < 0))
        r = -ENOMEM;
    if (r == 0)
        r = start_workers(pool, n_workers);
    if (r < 0) {
        if (worker_pool_stop(pool, 1000))
            worker_pool_free(pool);
        return r;
    }
    *ret = pool;
    return 0;
}

void worker_pool_offer(struct worker_pool *pool, bool (*take_it)(void *data, struct work *w), void *data)
{
    pool->take = take_it;
    pool->take_data = data;
}

void worker_complete(struct worker_pool *pool, struct work *w)
{
    bool wakes;

    pthread_mutex_lock(&pool->lock);
    wakes = complete(pool, w);
    pthread_mutex_unlock(&pool->lock);
    if (wakes)
        wake_loop(pool);
}

void worker_submit(struct worker_pool *pool, struct work *w)
{
    if (w->instant && pool->take && pool->take(pool->take_data, w))
        return;
    pthread_mutex_lock(&pool->lock);
    if (!pool->stopping) {
        const struct lane *lane = lanes_push(&pool->lanes, w);

        w->since = clock_now();

        // Brief work has a worker of its own first, which has the loop's priority.
        if (w->brief &&
            (crew_has_free(&pool->brief) || !crew_has_free(&pool->all) || lane_is_full(&pool->lanes, lane))) {
            if (!crew_has_free(&pool->brief))
                wake_overseer(pool);
            crew_call(&pool->brief);
        } else {
            if (!crew_has_free(&pool->all))
                wake_overseer(pool);
            crew_call(&pool->all);
        }
    }
    pthread_mutex_unlock(&pool->lock);
}

bool worker_withdraw(struct worker_pool *pool, struct work *w, uint64_t before)
{
    bool withdrawn;

    pthread_mutex_lock(&pool->lock);
    withdrawn = w->waits && !w->has_begun && lanes_is_blocked(&pool->lanes, w, before);
    if (withdrawn)
        lanes_withdraw(&pool->lanes, w);
    pthread_mutex_unlock(&pool->lock);
    return withdrawn;
}

bool worker_take_back(struct worker_pool *pool, struct work *w)
{
    bool queued;

    pthread_mutex_lock(&pool->lock);
    queued = !w->has_begun && !pool->stopping;
    if (queued)
        lanes_withdraw(&pool->lanes, w);
    pthread_mutex_unlock(&pool->lock);
    return queued;
}

uint64_t worker_since(struct worker_pool *pool, const struct work *w)
{
    uint64_t since;

    pthread_mutex_lock(&pool->lock);
    since = w->since;
    pthread_mutex_unlock(&pool->lock);
    return since;
}

bool worker_is_held_up(struct worker_pool *pool, const struct work *w, uint64_t before, uint64_t slow_before)
{
    bool held_up;

    pthread_mutex_lock(&pool->lock);
    held_up = w->has_begun && w->since <= (w->slow ? slow_before : before);
    if (held_up && w->waits)
        held_up = lanes_is_blocked(&pool->lanes, w, before);
    pthread_mutex_unlock(&pool->lock);
    return held_up;
}

unsigned worker_count(struct worker_pool *pool)
{
    unsigned n;

    pthread_mutex_lock(&pool->lock);
    n = pool->all.n_alive + pool->brief.n_alive;
    pthread_mutex_unlock(&pool->lock);
    return n;
}

void worker_get_load(struct worker_pool *pool, struct worker_load *ret)
{
    pthread_mutex_lock(&pool->lock);
    *ret = (struct worker_load){.threads = pool->all.n_alive + pool->brief.n_alive,
                                .queued = pool->lanes.n_queued,
                                .running = pool->lanes.n_running};
    pthread_mutex_unlock(&pool->lock);
}

bool worker_pool_stop(struct worker_pool *pool, unsigned timeout_ms)
{
    struct timespec until = clock_timespec(clock_after(timeout_ms));
    int r = 0;

    pthread_mutex_lock(&pool->lock);
    pool->stopping = true;
    crew_call_all(&pool->all);
    crew_call_all(&pool->brief);
    pthread_cond_broadcast(&pool->held_up);
    while (pool->n_alive > 0 && r == 0)
        r = pthread_cond_clockwait(&pool->fewer, &pool->lock, CLOCK_MONOTONIC, &until);
    pthread_mutex_unlock(&pool->lock);
    return r == 0;
}

void worker_pool_free(struct worker_pool *pool)
{
    worker_join_ended(pool);
    lanes_deinit(&pool->lanes);
    if (pool->event)
        event_free(pool->event);
    if (pool->wake_fd >= 0)
        close(pool->wake_fd);
    pthread_mutex_destroy(&pool->lock);
    crew_deinit(&pool->all);
    crew_deinit(&pool->brief);
    pthread_cond_destroy(&pool->fewer);
    pthread_cond_destroy(&pool->held_up);
    free(pool);
}
