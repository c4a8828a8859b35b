// What the kinds of operations (op_*.c) share beside op.h: how long they take, the space on the disk, the files.
#pragma once
#include "daemon/op/op.h"

// For prepare: how long the disk will be at it (brief, instant).
void op_estimate(struct op *op, enum op_effort effort, uint64_t bytes);
// For the run of those that need disk space: whether BYTES more would leave keep_free, and whether it is free now.
// 0, -ENOSPC with op->refusal, or for an early one -EXFULL.
int op_check_space(struct op *op, uint64_t bytes);
int op_check_kept(struct op *op);
void op_explain_full_disk(struct op *op, uint64_t bytes);  // after an ENOSPC of the file system
enum work_status op_finish_run(struct op *op, int result); // closes op->file

// Files that stay open (op_files.c): of a grow, in prepare, run (0 or -errno, and op->file), at its end, in conclude.
void op_prepare_file(struct op *op);
int op_take_file(struct op *op);
enum work_status op_keep_file(struct op *op); // ends the run, well
void op_conclude_file(struct op *op);
void op_close_file(struct region *r);
