// The space of the spill directory's file system.
#include "daemon/store/store_internal.h"

int store_space(struct store *s, struct store_space *ret)
{
    struct statvfs fs;
    int r = s->ops->stat_fs(s->dir_fd, &fs);

    if (r < 0)
        return r;
    ret->total = (uint64_t)fs.f_blocks * fs.f_frsize;
    ret->used = (uint64_t)(fs.f_blocks - fs.f_bfree) * fs.f_frsize;
    // Without the blocks that are reserved for root, even if the daemon runs as root.
    ret->available = (uint64_t)fs.f_bavail * fs.f_frsize;
    return 0;
}

void store_explain_full(struct store *s, int error, uint64_t bytes, struct full_limit *ret)
{
    full_explain(s->ops, s->dir_fd, error, bytes, ret);
}
