// The system calls on spill files, as a table of functions, so that tests can replace them with some that fail (ENOSPC,
// EIO, EMFILE) or do less than they were asked for.  All return a negative errno on failure, and repeat the call after
// EINTR where that is safe.
#pragma once
#include <stddef.h>
#include <stdint.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/types.h>

struct file_ops {
    // Returns a descriptor; follows no symbolic link and does not leave DIRFD.
    int (*open_at)(int dirfd, const char *path, int flags, mode_t mode);
    int (*allocate)(int fd, int mode, uint64_t offset, uint64_t length); // fallocate(2)
    // Sets the size.  Blocks behind SIZE are freed, those behind a size that does not change too.
    int (*truncate)(int fd, uint64_t size);
    int (*link_at)(int fd, int dirfd, const char *path); // gives a file of O_TMPFILE its name
    int (*unlink_at)(int dirfd, const char *path, int flags);
    ssize_t (*read)(int fd, void *ret, size_t size, uint64_t offset);
    ssize_t (*write)(int fd, const void *bytes, size_t size, uint64_t offset);
    // Makes FD a copy of FROM that shares its blocks (FICLONE).
    int (*share)(int fd, int from);
    // Writes what is in memory of the file to the disk, as far as that needs no lock of the file: FD's holders can
    // hold it up only by storing more.
    int (*write_out)(int fd);
    int (*sync)(int fd);
    int (*sync_fs)(int fd); // syncfs(2), the whole file system
    int (*stat)(int fd, struct stat *ret);
    int (*stat_fs)(int fd, struct statvfs *ret);
    ssize_t (*get_xattr)(int fd, const char *name, void *ret, size_t size);
    int (*set_xattr)(int fd, const char *name, const void *value, size_t size);
};

// The calls of the kernel.
extern const struct file_ops file_ops_system;
