// Changing the blocks of a spill file without a daemon: what the directory backend and a caller's file have in common.  Sizes and offsets
// are bytes.
#pragma once
#include <stdbool.h>
#include <stdint.h>

#include "proto/util/ranges.h"

// Grows a file, which has blocks up to OLD_SIZE, to SIZE.  Where fallocate is not supported, the file grows without blocks.
// 0, or -errno with the reason noted, and the file is as before.
int spill_grow(int fd, uint64_t old_size, uint64_t size, bool sparse);
// Notes why growing by ASKED bytes failed with R, and what is left on the file system of FD.  Returns the errno for the caller.
int spill_refused(int fd, int r, uint64_t asked);

// Allocates blocks for the bytes from FROM to TO, but not for the parts in WITHOUT.  0; or -errno, and the blocks that were allocated stay.
int spill_fill(int fd, uint64_t from, uint64_t to, const struct ranges *without);
// Both take whole blocks within the file, and keep DISCARDED, the set of its discarded parts.  0; or -errno with the reason noted, and file
// and set are as before.
int spill_discard(int fd, struct ranges *discarded, uint64_t offset, uint64_t length);
int spill_restore(int fd, struct ranges *discarded, uint64_t offset, uint64_t length);
