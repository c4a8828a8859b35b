// Growing a spill file without a daemon: what the directory backend and a caller's file have in common.
#pragma once
#include <stdbool.h>
#include <stdint.h>

// From OLD_SIZE, up to which it has blocks, to SIZE.  Where fallocate is not supported the file grows without a promise.
// 0 or -errno with the reason noted, and the file is as before.
int spill_grow(int fd, uint64_t old_size, uint64_t size, bool sparse);
// Notes what is left on FD's file system.  Returns R.
int spill_refused(int fd, int r, uint64_t asked);
