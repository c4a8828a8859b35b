// For types of operations that keep the region's file open.  See the essay in kept_file.c.
#pragma once
#include "daemon/op/op.h"

// In prepare, when op->instant is set: whether the file may stay open after this operation.
void op_prepare_file(struct op *op);
void op_prepare_new_file(struct op *op); // the same for the operation that makes the file
// In run: the file that was kept open, or the file opened now, as op->file.  0 or -errno.
int op_take_file(struct op *op);
// In run, instead of op_finish_run with 0: leaves the file open for the next grow, if that is allowed.
enum work_status op_keep_file(struct op *op);
