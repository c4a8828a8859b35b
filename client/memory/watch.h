// Watches the regions of a client that are larger, together, than the memory that they can have.  See the essay in
// watch.c.  Sizes are bytes.
#pragma once
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/queue.h>

#include "client/memory/pressure.h"
#include "client/util/background.h"

struct watch;

// Embedded in a region.
struct watch_entry {
    TAILQ_ENTRY(watch_entry) entry;
    // On the client's thread, with the lock of the watch held.  REGULAR: the last look was not long ago.  True: there
    // is something left to do, in another call.
    bool (*look)(struct watch_entry *e, bool regular);
    _Atomic uint64_t size;
    _Atomic bool listed;
};
TAILQ_HEAD(watch_list, watch_entry);

struct watch {
    struct background_task task;
    struct background *background;
    bool off;
    _Atomic bool awake;   // the task is at work, or in a pause
    pthread_mutex_t lock; // of the next two
    struct watch_list list;
    struct watch_entry *next;  // to be looked at in this round; NULL: the round is over
    _Atomic uint64_t total;    // of all that are listed
    _Atomic uint64_t ask_at;   // when total has come to this, it is compared with the memory
    _Atomic uint64_t n_rounds; // of looks
    _Atomic uint64_t n_single; // changes to single pages, of parts of regions
    _Atomic uint64_t n_large;  // changes back to large pages
    _Atomic unsigned n_files;  // regions that keep a descriptor to be looked at
    _Atomic bool announced;    // reads were announced since the last round
    // Of the task only:
    bool unfinished; // next has something left to do
    struct pressure pressure;
    uint64_t memory, asked; // the memory; the time of the answer (proto/util/clock.h); 0: not asked yet
    bool full;              // pages of files take nearly all of it
    unsigned n_quiet;       // pauses since the last round
    uint64_t majors;        // major faults of the process, at the last round
    bool sparse;            // the process has touched hardly any of the bytes that it had read from disk
    uint64_t sparse_until;  // a time
    uint64_t bytes, user;   // read from disk, and µs of computing, when the measurement of that began
};

void watch_init(struct watch *w, struct background *background);
void watch_deinit(struct watch *w);
// The region of E has SIZE bytes now.  Called by one thread at a time for each region.
void watch_note(struct watch *w, struct watch_entry *e, uint64_t size);
// When this returns, E is not looked at and will not be.  Does nothing for a region that was never large.
void watch_remove(struct watch *w, struct watch_entry *e);

// Around a fork, and in the child: no region of the parent's is watched there.
void watch_prepare_fork(struct watch *w);
void watch_after_fork(struct watch *w);
void watch_forked(struct watch *w);
