// Operations that take bytes away ask here whether another process may map these bytes.  See the essay in consent.c.
#pragma once
#include "daemon/op/op.h"

// In prepare, after op_estimate: -EBUSY if another process may map the region.  0: none does; or the kernel has to be
// asked (op->asks_marks).
int op_prepare_alone(struct op *op);
// In run, before anything is changed, when op->file is open: asks the kernel, if that has to be.  0, -EBUSY or another
// -errno.
int op_check_alone(struct op *op);
// In conclude.
void op_conclude_alone(struct op *op);
// Open and create call one of these: it notes in op->record how the daemon knows from now on who maps the region.  The
// first one if no other process uses the file, the second one if some may.
void op_note_unused(struct op *op);
void op_note_used(struct op *op);
// In prepare of open: whether the kernel has to be asked for children of processes that have left the region.
bool op_has_unknown_children(const struct op *op);
