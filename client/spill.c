#include "client/spill.h"

#include <errno.h>

#include "client/error.h"
#include "proto/spillfile.h"

int spill_refused(int fd, int r, uint64_t asked)
{
    struct statvfs fs;
    uint64_t total, available;

    if (r == -EFBIG)
        return error_why(-EOVERFLOW, "the file system has no files of that size");
    if (r != -ENOSPC || file_ops_system.stat_fs(fd, &fs) < 0)
        return error_why(r, "growing the spill file");
    total = (uint64_t)fs.f_blocks * fs.f_frsize;
    available = (uint64_t)fs.f_bavail * fs.f_frsize;
    error_limit(r, "disk", total, total - available, asked);
    return error_why(r, "the disk is full");
}

int spill_grow(int fd, uint64_t old_size, uint64_t size, bool sparse)
{
    int r = spillfile_resize(&file_ops_system, fd, old_size, size, sparse);

    if (r == -EOPNOTSUPP && !sparse)
        r = spillfile_resize(&file_ops_system, fd, old_size, size, true);
    return r < 0 ? spill_refused(fd, r, size - old_size) : 0;
}
