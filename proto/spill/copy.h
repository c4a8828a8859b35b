// Copying the content of a spill file into another one.  Sizes and offsets are bytes.
#pragma once
#include <stdint.h>

#include "proto/spill/fileops.h"

#define COPY_PIECE ((uint64_t)64 << 20) // bytes that one call copies at most: the disk takes some 100 ms for that

// Copies what lies from *AT on in the file FROM to the same place in TO, up to END and not more than a piece, and moves
// *AT.  Parts of FROM that nobody has stored to are left out: in TO they must be zero.  Moves the offset of FROM's
// descriptor.  0; or -errno, and *AT is as before.
int copy_piece(const struct file_ops *ops, int from, int to, uint64_t *at, uint64_t end);
