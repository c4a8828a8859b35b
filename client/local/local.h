// The backend that makes regions itself, in a directory, and the backing of a file that the caller has.
#pragma once
#include "client/backend.h"

// The directory PATH, which is copied.  0 or -errno, with the reason noted: the directory can't be opened, or its
// file system can't hold spill files.
int local_backend_new(const char *path, struct backend **ret);

// The file that the caller has open as FD, which is duplicated.  FLAGS: DISKALLOC_REGION_SPARSE,
// DISKALLOC_REGION_READ_ONLY. 0; -EINVAL: not a regular file; -EACCES: open for writing only; -EBADF, -EMFILE, ...
int file_backing_new(int fd, uint32_t flags, struct backing **ret);
