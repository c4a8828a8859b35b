// The calls that touch spill files, as a table: tests put others in their place (ENOSPC, EIO, EMFILE, short results).
// All return a negative errno on failure and retry EINTR where that is safe.
#pragma once
#include <stddef.h>
#include <stdint.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/types.h>

struct file_ops {
    int (*open_at)(int dirfd, const char *path, int flags,
                   mode_t mode); // the fd; never follows a symlink, never leaves DIRFD
    int (*allocate)(int fd, int mode, uint64_t offset, uint64_t length); // fallocate(2)
    int (*truncate)(int fd, uint64_t size);
    int (*link_at)(int fd, int dirfd, const char *path); // gives an O_TMPFILE its name
    int (*unlink_at)(int dirfd, const char *path, int flags);
    int (*sync)(int fd);
    int (*sync_fs)(int fd); // syncfs(2): of the whole file system
    int (*stat)(int fd, struct stat *ret);
    int (*stat_fs)(int fd, struct statvfs *ret);
    ssize_t (*get_xattr)(int fd, const char *name, void *ret, size_t size);
    int (*set_xattr)(int fd, const char *name, const void *value, size_t size);
};

extern const struct file_ops file_ops_system;
