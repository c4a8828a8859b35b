// The struct of the store: shared by store.c and scan.c.
#pragma once
#include <dirent.h>
#include <sys/types.h>

#include "daemon/store/store.h"

#define STORE_LOCK_NAME ".lock"
#define STORE_QUOTA_NAME ".quota" // run-time quotas, see daemon/config/runtime.h
#define STORE_RESERVE_NAME ".reserve"

struct store {
    const struct file_ops *ops;
    char *dir;
    int dir_fd, lock_fd, reserve_fd;
    uint32_t block_size;
    struct spillfile_guarantee guarantee;
};

// True if TEXT is the name of a user's directory, such as "1000".
bool store_parse_uid(const char *text, uid_t *ret);
// A new stream over the spill directory, with a position of its own.  NULL: failed, see errno.
DIR *store_open_top(struct store *s);
