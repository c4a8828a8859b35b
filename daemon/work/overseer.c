// The overseer: a thread that adds workers while those of a pool are held up.
//
// A piece of work may never end: a process that has a file open can hold the file's lock in the kernel for ever.  The
// overseer sleeps as long as some worker is idle.  When work that may run finds none, the overseer gives the workers a
// moment, and adds one if no work was taken meanwhile.  It does not look at what holds a worker up.  On a slow disk it
// adds workers too, which wait for the disk as the others do; each lane has its bound, so that they are not many.
#include <errno.h>
#include <string.h>

#include "daemon/log.h"
#include "daemon/work/worker_internal.h"
#include "proto/util/clock.h"

enum {
    LOOK_MS = 25,
    PATIENCE_MS = 250,      // work that may run waits so long for a worker before one is added
    PATIENCE_BRIEF_MS = 50, // the same, of brief work
};

static void add_worker(struct worker_pool *pool, struct crew *crew)
{
    int r = pool->all.n_alive + pool->brief.n_alive < pool->most ? 0 : -EAGAIN;

    worker_join_ended(pool); // they have nothing left to do, and do not need the lock
    if (r == 0)
        r = worker_add(pool, crew);
    if (r < 0 && !pool->told_of_most)
        log_warning(
            "all %u threads are held up, by the disk or by clients that hold the locks of files, and there can be "
            "no more: %s",
            pool->n_alive, strerror(-r));
    pool->told_of_most = r < 0;
}

// True: work waits for CREW.
static bool look_after(struct worker_pool *pool, struct crew *crew, uint64_t patience)
{
    uint64_t now = clock_now();

    if (crew->n_idle > 0 || !lanes_have(&pool->lanes, crew->brief_only)) {
        crew->waits_from = 0;
        return false;
    }
    if (crew->waits_from == 0 || crew->n_taken != crew->seen) {
        crew->waits_from = now;
        crew->seen = crew->n_taken;
    } else if (now - crew->waits_from >= patience) {
        crew->waits_from = now;
        add_worker(pool, crew);
    }
    return true;
}

static void *overseer_main(void *data)
{
    struct worker *self = data;
    struct worker_pool *pool = self->pool;

    pthread_mutex_lock(&pool->lock);
    while (!pool->stopping) {
        bool brief_waits = look_after(pool, &pool->brief, PATIENCE_BRIEF_MS);
        bool waits = look_after(pool, &pool->all, PATIENCE_MS) || brief_waits;
        struct timespec until = clock_timespec(clock_after(LOOK_MS));

        pool->overseer_sleeps = !waits;
        if (waits)
            pthread_cond_clockwait(&pool->held_up, &pool->lock, CLOCK_MONOTONIC, &until);
        else
            pthread_cond_wait(&pool->held_up, &pool->lock);
    }
    worker_end_thread(self);
    return NULL;
}

int worker_pool_let_grow(struct worker_pool *pool, unsigned most)
{
    int r;

    pthread_mutex_lock(&pool->lock);
    pool->most = most;
    r = worker_start_thread(pool, NULL, overseer_main);
    pthread_mutex_unlock(&pool->lock);
    return r;
}
