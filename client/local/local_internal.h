// The struct of a directory: shared by backend.c and backing.c (one file of it).
#pragma once
#include <pthread.h>

#include "client/local/local.h"
#include "proto/spill/record.h"
#include "proto/spill/spillfile.h"

struct local {
    struct backend base;
    char *path;            // owned: the directory
    pthread_mutex_t lock;  // held while dir is opened again
    struct descriptor dir; // the directory; to be used after local_hold_directory
    struct spillfile_guarantee guarantee;
    struct descriptor no_events; // a socket that never becomes readable; none until a program asks for it
};

// directory.c

// 0: l->dir may be used.  It was opened again if the program had closed it.  -EBADF with the reason noted: that can't be done.
int local_hold_directory(struct local *l);

// backing.c

// Makes a backing of FD, an open spill file, which belongs to the backing from here on, also on failure.  RECORD describes the file.
// 0; -ESTALE: the file was unlinked meanwhile; -errno.
int local_backing_new(struct local *l, int fd, const struct record *record, uint32_t flags, struct backing **ret);
// A new descriptor of the file of a region that this process has (an inherited one counts), with an open file description of its
// own; -ENOENT: this process has none with this handle; -errno.
int local_reopen(const struct handle *handle, bool read_only);
// How many regions this process has from any directory, and their bytes.
void local_count(uint64_t *ret_regions, uint64_t *ret_bytes);

// record.c.  The first two are called with the change lock held, or alone.  0 or -errno.
int local_store_used(struct backing *b, uint64_t used, uint32_t element_size);
// Notes that parts of the file are discarded: every process that opens it then looks for holes.
int local_note_holes(struct backing *b);
void local_take_committed(struct backing *b, const struct record *record); // into B
