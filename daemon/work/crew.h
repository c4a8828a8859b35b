// The workers of a pool that take the same kinds of work: how they wait, and are called.  See the essay in crew.c.
// All functions are called with the lock of the pool.
#pragma once
#include <pthread.h>
#include <semaphore.h>
#include <stdbool.h>
#include <stdint.h>

struct crew {
    sem_t calls; // one for each idle worker that was called and has not run yet
    bool brief_only;
    unsigned n_fixed;    // workers that stay
    unsigned n_alive;    // workers that have not ended
    unsigned n_idle;     // those that wait for work
    unsigned n_called;   // of the idle workers: those that were called and have not run yet
    unsigned n_taken;    // pieces of work so far; the overseer compares
    unsigned seen;       // n_taken as the overseer saw it last
    uint64_t waits_from; // ms, monotonic: since when work waits and none is taken; 0: it does not.  The overseer's
};

void crew_init(struct crew *crew);
void crew_deinit(struct crew *crew);
bool crew_has_free(const struct crew *crew); // a worker that is idle and was not called
// Wakes an idle worker and counts it as called, so that work submitted before it runs does not count on it as well.
// Does nothing if all have been called.
void crew_call(struct crew *crew);
void crew_call_all(struct crew *crew);
// A worker that finds no work waits here until it is called.  Gives LOCK back meanwhile.  False: this worker was added,
// has had nothing to do for a minute, and ends.
bool crew_wait(struct crew *crew, pthread_mutex_t *lock);
