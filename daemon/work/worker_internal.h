// The struct of the pool: shared by worker.c and overseer.c.
#pragma once
#include <pthread.h>

#include "daemon/work/crew.h"
#include "daemon/work/lane.h"
#include "daemon/work/worker.h"

struct event;

struct worker {
    struct worker_pool *pool;
    struct crew *crew;
    pthread_t thread;
    TAILQ_ENTRY(worker) entry;
};
TAILQ_HEAD(worker_list, worker);

struct worker_pool {
    pthread_mutex_t lock; // for all fields up to take
    struct crew all, brief;
    pthread_cond_t fewer; // a thread of the pool has ended
    struct lanes lanes;
    struct work_queue completed; // done() is still to be called
    bool stopping;
    unsigned n_alive; // threads that have not ended, the overseer too
    struct worker_list workers, ended;
    unsigned most;          // workers; 0: as many as at first
    bool told_of_most;      // the log has said that there can be no more
    bool overseer_sleeps;   // until work finds no idle worker
    pthread_cond_t held_up; // then
    int wake_fd;            // eventfd: readable when completed is not empty
    struct event *event;
    bool (*take)(void *data, struct work *w); // the loop's, for instant work; NULL: none
    void *take_data;
};

// With the pool's lock held.  CREW: that of a worker; NULL: the overseer's.  0 or -errno.
int worker_start_thread(struct worker_pool *pool, struct crew *crew, void *(*fn)(void *data));
int worker_add(struct worker_pool *pool, struct crew *crew); // starts a worker: as worker_start_thread
// The last call of a thread of the pool, with the lock held, which it gives back.
void worker_end_thread(struct worker *self);
// Frees the threads that have ended.
void worker_join_ended(struct worker_pool *pool);
