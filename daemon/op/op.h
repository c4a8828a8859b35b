// An operation on a region: decided on the loop, done on a worker, concluded on the loop.  See the essay in queue.c.
#pragma once
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "daemon/region.h"
#include "daemon/store/deviation.h"
#include "daemon/work/worker.h"
#include "proto/util/ranges.h"

struct op_env;
struct op_type;

struct op {
    const struct op_type *type;
    struct op_env *env;
    struct region *region;

    // Set by the submitter:
    void (*done)(struct op *op); // on the loop, when result, refusal and fd are set; OP is the submitter's again
    void *owner;                 // the submitter's
    pid_t pid;                   // of the client, for the log
    uint64_t identity;           // of the client's process, see holder_identity
    struct user *asker;          // who asks, a reference of the submitter's; NULL: the region's owner
    bool early;                  // a grow or create ahead of need: -EXFULL instead of a refusal, no log, never waits
    bool read_only;              // open: for reading only
    bool attaches;               // open: for a client that had not attached the region on its connection
    enum holder_claim claim;     // open: of that client
    struct holder opener;        // open: that client
    const struct peer
        *peer;             // open: that client's connection, to compare; NULL: for another descriptor of an attachment
    bool sole_writer;      // open and create: that client lets nobody else write
    bool returns;          // open: a sole writer, whose connection was lost, attaches the region again
    bool durable;          // commit: wait until the disk has it
    uint64_t size;         // bytes: the new size; of commit, the bytes used
    uint64_t known_size;   // bytes: shrink fails with -ESTALE if the region has another size
    uint32_t element_size; // bytes: of commit
    uint64_t expires;      // seconds: of set_expiry; 0: never
    uint64_t offset, length; // bytes: of discard and restore
    uint64_t wait_deadline;  // ms, monotonic: how long a grow waits for what a limit refuses; 0: not at all
    uint64_t agree_until;    // ms, monotonic: how long a shrink waits for the agreement of others; 0: not at all
    const char *objection;   // ask.c's: a sentence about why others are not asked any longer; NULL: they may be
    // Shrink: the connection that asks, to compare; NULL: it has ended.
    const struct peer *by;
    // The operation begins, or ceases, to wait for what was refused.  May be NULL.
    void (*waits)(struct op *op, bool waits);
    // The operation is held up, by the disk, the region's queue or whoever has the file's lock, and will be undone when
    // that ends: its wait_deadline has passed, or it is stuck (stuck.c).  May be called several times.  May be NULL.
    void (*late)(struct op *op);
    atomic_bool cancelled; // set by op_cancel on the loop, read by run: stop at the next piece, and undo
    atomic_bool sealed;    // set by run: it has succeeded, and will not be undone any more

    // The outcome:
    int result;                   // 0 or -errno
    bool changed;                 // what other clients know of the region is not true any more
    struct quota_refusal refusal; // with -EDQUOT and -ENOSPC: which limit refused
    int fd;                       // of open and create: to be handed out; the submitter closes it
    const char *why;     // with -EIO, -ETIMEDOUT and -EBUSY: a sentence, valid until the loop turns; NULL: none
    uint64_t generation; // of open and create: of the fence that knows of fd; 0: fd is marked, if need be

    uint64_t began_us; // count.c's: since when it is queued or at work, or since when it waits; microseconds, monotonic

    // Set in prepare, used by run and conclude:
    bool brief, instant; // see struct work
    bool may_keep_file;  // the file may stay open after this operation
    uint64_t bound;      // bytes that will be granted of the region: for op_bound
    bool asks_lease;     // open: asks the kernel whether the region is used; after run: it is not
    // The processes that have agreed, and the client's: n_identities of them, in ascending order, where asks_marks.
    uint64_t *identities;
    size_t n_identities;
    bool asks_marks;   // shrink and discard: only marks, or the fence, tell whether another process maps the region
    bool asks_return;  // open: asks whether the client can be the sole writer that it says it has been
    bool asks_writers; // open: asks the kernel whether a process may write to the region
    // open: other holders; RECORD_HOLDERS_MOST: not known.  Run sets it to 0 if the kernel says that there are none.
    unsigned n_others;
    uint64_t extra;                // bytes charged beyond the region's charge before
    struct record record;          // the record that will be written
    int64_t clock_set_by;          // set_expiry: as region.clock_set_by, for that record
    uint64_t tried;                // of create and clone: disks that have refused the region, see struct disk_wish
    struct quota_refusal *by_disk; // of these disks, by the one with most space; owned, or NULL
    const char *cgroup;            // create: is noted with the file, unless NULL; the region's job has it
    bool record_is_written;        // open: it was written, whatever the result is
    // Shrink and discard, after run has failed: the disk does not give all blocks back that were freed.  size or
    // discarded, record and extra say what has become of the region.
    bool is_partial;
    struct ranges discarded; // discard and restore: region->discarded after success

    // Of clone:
    struct region *source; // the region that is copied, which the submitter keeps (region.n_readers)
    // The submitter is told, on the loop, how far the copying has come; of move too.  May be NULL.
    void (*tell)(struct op *op, uint64_t done, uint64_t all);
    uid_t source_owner; // set in prepare, like the next two: the source's
    struct handle source_handle;
    struct disk *source_disk;
    bool source_lost;        // by run: the kernel has said that content of the source did not come to the disk
    uint64_t told;           // what the submitter was told last
    _Atomic uint64_t copied; // of move too.  Bytes: run has come up to this offset

    // Of move:
    struct disk *to;     // set by the submitter: where the region moves to
    bool is_forced;      // set by the submitter: no limit refuses the copy
    bool moves;          // it has been prepared, and copy and project are valid
    bool has_moved;      // run has come so far that the region is on the other disk
    bool is_left_behind; // the former file could not be removed
    int old_file;        // the former file, open for writing; -1: not open
    struct quota_charge copy;
    struct project project; // of the new file

    // Used by run, between its pieces:
    struct work work;
    int step;              // clone.c's, move.c's or access.c's
    int from;              // clone and move: the file that is copied; -1: not open
    bool shares;           // clone: the two files share their blocks
    unsigned n_write_outs; // clone: how often the source was written out
    int file;              // the region's file; -1: not open
    uint64_t at;           // bytes: the offset up to which this operation has come
    int undo;              // -errno: the operation is being undone, piece by piece; 0: it is not
    uint64_t reached;      // bytes: the offset at which undoing began
    // Of verify:
    bool noted;                       // set by the submitter: there was an event
    bool deep;                        // set in prepare: looks for what the count of blocks does not tell
    bool is_cut;                      // what was too much has been cut off
    int mend_error;                   // -errno: the file could not be made what is granted
    struct store_deviation deviation; // how the file differed

    // queue.c's:
    bool parked; // the operation waits outside its region's queue
    LIST_ENTRY(op) at_work;
    TAILQ_ENTRY(op) entry;
    // wait.c's.  Times are ms, monotonic.
    bool is_waiting;          // in the queue of waiters
    int refused_with;         // the -errno for which it waits
    uint64_t wait_since;      // when it was first refused; 0: never
    uint64_t wait_until;      // end of the grace for releases that are under way
    uint64_t retry_at;        // next try without a release; UINT64_MAX: none
    struct waits *waits_with; // those of the same user; NULL: it does not wait
    TAILQ_ENTRY(op) waiting, ending;
    bool is_ending;
    uint64_t due_at, late_at, judgement;
    bool is_watched;    // has a deadline
    bool wait_reported; // those who watch know that the operation waits
    RB_ENTRY(op) due, watched;
};

void op_init(struct op *op, struct op_env *env, const struct op_type *type, struct region *region);
// Queues OP behind the other operations of its region.  done may be called before this returns.
void op_submit(struct op *op);
// Makes OP stop at its next piece, or at once if it waits for a limit.  An operation that has come too far succeeds.
// True: OP will fail for certain, if its type can be undone to the last.
bool op_cancel(struct op *op);
// Nobody wants OP any more.  As op_cancel, and if OP would charge something and has not begun, it ends before this
// returns, also on a disk that hangs.  Not to be called from done, waits or late.
void op_abandon(struct op *op);

// The daemon ends while this move is under way: gives its charge back.
void op_move_forget(struct op *op);

extern const struct op_type op_create, op_open, op_grow, op_shrink, op_commit, op_unlink, op_reap, op_discard,
    op_restore, op_verify, op_set_expiry, op_clone, op_move;
