// The struct of the store: shared by the files of this folder.
#pragma once
#include <dirent.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <sys/stat.h>
#include <sys/types.h>

#include "daemon/store/lock.h"
#include "daemon/store/store.h"

#define STORE_QUOTA_NAME ".quota" // run-time quotas, see daemon/config/runtime.h
#define STORE_GRACE_NAME ".grace" // see daemon/grace.c
#define STORE_DISKS_NAME ".disks" // see daemon/former.c
#define STORE_RESERVE_NAME ".reserve"

enum { STORE_RESERVE_SIZE = 1 << 20 }; // bytes

struct store {
    const struct file_ops *ops;
    char *dir;
    int dir_fd;
    dev_t device;
    struct store_lock lock;
    _Atomic bool require_mount;   // a file system must be mounted at the directory: see store_is_mounted
    pthread_mutex_t reserve_lock; // held from store_free_reserve to store_make_reserve
    int reserve_fd;
    _Atomic bool suspected;
    _Atomic unsigned n_dirs_made;
    bool could_write; // at the last try
    unsigned n_looks;
    uint32_t block_size;
    struct spillfile_guarantee guarantee;
};

// True if TEXT is the name of a user's directory, such as "1000".
bool store_parse_uid(const char *text, uid_t *ret);
// A new stream over the spill directory, with a position of its own.  NULL: failed, see errno.
DIR *store_open_top(struct store *s);

// Makes the reserve, as far as the disk has room.  0; -EEXIST: something else lies there, which the daemon must not
// remove; -errno.
int store_begin_reserve(struct store *s);

// A region's file while the scan looks at it.
struct store_entry {
    struct store *store;
    const char *dir, *name; // for the log
    int fd;                 // for reading only
    struct stat st;
    uint64_t id;               // see proto/spill/file_id
    struct store_found region; // the record is read by the scan; repair_entry fills in the rest
};

// Makes the file what its record says (repair.c), or says in needs_repair that this has to be done.  A failure is
// logged; the region is taken as its record says all the same.
void repair_entry(struct store_entry *e);
