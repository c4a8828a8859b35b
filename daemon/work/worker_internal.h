// The struct of the pool: shared by worker.c and overseer.c.
#pragma once
#include <pthread.h>

#include "daemon/work/lane.h"
#include "daemon/work/worker.h"

struct event;

// The workers that take the same kinds of work.
struct crew {
    pthread_cond_t more; // work was queued
    bool brief_only;
    unsigned n_fixed;    // workers that stay
    unsigned n_alive;    // workers that have not ended
    unsigned n_idle;     // those that wait for work
    unsigned n_called;   // of the idle workers: those that were signalled and have not run yet
    unsigned n_taken;    // pieces of work so far; the overseer compares
    unsigned seen;       // n_taken as the overseer saw it last
    uint64_t waits_from; // ms, monotonic: since when work waits and none is taken; 0: it does not.  The overseer's
};

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
