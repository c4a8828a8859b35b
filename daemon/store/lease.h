// Asking the kernel who still uses a file.  See the essay in lease.c.
#pragma once
#include "proto/spill/fileops.h"

// Whether any other process has the file open or mapped.  FD is open for reading only.  1: none; 0: some process;
// -errno.
int lease_ask(int fd);
// The same for writing only: processes that have the file open for reading, or map it so, do not count.
int lease_ask_writers(int fd);

// Tries whether the kernel tells who uses a file of the directory.  SPARE: a file there that nobody uses, for a disk
// on which no new file can be made.  NULL: the kernel tells; otherwise the reason why the directory must not be used,
// in static storage, and *RET_ERROR is -errno.
const char *lease_check(const struct file_ops *ops, int dir_fd, const char *spare, int *ret_error);
