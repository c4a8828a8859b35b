// Limits of the file system itself.  ENOSPC can mean that there are no inodes left, though there is room for bytes.
// EDQUOT names nothing: it can be the quota of a user, a group or a project (quotactl(2)), of bytes or of files, or
// of a qgroup of btrfs, whose numbers only root can read and which is not asked for here.
//
// quotactl_fd(2) takes any descriptor, so the device need not be known.  Linux has it since 5.14; older ones tell no
// numbers.
#include "proto/spill/full.h"

#include <errno.h>
#include <linux/quota.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "proto/spill/project.h"

enum { QUOTA_BLOCK = 1024 }; // bytes; of the limits in struct if_dqblk

static const char quota_name[] = "file system quota", quota_inodes_name[] = "file system quota inodes";

static bool read_quota(int fd, unsigned type, unsigned id, struct if_dqblk *ret)
{
    *ret = (struct if_dqblk){0};
#ifdef SYS_quotactl_fd
    return syscall(SYS_quotactl_fd, fd, QCMD((unsigned)Q_GETQUOTA, type), id, ret) == 0;
#else
    (void)fd, (void)type, (void)id;
    return false;
#endif
}

static bool is_fuller(const struct full_limit *a, const struct full_limit *than)
{
    uint64_t left = a->limit > a->used ? a->limit - a->used : 0;
    uint64_t left_there = than->limit > than->used ? than->limit - than->used : 0;

    return !than->name || left < left_there;
}

static void take_quota(const struct if_dqblk *q, struct full_limit *bytes, struct full_limit *files)
{
    struct full_limit b = {quota_name, false, q->dqb_bhardlimit * QUOTA_BLOCK, q->dqb_curspace};
    struct full_limit f = {quota_inodes_name, true, q->dqb_ihardlimit, q->dqb_curinodes};

    if (b.limit > 0 && is_fuller(&b, bytes))
        *bytes = b;
    if (f.limit > 0 && is_fuller(&f, files))
        *files = f;
}

static void read_quotas(int fd, struct full_limit *bytes, struct full_limit *files)
{
    struct if_dqblk q;
    uint32_t project = project_of(fd);

    if (read_quota(fd, USRQUOTA, geteuid(), &q))
        take_quota(&q, bytes, files);
    if (read_quota(fd, GRPQUOTA, getegid(), &q))
        take_quota(&q, bytes, files);
    if (project != 0 && read_quota(fd, PRJQUOTA, project, &q))
        take_quota(&q, bytes, files);
}

// File systems that make inodes as they are needed count none.
static bool read_inodes(const struct statvfs *fs, struct full_limit *ret)
{
    if (fs->f_files == 0)
        return false;
    *ret = (struct full_limit){"disk inodes", true, fs->f_files, fs->f_files - fs->f_favail};
    return true;
}

unsigned full_limits(const struct file_ops *ops, int fd, struct full_limit ret[static FULL_LIMITS])
{
    struct full_limit bytes = {0}, files = {0};
    struct statvfs fs;
    unsigned n = 0;

    if (ops->stat_fs(fd, &fs) == 0 && read_inodes(&fs, &ret[n]))
        n++;
    read_quotas(fd, &bytes, &files);
    if (bytes.name)
        ret[n++] = bytes;
    if (files.name)
        ret[n++] = files;
    return n;
}

static bool is_reached(const struct full_limit *l, uint64_t more)
{
    return l->name && (l->used >= l->limit || l->limit - l->used < more);
}

// A quota whose limit is not reached did not refuse: then it was one that the kernel does not tell.
static void explain_quota(int fd, uint64_t bytes, struct full_limit *ret)
{
    struct full_limit of_bytes = {0}, of_files = {0};

    read_quotas(fd, &of_bytes, &of_files);
    if (is_reached(&of_files, 1) && !(bytes > 0 && is_reached(&of_bytes, bytes)))
        *ret = of_files;
    else if (is_reached(&of_bytes, bytes > 0 ? bytes : 1))
        *ret = of_bytes;
    else
        *ret = (struct full_limit){.name = quota_name};
}

void full_explain(const struct file_ops *ops, int fd, int error, uint64_t bytes, struct full_limit *ret)
{
    struct statvfs fs = {0};
    uint64_t available;

    if (error == -EDQUOT) {
        explain_quota(fd, bytes, ret);
        return;
    }
    *ret = (struct full_limit){.name = "disk"};
    if (ops->stat_fs(fd, &fs) < 0)
        return;
    available = (uint64_t)fs.f_bavail * fs.f_frsize;
    if (fs.f_files > 0 && fs.f_favail == 0 && available >= bytes && read_inodes(&fs, ret))
        return;
    ret->limit = (uint64_t)fs.f_blocks * fs.f_frsize;
    ret->used = ret->limit - available;
}
