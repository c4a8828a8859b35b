// Changing the blocks of a spill file without a daemon: what the directory backend and a caller's file have in
// common.  Sizes and offsets are bytes.
#pragma once
#include <stdbool.h>
#include <stdint.h>

#include "proto/util/ranges.h"

// Grows a file, which has blocks up to OLD_SIZE, to SIZE.  Where fallocate is not supported, the file grows without
// blocks. 0, or -errno with the reason noted, and the file is as before.
int spill_grow(int fd, uint64_t old_size, uint64_t size, bool sparse);
// The same while other processes may grow the file too (LOCK_SHARED): no step makes the file shorter.  After a
// failure its size is as before, but blocks behind its end may stay, until its size is next set.
int spill_grow_shared(int fd, uint64_t old_size, uint64_t size, bool sparse);
// Notes why growing by ASKED bytes failed with R, and what is left on the file system of FD.  Returns the errno for
// the caller.
int spill_refused(int fd, int r, uint64_t asked);

// Gives blocks of its own to each byte from FROM to TO that has none, but for the parts in WITHOUT.  MORE: bytes that
// are to be allocated afterwards: a file that does not fit is refused before anything is changed.  0; or -errno with
// the reason noted, and the blocks that were allocated stay.
int spill_fill_holes(int fd, uint64_t from, uint64_t to, const struct ranges *without, uint64_t more);
// Both take whole blocks within the file, and keep DISCARDED, the set of its discarded parts.  0; or -errno with the
// reason noted, and file and set are as before.  SHARED: other processes may restore the same part, so blocks that
// were allocated stay.
int spill_discard(int fd, struct ranges *discarded, uint64_t offset, uint64_t length);
int spill_restore(int fd, struct ranges *discarded, uint64_t offset, uint64_t length, bool shared);
