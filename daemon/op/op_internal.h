// The parts of operations that the files of this folder share, beside op.h.
#pragma once
#include "daemon/op/op.h"

enum { OP_NOTHING_TO_DO = 1 }; // a result of prepare: success, and run is not needed

enum op_effort { OP_ALLOCATES, OP_FREES };

struct op_type {
    // On the loop, when it is the operation's turn: checks and charges.  0: run it; OP_NOTHING_TO_DO; -errno: refused.
    int (*prepare)(struct op *op);
    // On the loop, when the operation ends with a failure, of prepare or of run.  May be NULL.
    void (*refused)(struct op *op);
    // On a worker.  Must not touch anything but OP, the store, and fields of the region that only operations change.
    enum work_status (*run)(struct op *op);
    // On the loop, after run has set op->result: enters the change into the tables, or gives the charge back.  May be NULL.
    void (*conclude)(struct op *op);
    bool charges;      // prepare charges op->extra
    bool releases;     // success gives a charge back: other operations may be granted what they wait for
    bool asks_consent; // prepare fails with -EBUSY while others may map the region; that is tried once more
    bool keeps_file;   // uses the file that the region keeps open; all other types close that file first
};

// op.c, for the types of operations:

// In prepare: sets op->brief and op->instant by what the operation does to BYTES of the disk.
void op_estimate(struct op *op, enum op_effort effort, uint64_t bytes);
// Whether the region's bytes have blocks.  A sparse region is charged, but takes space only when it is written.
bool op_takes_blocks(const struct op *op);
// In run: opens the file of the operation's region with FLAGS (O_RDWR or O_RDONLY).  A new descriptor or -errno.
int op_open_fd(const struct op *op, int flags);
// The same for reading and writing, as op->file.  0 or -errno.
int op_open_file(struct op *op);
// In run: closes op->file and sets the result.  Always WORK_DONE.
enum work_status op_finish_run(struct op *op, int result);

// failure.c:

// Tells the administrator of a refusal, or of an error of the disk: once, and not for each operation that meets it.
void op_report_failure(const struct op *op, int result);
// On any thread: a failed operation (WHAT is its noun) could not allocate again the blocks that it had freed.
void op_report_missing_blocks(const struct op *op, const char *what);

// queue.c, for resume.c.  The operation waits in wait.c's queue and no other operation is at work on its region:

// Prepares the operation again: it runs, or it ends, or it goes on waiting because a limit refuses it still.
void op_try_again(struct op *op);
// Ends the operation with RESULT.
void op_give_up(struct op *op, int result);

// space.c, in run:

// Whether BYTES more fit on the disk without touching keep_free.
// 0, -ENOSPC with op->refusal, -EXFULL for an early operation, or another -errno.
int op_check_space(struct op *op, uint64_t bytes);
// Whether keep_free is still free, after blocks were taken.  As op_check_space.
int op_check_kept(struct op *op);
// The file system has failed with ERROR.  If the disk is full, op->refusal says so, unless it names a limit already.
void op_explain_full_disk(struct op *op, int error);

// kept_file.c, for types that keep the file open:

// In prepare, when op->instant is set: whether the file may stay open after this operation.
void op_prepare_file(struct op *op);
// In run: the file that was kept open, or the file opened now, as op->file.  0 or -errno.
int op_take_file(struct op *op);
// In run, instead of op_finish_run with 0: leaves the file open for the next grow, if that is allowed.
enum work_status op_keep_file(struct op *op);
