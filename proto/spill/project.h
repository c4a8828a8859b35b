// Projects of a file system: an id that a file has, and a limit for the blocks of all files with that id.  ext4 and xfs
// have them, if they are mounted for that.
#pragma once
#include <stdbool.h>
#include <stdint.h>

// The project of FD's file.  0: it has none, or the file system has no projects.
uint32_t project_of(int fd);
// Moves FD's file, which must belong to this process's user, into the project ID (0: out of any).  Takes the lock of
// the file, and so may hang.  0 or -errno.
int project_set(int fd, uint32_t id);

struct project_usage {
    uint64_t limit, bytes, files; // of bytes: the limit, 0 if there is none, and what is used
};

// The functions below take any descriptor of the file system.  Their functions are a table so that tests can replace
// it, as most machines have no file system with projects.
struct project_ops {
    uint32_t (*of)(int fd);
    int (*set)(int fd, uint32_t id);
    // Whether the limits of projects are in force.  0; -ENOSYS: the kernel has no quotactl_fd(2), which came with
    // Linux 5.14; -EPERM: this process may not call it; -EOPNOTSUPP: they are not, or the file system has none.
    int (*check)(int fd);
    // Sets the hard limit of the project in bytes, 0 for none, rounded up to 1 KiB.  0; -EPERM: without CAP_SYS_ADMIN;
    // another -errno.
    int (*limit)(int fd, uint32_t id, uint64_t bytes);
    int (*usage)(int fd, uint32_t id, struct project_usage *ret); // 0 or -errno; -EPERM as above
};
extern const struct project_ops project_ops_system;
