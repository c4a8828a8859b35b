// Requests that need the disk's file, for the server: done on threads that may hang.  See the essay in slow.c.
#pragma once
#include <stddef.h>
#include <stdint.h>
#include <sys/stat.h>
#include <sys/types.h>

#include "proto/util/name.h"

enum slow_kind { SLOW_STAT, SLOW_READ, SLOW_SEEK, SLOW_SYNC };

struct slow_job {
    enum slow_kind kind;
    uid_t owner; // of the region
    struct handle handle;
    uint64_t inode; // of the disk's file; another file with that handle is not the same
    unsigned lane;
    uint64_t unique; // the request's
    uint64_t offset; // bytes: of read and seek
    uint32_t size;   // bytes: of read
    int whence;      // of seek: SEEK_DATA or SEEK_HOLE
    int result;      // 0 or -errno
    uint64_t found;  // of seek: the offset; of read: the number of bytes
    struct stat st;  // of stat
    uint8_t *bytes;  // of read
    struct slow_job *next;
};

struct slow;

// DIR_FD: the spill directory, borrowed.  0 or -errno.  Each thread gives up what it does not need of the process's
// descriptors, so all that is open now and later stays the caller's alone.
int slow_new(int dir_fd, struct slow **ret);
int slow_fd(const struct slow *s); // readable when a job has ended
// Takes a copy of JOB.  -EAGAIN: its lane has too many; -ENOMEM.
int slow_submit(struct slow *s, const struct slow_job *job);
// The next job that has ended, to be given to slow_free; NULL: there is none.
struct slow_job *slow_take_ended(struct slow *s);
void slow_free(struct slow_job *job);
