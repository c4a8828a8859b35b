// The project of an operation's region, by which the kernel bounds what its file may occupy.  See the essay in bound.c.
#pragma once
#include <stdbool.h>
#include <stdint.h>

struct op;

// In run:

// Lets the region's project have op->bound bytes, and puts FD, the region's file, into a project if it is in none.
void op_bound(struct op *op, int fd);
// Whether a descriptor for writing is about to be handed out of a file that is in no project, and should be.
bool op_needs_project(const struct op *op);
// As store_extend_piece on op->file and op->at.  If the project's limit refuses, the bytes that a client has taken of
// it are cut off first.
int op_extend_piece(struct op *op, uint64_t to);
// The region's file is gone.
void op_unbound(struct op *op);
// On the loop: OP has ended, and is the first in its region's queue still.  If the limit of the region's project
// is too high now, queues an operation behind OP that lowers it.
void op_tighten(struct op *op);
