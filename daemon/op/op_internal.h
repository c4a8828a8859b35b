// The parts of operations that the files of this folder share, beside op.h.
#pragma once
#include "daemon/disk.h"
#include "daemon/op/env.h"
#include "daemon/op/op.h"
#include "daemon/reports.h"
#include "daemon/tally.h"

enum { OP_NOTHING_TO_DO = 1 }; // a result of prepare: success, and run is not needed

enum op_effort { OP_ALLOCATES, OP_FREES };

struct op_type {
    // On the loop, when it is the operation's turn: checks and charges.  0: run it; OP_NOTHING_TO_DO; -errno: refused.
    int (*prepare)(struct op *op);
    // On the loop, when the operation ends with a failure, of prepare or of run.  May be NULL.
    void (*refused)(struct op *op);
    // On a worker.  Must not touch anything but OP, the store, and fields of the region that only operations change.
    enum work_status (*run)(struct op *op);
    // On the loop, after run has set op->result: enters the change into the tables, or gives the charge back.  May be
    // NULL.
    void (*conclude)(struct op *op);
    enum tally_operation tally; // under which it is counted
    bool charges;               // prepare charges op->extra
    bool releases;              // success gives a charge back: other operations may be granted what they wait for
    bool asks_consent; // fails with -EBUSY while others may map the region, or write to it; that is tried once more
    bool undoes;       // run calls op_seal before it succeeds, and undoes everything when that says so
    bool changes_file; // run writes to the region's file beside its record
    bool is_news;      // success changes what other clients know of the region
    bool makes_region; // the disk of the region is chosen before prepare
    bool keeps_file;   // uses the file that the region keeps open; all other types close that file first
};

// lifetime.c, in prepare: charges one region of op->size bytes, op->extra of which are granted; and gives that back.
int op_charge_creation(struct op *op);
// In prepare: the control group that a new region counts in is to be noted with its file.
void op_note_cgroup(struct op *op);
// In run, last: gives op->file the name of the region of op->record.  0 or -errno.
int op_link(struct op *op);
void op_give_back_creation(struct op *op);

// The disk that the operation writes to: that of its region, or where the region moves to.
static inline struct disk *op_disk(const struct op *op)
{
    return op->moves ? op->to : op->region->disk;
}

// The project of the file that it writes to.
static inline struct project *op_project(struct op *op)
{
    return op->moves ? &op->project : &op->region->project;
}

// A further disk that the operation reads or writes: where the source of a clone is, or where a region moves to.  NULL:
// there is none beside that of its region.
static inline struct disk *op_other_disk(const struct op *op)
{
    struct disk *other = op->moves ? op->to : op->source_disk;

    return other == op->region->disk ? NULL : other;
}

static inline struct store *op_store(const struct op *op)
{
    return op_disk(op)->store;
}

// place.c: chooses a disk for the region that OP makes.  False: no disk may have it.
bool op_place(struct op *op);
// OP has failed: true if its disk has refused a new region, or failed, and another one may have it.
bool op_tries_elsewhere(struct op *op);
// All disks are tried once more.
void op_place_anew(struct op *op);
// OP ends with RESULT.  If all disks have refused it, the refusal is that of the disk with most space.
void op_end_placing(struct op *op, int result);

// copy.c, of clone and move: one piece of what is to be done so that op->file, a new file on op_disk, gets the bytes of
// op->from, but for op->discarded: blocks first, then the content.  1: there is more; 0: all is copied; -errno.
int op_copy_piece(struct op *op);

// op.c, for the types of operations:

// In prepare: sets op->brief and op->instant by what the operation does to BYTES of the disk.
void op_estimate(struct op *op, enum op_effort effort, uint64_t bytes);
// Whether the region's bytes have blocks.  A sparse region is charged, but takes space only when it is written.
bool op_takes_blocks(const struct op *op);
// Whether OP, a clone, may share blocks with a source on the disk FROM, if its own region is on DISK.
bool op_may_share(const struct op *op, const struct disk *from, const struct disk *disk);
// In run: opens the file of the operation's region with FLAGS (O_RDWR or O_RDONLY).  A new descriptor or -errno.
int op_open_fd(const struct op *op, int flags);
// The same for reading and writing, as op->file.  0 or -errno.
int op_open_file(struct op *op);
// In run: opens the file for the client, as op->fd: see fence_open.  IS_MARK: the client maps the region by this
// descriptor, so it is marked, or the fence of op->generation remembers it.  0 or -errno; op->fd may be there all the
// same.
int op_open_for_client(struct op *op, int flags, bool is_mark);
// In prepare: whether opening the file for the client waits for nobody.
bool op_may_open_instantly(const struct op *op);
// Which result a failure with ERROR (-errno) of the file system has for the client.  If the file system was full in
// some way, the result is -ENOSPC, and op->refusal names the limit, unless it names one already.
int op_explain_failure(struct op *op, int error);
// In run, after everything is undone: closes op->file and sets the result, by op_explain_failure.  Always WORK_DONE.
enum work_status op_finish_run(struct op *op, int result);
// In run, when everything is done: false: OP was cancelled meanwhile, must be undone and fail.
bool op_seal(struct op *op);
// Then: writes the record again that the region had before.  Returns -ECANCELED.
int op_restore_record(struct op *op);

// failure.c:

// Tells the administrator of a refusal, or of an error of the disk: once, and not for each operation that meets it.
void op_report_failure(const struct op *op, int result);
// If the disk has refused: has all regions looked at, from time to time.
void op_suspect_full_disk(const struct op *op, int result);
// On any thread: a failed operation (WHAT is its noun) could not allocate again the blocks that it had freed.
void op_report_missing_blocks(const struct op *op, const char *what);

// report.c.  For those who watch; TEXT may be NULL.  op_report_limit also tells of the limit in op->refusal.
void op_report(const struct op *op, enum report_kind kind, const char *text);
void op_report_limit(const struct op *op, enum report_kind kind, const char *text);
// count.c, for queue.c:

void op_count(const struct op *op); // OP ends, and op->result is set
void op_begin_wait(struct op *op);
void op_end_wait(struct op *op); // before it runs, or ends

// queue.c, for resume.c.  The operation waits in wait.c's queue and no other operation is at work on its region:

// Prepares the operation again: it runs, or it ends, or it goes on waiting because a limit refuses it still.
void op_try_again(struct op *op);
// Ends the operation with RESULT.
void op_give_up(struct op *op, int result);

// queue.c, for stuck.c:

// The work of OP was taken back from the pool, before it began: ends OP.
void op_end_withdrawn(struct op *op, int result, const char *why);
// OP is at work: ends the operations of its region that wait for it.
void op_end_behind(struct op *op, int result, const char *why);

// verify.c, in prepare: 0; or -EACCES with op->why, because the region is frozen.
int op_check_frozen(struct op *op);

// space.c, in run:

// Whether BYTES more fit on the disk without touching keep_free.
// 0, -ENOSPC with op->refusal, -EXFULL for an early operation, or another -errno.
int op_check_space(struct op *op, uint64_t bytes);
// Whether keep_free is still free, after blocks were taken.  As op_check_space.
int op_check_kept(struct op *op);
