// The files of one user's directory, opened and read ahead of the scan by several threads.
#pragma once
#include <stdbool.h>
#include <sys/stat.h>
#include <sys/types.h>

#include "proto/spill/record.h"

struct store;
struct listing;

struct listed_file {
    const char *name;
    bool is_region_name; // the name is that of a region: HANDLE is set, and the file was opened
    struct handle handle;
    int fd; // -errno: the file can't be opened
    int stat_result;
    struct stat st;
    int record_result; // of record_load, if the file is a regular one
    struct record record;
};

// Lists what lies in the directory DIR_FD of the user UID, in the order of the inodes: so a disk reads them one after
// the other.  Takes DIR_FD, also on failure.  0 or -errno.
int listing_open(struct store *s, int dir_fd, uid_t uid, struct listing **ret);
// The next file, which is valid until the next call.  NULL: there are no more.
struct listed_file *listing_next(struct listing *l);
// NULL is ignored.
void listing_close(struct listing *l);
