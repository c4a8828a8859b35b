// Changing a spill file without a daemon: what the directory backend and a caller's file have in common.
#pragma once
#include <stdbool.h>
#include <stdint.h>

#include "proto/util/ranges.h"

// From OLD_SIZE, up to which it has blocks, to SIZE.  Where fallocate is not supported the file grows without a promise.
// 0 or -errno with the reason noted, and the file is as before.
int spill_grow(int fd, uint64_t old_size, uint64_t size, bool sparse);
// Notes what is left on FD's file system.  Returns R.
int spill_refused(int fd, int r, uint64_t asked);

// Blocks for what lies between FROM and TO, but for WITHOUT.  0 or -errno, and what it did stays.
int spill_fill(int fd, uint64_t from, uint64_t to, const struct ranges *without);
// Both of whole blocks within the file; DISCARDED is what is discarded of it, and follows.  0 or -errno with the reason noted, and
// both are as before.
int spill_discard(int fd, struct ranges *discarded, uint64_t offset, uint64_t length);
int spill_restore(int fd, struct ranges *discarded, uint64_t offset, uint64_t length);
