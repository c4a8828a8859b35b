// The calls of fileops.h, made to the kernel.
#include "proto/spill/fileops.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <linux/openat2.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <sys/xattr.h>
#include <unistd.h>

enum { OPEN_ATTEMPTS = 1000 }; // as other users may rename files in a loop

static int system_open_at(int dirfd, const char *path, int flags, mode_t mode)
{
    struct open_how how = {
        .flags = (uint64_t)(unsigned)flags | O_CLOEXEC | O_NOFOLLOW,
        .mode = mode,
        .resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS,
    };
    int attempts = 0;
    long fd;

    // EAGAIN: a rename raced with the look-up.  With O_NONBLOCK it may also be a lease, which somebody may keep for
    // long.
    do
        fd = syscall(SYS_openat2, dirfd, path, &how, sizeof how);
    while (fd < 0 && (errno == EINTR || (errno == EAGAIN && attempts++ < OPEN_ATTEMPTS)));
    return fd < 0 ? -errno : (int)fd;
}

static int system_allocate(int fd, int mode, uint64_t offset, uint64_t length)
{
    int r;

    do
        r = fallocate(fd, mode, (off_t)offset, (off_t)length);
    while (r < 0 && errno == EINTR);
    return r < 0 ? -errno : 0;
}

static int system_truncate(int fd, uint64_t size)
{
    int r;

    do
        r = ftruncate(fd, (off_t)size);
    while (r < 0 && errno == EINTR);
    return r < 0 ? -errno : 0;
}

static int system_link_at(int fd, int dirfd, const char *path)
{
    char self[64];

    // Through /proc, because linkat(2) with AT_EMPTY_PATH needs CAP_DAC_READ_SEARCH.
    snprintf(self, sizeof self, "/proc/self/fd/%d", fd);
    return linkat(AT_FDCWD, self, dirfd, path, AT_SYMLINK_FOLLOW) < 0 ? -errno : 0;
}

static int system_unlink_at(int dirfd, const char *path, int flags)
{
    return unlinkat(dirfd, path, flags) < 0 ? -errno : 0;
}

static ssize_t system_read(int fd, void *ret, size_t size, uint64_t offset)
{
    ssize_t n;

    do
        n = pread(fd, ret, size, (off_t)offset);
    while (n < 0 && errno == EINTR);
    return n < 0 ? -errno : n;
}

static ssize_t system_write(int fd, const void *bytes, size_t size, uint64_t offset)
{
    ssize_t n;

    do
        n = pwrite(fd, bytes, size, (off_t)offset);
    while (n < 0 && errno == EINTR);
    return n < 0 ? -errno : n;
}

static int system_share(int fd, int from)
{
    int r;

    do
        r = ioctl(fd, FICLONE, from);
    while (r < 0 && errno == EINTR);
    return r < 0 ? -errno : 0;
}

static int system_write_out(int fd)
{
    const unsigned all = SYNC_FILE_RANGE_WAIT_BEFORE | SYNC_FILE_RANGE_WRITE | SYNC_FILE_RANGE_WAIT_AFTER;

    return sync_file_range(fd, 0, 0, all) < 0 ? -errno : 0;
}

static int system_sync(int fd)
{
    return fsync(fd) < 0 ? -errno : 0;
}

static int system_sync_fs(int fd)
{
    return syncfs(fd) < 0 ? -errno : 0;
}

static int system_stat(int fd, struct stat *ret)
{
    return fstat(fd, ret) < 0 ? -errno : 0;
}

static int system_stat_fs(int fd, struct statvfs *ret)
{
    return fstatvfs(fd, ret) < 0 ? -errno : 0;
}

static ssize_t system_get_xattr(int fd, const char *name, void *ret, size_t size)
{
    ssize_t n = fgetxattr(fd, name, ret, size);

    return n < 0 ? -errno : n;
}

static int system_set_xattr(int fd, const char *name, const void *value, size_t size)
{
    return fsetxattr(fd, name, value, size, 0) < 0 ? -errno : 0;
}

const struct file_ops file_ops_system = {
    .open_at = system_open_at,
    .allocate = system_allocate,
    .truncate = system_truncate,
    .link_at = system_link_at,
    .unlink_at = system_unlink_at,
    .read = system_read,
    .write = system_write,
    .share = system_share,
    .write_out = system_write_out,
    .sync = system_sync,
    .sync_fs = system_sync_fs,
    .stat = system_stat,
    .stat_fs = system_stat_fs,
    .get_xattr = system_get_xattr,
    .set_xattr = system_set_xattr,
};
