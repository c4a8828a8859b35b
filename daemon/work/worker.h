// Threads for whatever may block: the disk and the user database.  See the essay in worker.c.
#pragma once
#include <stdbool.h>
#include <stdint.h>
#include <sys/queue.h>

struct event_base;
struct lane;
struct worker_pool;

enum work_status {
    WORK_DONE,
    WORK_AGAIN, // a piece is done: queue it again, behind the lane's other work
};

// Embedded in what the work is about.  From submit to done() it belongs to the pool.
struct work {
    uint32_t lane;                           // whose fair share it takes from: a uid
    bool brief;                              // ends soon on a healthy disk: may use the worker that is kept for such
    bool instant;                            // some microseconds: may be run by the loop's own thread, see loop.c
    enum work_status (*run)(struct work *w); // on a worker
    void (*done)(struct work *w);            // on the loop
    TAILQ_ENTRY(work) entry;                 // this and queue: the pool's
    struct lane *queue;
};
TAILQ_HEAD(work_queue, work);

// 0 or -errno.
int worker_pool_new(struct event_base *base, unsigned n_workers, struct worker_pool **ret);
void worker_submit(struct worker_pool *pool, struct work *w);
// From here on instant work is offered to TAKE, which runs it itself when it returns true; NULL: to nobody.
void worker_pool_offer(struct worker_pool *pool, bool (*take)(void *data, struct work *w), void *data);
// For whoever ran work that was offered, elsewhere than on the loop: done() is called there.
void worker_complete(struct worker_pool *pool, struct work *w);
// Runs nothing more: what was queued is forgotten without done().  Waits up to TIMEOUT_MS for what is running, then true if all
// workers ended; if not (a hung file system), the pool must stay and the process should end by _exit.
bool worker_pool_stop(struct worker_pool *pool, unsigned timeout_ms);
void worker_pool_free(struct worker_pool *pool); // after a stop that returned true
