// An operation on a region: decided on the loop, done on a worker, concluded on the loop.  See the essay in queue.c.
#pragma once
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "daemon/region.h"
#include "daemon/work/worker.h"
#include "proto/util/ranges.h"

struct op_type;
struct orphans;
struct store;
struct wait_queue;

// The parts of the daemon that operations use.
struct op_env {
    struct store *store;
    struct region_table *regions;
    struct worker_pool *pool;
    struct orphans *orphans;
    struct wait_queue *wait;
    _Atomic uint64_t keep_free;   // bytes of the disk that are never granted; set by the loop, read by workers
    _Atomic uint64_t ample;       // bytes that may be granted without asking the disk; set by space.c only
    _Atomic uint64_t ample_until; // until then (ms, monotonic)
};

struct op {
    const struct op_type *type;
    struct op_env *env;
    struct region *region;

    // Set by the submitter:
    void (*done)(struct op *op); // on the loop, when result, refusal and fd are set; OP is the submitter's again
    void *owner;                 // the submitter's
    pid_t pid;                   // of the client, for the log
    bool early;                  // a grow ahead of need: -EXFULL instead of a refusal, nothing logged, never waits
    bool read_only;              // open: for reading only
    bool attaches;               // open: for a client that had not attached the region
    bool durable;                // commit: wait until the disk has it
    uint64_t size;               // bytes: the new size; of commit, the bytes used
    uint64_t known_size;         // bytes: shrink fails with -ESTALE if the region has another size
    uint32_t element_size;       // bytes: of commit
    uint64_t offset, length;     // bytes: of discard and restore
    uint64_t wait_deadline;      // ms, monotonic: how long a grow waits for what a limit refuses; 0: not at all
    // The operation begins, or ceases, to wait for what was refused.  May be NULL.
    void (*waits)(struct op *op, bool waits);
    // wait_deadline has passed, and the disk or the region's queue holds the operation up.  May be NULL.
    void (*late)(struct op *op);
    atomic_bool cancelled; // set by op_cancel on the loop, read by run: stop at the next piece, and undo

    // The outcome:
    int result;                   // 0 or -errno
    struct quota_refusal refusal; // with -EDQUOT and -ENOSPC: which limit refused
    int fd;                       // of open and create: to be handed out; the submitter closes it

    // Set in prepare, used by run and conclude:
    bool brief, instant;     // see struct work
    bool may_keep_file;      // the file may stay open after this operation
    bool proven_unshared;    // open, set by run: no process from before the daemon's start has the file
    uint64_t extra;          // bytes charged beyond the region's charge before
    struct record record;    // the record that will be written
    struct ranges discarded; // discard and restore: region->discarded after success

    // Used by run, between its pieces:
    struct work work;
    int file;         // the region's file; -1: not open
    uint64_t at;      // bytes: the offset up to which this operation has come
    int undo;         // -errno: the operation is being undone, piece by piece; 0: it is not
    uint64_t reached; // bytes: the offset at which undoing began

    // queue.c's:
    bool parked; // the operation waits outside its region's queue
    TAILQ_ENTRY(op) entry;
    // wait.c's.  Times are ms, monotonic.
    bool is_waiting;     // in the queue of waiters
    int refused_with;    // the -errno for which it waits
    uint64_t wait_since; // when it was first refused; 0: never
    uint64_t wait_until; // end of the grace for releases that are under way
    uint64_t retry_at;   // next try without a release; UINT64_MAX: none
    TAILQ_ENTRY(op) waiting;
    bool is_watched; // in the list of operations with a deadline
    TAILQ_ENTRY(op) watched;
};

void op_init(struct op *op, struct op_env *env, const struct op_type *type, struct region *region);
// Queues OP behind the other operations of its region.  done may be called before this returns.
void op_submit(struct op *op);
// Makes OP stop at its next piece, or at once if it waits for a limit.  An operation that has come too far succeeds.
void op_cancel(struct op *op);

// Tries the operations that wait for a limit, and ends those that have waited long enough.  NOW: ms, monotonic.
void op_resume_waiting(struct op_env *env, uint64_t now);
// Ends all operations that wait for a limit with -ESHUTDOWN.
void op_end_waiting(struct op_env *env);
// Probes the orphans that are due at NOW (ms, monotonic) and removes those that nobody uses.
void op_reap_orphans(struct op_env *env, uint64_t now);
// Closes the files that were kept open for a next grow, if no grow has come since the last call.
void op_close_unused_files(struct op_env *env);

extern const struct op_type op_create, op_open, op_grow, op_shrink, op_commit, op_unlink, op_reap, op_discard,
    op_restore;
