// The calls on projects: see project.h.
#include "proto/spill/project.h"

#include <errno.h>
#include <linux/dqblk_xfs.h>
#include <linux/fs.h>
#include <linux/quota.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <unistd.h>

enum { QUOTA_BLOCK = 1024 }; // bytes; of the limits in struct if_dqblk

static int call(int fd, unsigned command, uint32_t id, void *data)
{
#ifdef SYS_quotactl_fd
    return syscall(SYS_quotactl_fd, fd, QCMD(command, PRJQUOTA), id, data) < 0 ? -errno : 0;
#else
    (void)fd, (void)command, (void)id, (void)data;
    return -ENOSYS;
#endif
}

uint32_t project_of(int fd)
{
    struct fsxattr x;

    return ioctl(fd, FS_IOC_FSGETXATTR, &x) < 0 ? 0 : x.fsx_projid;
}

int project_set(int fd, uint32_t id)
{
    struct fsxattr x;

    if (ioctl(fd, FS_IOC_FSGETXATTR, &x) < 0)
        return -errno;
    x.fsx_projid = id;
    return ioctl(fd, FS_IOC_FSSETXATTR, &x) < 0 ? -errno : 0;
}

// ENOSYS has two meanings: no such system call, and a file system without quotas.
static bool has_call(void)
{
    return call(-1, Q_GETQUOTA, 0, NULL) != -ENOSYS;
}

static int check(int fd)
{
    const unsigned wanted = FS_QUOTA_PDQ_ACCT | FS_QUOTA_PDQ_ENFD;
    struct fs_quota_statv state = {.qs_version = FS_QSTATV_VERSION1};
    int r = has_call() ? call(fd, Q_XGETQSTATV, 0, &state) : -ENOSYS;

    if (r == 0 && (state.qs_flags & wanted) == wanted)
        return 0;
    return r == -EPERM || !has_call() ? r : -EOPNOTSUPP;
}

static int limit(int fd, uint32_t id, uint64_t bytes)
{
    struct if_dqblk q = {.dqb_bhardlimit = bytes / QUOTA_BLOCK + (bytes % QUOTA_BLOCK != 0), .dqb_valid = QIF_BLIMITS};

    return call(fd, Q_SETQUOTA, id, &q);
}

static int usage(int fd, uint32_t id, struct project_usage *ret)
{
    struct if_dqblk q = {0};
    int r = call(fd, Q_GETQUOTA, id, &q);

    if (r == 0)
        *ret = (struct project_usage){
            .limit = q.dqb_bhardlimit * QUOTA_BLOCK, .bytes = q.dqb_curspace, .files = q.dqb_curinodes};
    return r;
}

const struct project_ops project_ops_system = {
    .of = project_of,
    .set = project_set,
    .check = check,
    .limit = limit,
    .usage = usage,
};
