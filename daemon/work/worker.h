// A pool of threads for calls that may block: those to the disk and to the user database.  See the essay in worker.c.
#pragma once
#include <stdbool.h>
#include <stdint.h>

#include "daemon/work/work.h"

struct event_base;
struct worker_pool;

// BASE is the event loop on which done() is called.  0 or -errno.
int worker_pool_new(struct event_base *base, unsigned n_workers, struct worker_pool **ret);
// From now on the pool starts further workers, MOST in all, while its workers are held up.  0 or -errno.
int worker_pool_let_grow(struct worker_pool *pool, unsigned most);
// Queues W.  Instant work may be submitted on the loop only, other work on any thread.
void worker_submit(struct worker_pool *pool, struct work *w);
// Takes W back if no piece of it has begun, and all workers that its lane may have are busy with pieces that began at
// BEFORE (ms, monotonic) or earlier, and that are not slow.  True: done() is not called.  On the loop.
bool worker_withdraw(struct worker_pool *pool, struct work *w, uint64_t before);
// The same, whatever the workers do.
bool worker_take_back(struct worker_pool *pool, struct work *w);
// W has been submitted, and done() was not called yet: since when it waits, or since when its present piece runs (ms,
// monotonic).
uint64_t worker_since(struct worker_pool *pool, const struct work *w);
// W has begun, and its present piece began at BEFORE (ms, monotonic) or earlier, if it is slow at SLOW_BEFORE; or W has
// waited since BEFORE for its next piece, which cannot begin for the reason for which worker_withdraw takes work back.
bool worker_is_held_up(struct worker_pool *pool, const struct work *w, uint64_t before, uint64_t slow_before);
// How many threads the pool has.
unsigned worker_count(struct worker_pool *pool);
struct worker_load {
    unsigned threads;         // workers
    unsigned queued, running; // pieces of work
};
void worker_get_load(struct worker_pool *pool, struct worker_load *ret);
// From now on worker_submit offers instant work to TAKE(DATA, W) first, which runs W itself if it returns true.
// NULL: worker_submit offers it to nobody.
void worker_pool_offer(struct worker_pool *pool, bool (*take)(void *data, struct work *w), void *data);
// On a thread that has run W itself, outside of the loop: makes the loop call done().
void worker_complete(struct worker_pool *pool, struct work *w);
// Begins nothing more; queued work is forgotten without done().  Waits up to TIMEOUT_MS for the work that is running.
// True: all workers have ended.  False: a worker hangs; the pool must stay, and the process should end by _exit.
bool worker_pool_stop(struct worker_pool *pool, unsigned timeout_ms);
void worker_pool_free(struct worker_pool *pool); // after a stop that returned true
