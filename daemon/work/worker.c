// Workers do what may block; the loop decides.
//
// worker_submit, on the loop, queues a piece of work; a worker calls run(), and the loop calls done().  Work that takes long
// does itself piece by piece: run() returns WORK_AGAIN after a piece and is queued again behind the other work of its lane.
//
// Each user has a lane.  Within a lane, brief work comes before other work, and otherwise first come, first served.  Lanes
// take turns, so that one user delays another by the pieces in progress at most.  One lane never occupies more than half of
// the workers.  One worker takes brief work only, so that a stat or an open does not wait behind many long frees.  The other
// workers run at a lower priority: a long free takes the processor from nobody who is in a hurry.
//
// Instant work is offered to the loop's own thread first (loop.c), which runs it without waking a worker.
//
// There is one lock, of the pool.  No other lock is taken under it, and run() and done() are called without it.  This file
// relies on run() touching nothing that the loop touches, but the work's own memory.
//
// It does not cancel: a run() that should stop early looks at a flag of its own.  It does not bound the queues: the requests
// in flight are bounded where they are read (conn.c).
#include "daemon/work/worker.h"

#include <errno.h>
#include <event2/event.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "daemon/log.h"
#include "daemon/tree.h"
#include "proto/util/clock.h"
#include "proto/util/thread.h"

enum {
    STACK_SIZE = 256 * 1024, // bytes
    LONG_WORK_NICE = 10,     // on Linux a thread has a priority of its own
};

// The work of one user.  A lane exists while it has work, queued or running.
struct lane {
    uint32_t key; // the uid
    unsigned n_running;
    struct work_queue brief, other;
    bool queued; // on the ring
    TAILQ_ENTRY(lane) ring;
    RB_ENTRY(lane) node;
};
TAILQ_HEAD(lane_ring, lane);
RB_HEAD(lane_tree, lane);

struct worker {
    struct worker_pool *pool;
    pthread_t thread; // 0: not started
    bool brief_only;
};

struct worker_pool {
    pthread_mutex_t lock;            // for all fields up to everybody
    pthread_cond_t more, more_brief; // work was queued: for the workers that take all work, and for the brief one
    pthread_cond_t fewer;            // a worker has ended
    struct lane_tree lanes;
    struct lane_ring ring;       // the lanes with queued work; the next to be served first
    struct work_queue completed; // done() is still to be called
    bool stopping;
    unsigned n_alive;      // workers that have not ended
    unsigned n_idle;       // of the workers that take all work: those that wait for work
    unsigned n_called;     // of the idle workers: those that were signalled and have not run yet
    struct lane everybody; // for users for whose lane there was no memory
    unsigned n_workers;
    struct worker *workers;
    int wake_fd; // eventfd: readable when completed is not empty
    struct event *event;
    bool (*take)(void *data, struct work *w); // the loop's, for instant work; NULL: none
    void *take_data;
};

static int lane_compare(const struct lane *a, const struct lane *b)
{
    return (a->key > b->key) - (a->key < b->key);
}

TREE_GENERATE(lane_tree, lane, node, lane_compare)

static void lane_init(struct lane *lane, uint32_t key)
{
    *lane = (struct lane){.key = key};
    TAILQ_INIT(&lane->brief);
    TAILQ_INIT(&lane->other);
}

static struct lane *lane_find(struct worker_pool *pool, uint32_t key)
{
    struct lane wanted = {.key = key}, *lane = RB_FIND(lane_tree, &pool->lanes, &wanted);

    if (lane)
        return lane;
    lane = malloc(sizeof *lane);
    if (!lane)
        return &pool->everybody;
    lane_init(lane, key);
    RB_INSERT(lane_tree, &pool->lanes, lane);
    return lane;
}

// Must follow each change of a lane: puts it on the ring or takes it off, and frees it if it has nothing to do.
static void lane_settle(struct worker_pool *pool, struct lane *lane)
{
    bool has_work = !TAILQ_EMPTY(&lane->brief) || !TAILQ_EMPTY(&lane->other);

    if (has_work && !lane->queued)
        TAILQ_INSERT_TAIL(&pool->ring, lane, ring);
    if (!has_work && lane->queued)
        TAILQ_REMOVE(&pool->ring, lane, ring);
    lane->queued = has_work;
    if (!has_work && lane->n_running == 0 && lane != &pool->everybody) {
        RB_REMOVE(lane_tree, &pool->lanes, lane);
        free(lane);
    }
}

static void lane_push(struct lane *lane, struct work *w)
{
    TAILQ_INSERT_TAIL(w->brief ? &lane->brief : &lane->other, w, entry);
}

// The most workers that one lane may occupy.  Only the worker for brief work goes beyond that.
static unsigned lane_most(const struct worker_pool *pool)
{
    return pool->n_workers > 1 ? pool->n_workers / 2 : 1;
}

// Takes the next work that a worker may do off its queue.  NULL: there is none.
static struct work *take(struct worker_pool *pool, bool brief_only)
{
    struct lane *lane;

    TAILQ_FOREACH (lane, &pool->ring, ring) {
        struct work_queue *queue = !TAILQ_EMPTY(&lane->brief) ? &lane->brief : &lane->other;
        struct work *w;

        if (brief_only ? TAILQ_EMPTY(&lane->brief) : lane->n_running >= lane_most(pool))
            continue;
        w = TAILQ_FIRST(queue);
        TAILQ_REMOVE(queue, w, entry);
        lane->n_running++;
        // The lane's turn is over: it goes to the end of the ring.
        TAILQ_REMOVE(&pool->ring, lane, ring);
        lane->queued = false;
        lane_settle(pool, lane);
        return w;
    }
    return NULL;
}

static void complete(struct worker_pool *pool, struct work *w)
{
    static const uint64_t one = 1;

    if (TAILQ_EMPTY(&pool->completed) && write(pool->wake_fd, &one, sizeof one) < 0)
        log_error("the workers cannot wake the loop: %m");
    TAILQ_INSERT_TAIL(&pool->completed, w, entry);
}

// Wakes an idle worker and counts it as called, so that work submitted before it runs does not count on it as well.
static void call_worker(struct worker_pool *pool)
{
    pool->n_called += pool->n_called < pool->n_idle;
    pthread_cond_signal(&pool->more);
}

static void run_one(struct worker_pool *pool, struct work *w)
{
    struct lane *lane = w->queue; // exists as long as it counts this work as running
    enum work_status status;

    pthread_mutex_unlock(&pool->lock);
    status = w->run(w);
    pthread_mutex_lock(&pool->lock);

    lane->n_running--;
    if (status == WORK_AGAIN && !pool->stopping)
        lane_push(lane, w);
    else
        complete(pool, w);
    lane_settle(pool, lane);
    // If the lane was at its limit of workers, other workers have passed its work over.
    if (!TAILQ_EMPTY(&pool->ring) && pool->n_idle > pool->n_called)
        call_worker(pool);
}

static void *worker_main(void *data)
{
    struct worker *self = data;
    struct worker_pool *pool = self->pool;

    if (!self->brief_only)
        setpriority(PRIO_PROCESS, (id_t)syscall(SYS_gettid), LONG_WORK_NICE);
    pthread_mutex_lock(&pool->lock);
    while (!pool->stopping) {
        struct work *w = take(pool, self->brief_only);

        if (w) {
            run_one(pool, w);
            continue;
        }
        pool->n_idle += !self->brief_only;
        pthread_cond_wait(self->brief_only ? &pool->more_brief : &pool->more, &pool->lock);
        pool->n_idle -= !self->brief_only;
        if (!self->brief_only && pool->n_called > 0)
            pool->n_called--;
    }
    pool->n_alive--;
    pthread_cond_broadcast(&pool->fewer);
    pthread_mutex_unlock(&pool->lock);
    return NULL;
}

static void on_completed(evutil_socket_t fd, short what, void *data)
{
    struct worker_pool *pool = data;
    struct work_queue completed = TAILQ_HEAD_INITIALIZER(completed);
    struct work *w;
    uint64_t count;

    (void)what;
    if (read(fd, &count, sizeof count) < 0)
        return;
    pthread_mutex_lock(&pool->lock);
    TAILQ_CONCAT(&completed, &pool->completed, entry);
    pthread_mutex_unlock(&pool->lock);
    while ((w = TAILQ_FIRST(&completed))) {
        TAILQ_REMOVE(&completed, w, entry);
        w->done(w);
    }
}

static int start_workers(struct worker_pool *pool)
{
    int r = 0;

    // Workers that run already must not count n_alive down before all are counted.
    pthread_mutex_lock(&pool->lock);
    for (unsigned i = 0; i < pool->n_workers && r == 0; i++) {
        struct worker *worker = &pool->workers[i];

        *worker = (struct worker){.pool = pool, .brief_only = i == 0 && pool->n_workers > 1};
        r = thread_start(&worker->thread, STACK_SIZE, worker_main, worker);
        pool->n_alive += r == 0;
    }
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
    pthread_cond_init(&pool->more, NULL);
    pthread_cond_init(&pool->more_brief, NULL);
    pthread_cond_init(&pool->fewer, NULL);
    lane_init(&pool->everybody, 0);
    RB_INIT(&pool->lanes);
    TAILQ_INIT(&pool->ring);
    TAILQ_INIT(&pool->completed);
    pool->n_workers = n_workers;
    pool->workers = calloc(n_workers, sizeof *pool->workers);
    pool->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    r = pool->wake_fd < 0 ? -errno : 0;
    if (r == 0 && pool->workers)
        pool->event = event_new(base, pool->wake_fd, EV_READ | EV_PERSIST, on_completed, pool);
    if (r == 0 && (!pool->event || event_add(pool->event, NULL) < 0))
        r = -ENOMEM;
    if (r == 0)
        r = start_workers(pool);
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
    pthread_mutex_lock(&pool->lock);
    complete(pool, w);
    pthread_mutex_unlock(&pool->lock);
}

void worker_submit(struct worker_pool *pool, struct work *w)
{
    if (w->instant && pool->take && pool->take(pool->take_data, w))
        return;
    pthread_mutex_lock(&pool->lock);
    if (!pool->stopping) {
        struct lane *lane = w->queue = lane_find(pool, w->lane);

        lane_push(lane, w);
        lane_settle(pool, lane);
        // The worker for brief work is woken if no other is idle, or if the lane occupies as many others as it may.
        if (w->brief && (pool->n_idle <= pool->n_called || lane->n_running >= lane_most(pool)))
            pthread_cond_signal(&pool->more_brief);
        else
            call_worker(pool);
    }
    pthread_mutex_unlock(&pool->lock);
}

bool worker_pool_stop(struct worker_pool *pool, unsigned timeout_ms)
{
    struct timespec until = clock_timespec(clock_after(timeout_ms));
    int r = 0;

    pthread_mutex_lock(&pool->lock);
    pool->stopping = true;
    pthread_cond_broadcast(&pool->more);
    pthread_cond_broadcast(&pool->more_brief);
    while (pool->n_alive > 0 && r == 0)
        r = pthread_cond_clockwait(&pool->fewer, &pool->lock, CLOCK_MONOTONIC, &until);
    pthread_mutex_unlock(&pool->lock);
    return r == 0;
}

void worker_pool_free(struct worker_pool *pool)
{
    struct lane *lane;

    for (unsigned i = 0; pool->workers && i < pool->n_workers; i++)
        if (pool->workers[i].thread)
            pthread_join(pool->workers[i].thread, NULL);
    while ((lane = RB_ROOT(&pool->lanes))) {
        RB_REMOVE(lane_tree, &pool->lanes, lane);
        free(lane);
    }
    if (pool->event)
        event_free(pool->event);
    if (pool->wake_fd >= 0)
        close(pool->wake_fd);
    free(pool->workers);
    pthread_mutex_destroy(&pool->lock);
    pthread_cond_destroy(&pool->more);
    pthread_cond_destroy(&pool->more_brief);
    pthread_cond_destroy(&pool->fewer);
    free(pool);
}
