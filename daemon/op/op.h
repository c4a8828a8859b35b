// One operation on a region: decided on the loop, done on a worker, concluded on the loop.  See the essay in op.c.
#pragma once
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "daemon/region.h"
#include "daemon/work/worker.h"
#include "proto/util/ranges.h"

struct orphans;
struct store;
struct wait_queue;

// What operations need to know of the daemon.
struct op_env {
    struct store *store;
    struct region_table *regions;
    struct worker_pool *pool;
    struct orphans *orphans;
    struct wait_queue *wait;
    _Atomic uint64_t keep_free;          // bytes of the disk that are never granted; workers read it
    _Atomic uint64_t ample, ample_until; // see op_space.c
};

enum { OP_NOTHING_TO_DO = 1 }; // of prepare: done already, and well

enum op_effort { OP_ALLOCATES, OP_FREES };

struct op_type {
    // On the loop, when its turn has come: checks and charges.  0: run it; OP_NOTHING_TO_DO; -errno: refused.
    int (*prepare)(struct op *op);
    // On the loop, when a failure stands, of prepare or of run; may be NULL.
    void (*refused)(struct op *op);
    // On a worker, which touches nothing but OP, the store, and what no other operation of the region can change.
    enum work_status (*run)(struct op *op);
    // On the loop, after run, op->result being 0 or -errno: makes it true in the tables, or gives the charge back; may be NULL.
    void (*conclude)(struct op *op);
    bool charges;      // prepare charges op->extra
    bool releases;     // success gives a charge back: others may be granted what they wait for
    bool asks_consent; // prepare fails with -EBUSY while others may map the region; that is tried once more
    bool keeps_file;   // uses the file that the region keeps open; all other types close that file first
};

struct op {
    const struct op_type *type;
    struct op_env *env;
    struct region *region;
    void (*done)(struct op *op); // on the loop, with result, refusal, fd; OP is the caller's again
    void *owner;
    bool brief;
    bool instant;          // a few microseconds, see loop.c
    bool early;            // a grow that nobody needs yet: refused with -EXFULL sooner, and without a word
    atomic_bool cancelled; // stop at the next piece, undone

    int result;
    struct quota_refusal refusal; // with -EDQUOT and -ENOSPC
    int fd;                       // of open and create: to be handed out, the caller's to close

    pid_t pid;      // of who asked, for the log
    bool read_only; // of open
    bool attaches;  // of open: somebody who was not attached
    bool proven_unshared;
    bool durable;              // of commit
    uint64_t size, known_size; // size: of commit, the bytes used
    uint32_t element_size;
    struct record record;                     // of commit and unlink: as it shall be
    uint64_t offset, length;                  // of discard and restore
    struct ranges discarded;                  // of discard and restore: as it shall be
    void (*waits)(struct op *op, bool waits); // it begins, or ceases, to wait for what was refused; may be NULL
    void (*late)(
        struct op *op); // with wait_deadline: it has passed, and the disk or the queue holds the operation; may be NULL
    uint64_t wait_deadline; // of grow: how long it waits for what a limit refuses (ms, monotonic); 0: not

    // While it runs:
    struct work work;
    int file; // -1: not open
    bool may_keep_file;
    uint64_t at, extra; // granted up to; charged beyond what the region had
    int undo;           // the error for which it is being undone, piece by piece; 0: it is not
    uint64_t reached;   // then: how far it had come
    TAILQ_ENTRY(op) entry;
    // While it waits for what was refused: see wait.c.  Times are ms, monotonic.
    bool is_waiting, parked; // parked: not in its region's queue
    int refused_with;
    uint64_t wait_since, wait_until, retry_at; // wait_until: the end of grace
    TAILQ_ENTRY(op) waiting;
    bool is_watched; // for its deadline
    TAILQ_ENTRY(op) watched;
};

void op_init(struct op *op, struct op_env *env, const struct op_type *type, struct region *region);
// Queues it behind the region's other operations.  done may be called before this returns.
void op_submit(struct op *op);
// Stop at the next piece, or at once if it waits for a limit.
void op_cancel(struct op *op);
// For wait.c, of one that waits: false: refused again, and it goes on waiting.
bool op_try_again(struct op *op);
void op_give_up(struct op *op, int result);
// Probes the orphans that are due at NOW (ms, monotonic) and removes those that nobody uses.
void op_reap_orphans(struct op_env *env, uint64_t now);

// Of the files that stay open (op_files.c), closes those that were not used since the last time.
void op_close_unused_files(struct op_env *env);

extern const struct op_type op_create, op_open, op_grow, op_shrink, op_commit, op_unlink, op_reap, op_discard,
    op_restore;
