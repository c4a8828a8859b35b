// A pool of threads for calls that may block: those to the disk and to the user database.  See the essay in worker.c.
#pragma once
#include <stdbool.h>
#include <stdint.h>
#include <sys/queue.h>

struct event_base;
struct lane;
struct worker_pool;

enum work_status {
    WORK_DONE,
    WORK_AGAIN, // one piece is done: run() must be called again, after the lane's other work
};

// A piece of work, embedded in the struct that it is about.  From worker_submit until done() it belongs to the pool.
struct work {
    uint32_t lane; // a uid: whose share of the workers this work takes
    bool brief;    // ends soon on a healthy disk: the worker for brief work may take it
    bool instant;  // takes microseconds: the thread that turns the loop may run it, see loop.c
    enum work_status (*run)(struct work *w); // on a worker, or on the loop's thread outside of the loop
    void (*done)(struct work *w);            // on the loop
    TAILQ_ENTRY(work) entry;                 // this and queue: the pool's
    struct lane *queue;
};
TAILQ_HEAD(work_queue, work);

// BASE is the event loop on which done() is called.  0 or -errno.
int worker_pool_new(struct event_base *base, unsigned n_workers, struct worker_pool **ret);
// Queues W.  Instant work may be submitted on the loop only, other work on any thread.
void worker_submit(struct worker_pool *pool, struct work *w);
// From now on worker_submit offers instant work to TAKE(DATA, W) first, which runs W itself if it returns true.
// NULL: worker_submit offers it to nobody.
void worker_pool_offer(struct worker_pool *pool, bool (*take)(void *data, struct work *w), void *data);
// On a thread that has run W itself, outside of the loop: makes the loop call done().
void worker_complete(struct worker_pool *pool, struct work *w);
// Begins nothing more; queued work is forgotten without done().  Waits up to TIMEOUT_MS for the work that is running.
// True: all workers have ended.  False: a worker hangs; the pool must stay, and the process should end by _exit.
bool worker_pool_stop(struct worker_pool *pool, unsigned timeout_ms);
void worker_pool_free(struct worker_pool *pool); // after a stop that returned true
