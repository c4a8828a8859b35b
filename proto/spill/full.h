// Why a file system refused bytes or a file, and by which of its own limits.
#pragma once
#include <stdbool.h>
#include <stdint.h>

#include "proto/spill/fileops.h"

// A limit of the file system.  The numbers are bytes, or files if COUNTS_FILES; a limit of 0: the kernel does not tell.
struct full_limit {
    const char *name; // static: "disk", "disk inodes", "file system quota", "file system quota inodes"
    bool counts_files;
    uint64_t limit, used;
};

// For the sentence that begins with the limit's name.
enum { FULL_LIMITS = 3 };

// The limits of the file system, besides its size, that count for files which this process makes where FD is: inodes,
// and the quotas of this process's user and group and of the project that FD belongs to.  Only those that are set,
// and that the kernel tells: the quota of a project only to root.  Of several quotas, the fullest.  Returns how many
// there are.
unsigned full_limits(const struct file_ops *ops, int fd, struct full_limit ret[static FULL_LIMITS]);

// A call on a file of FD's file system failed with ERROR (-ENOSPC or -EDQUOT) when it asked for BYTES more (0: for a
// file, or a little for a directory).
void full_explain(const struct file_ops *ops, int fd, int error, uint64_t bytes, struct full_limit *ret);
