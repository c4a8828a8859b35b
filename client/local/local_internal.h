// The struct of a directory: shared by backend.c and backing.c (one file of it).
#pragma once
#include "client/local/local.h"
#include "proto/spill/record.h"
#include "proto/spill/spillfile.h"

struct local {
    struct backend base;
    int dir; // a descriptor of the directory
    struct spillfile_guarantee guarantee;
    int no_events; // a descriptor that never becomes readable; -1: no program has asked for it
};

// Makes a backing of FD, an open spill file, which belongs to the backing from here on, also on failure.  RECORD describes the file.
// 0; -ESTALE: the file was unlinked meanwhile; -errno.
int local_backing_new(const struct local *l, int fd, const struct record *record, uint32_t flags, struct backing **ret);
// A new descriptor of the file of a region that this process has (an inherited one counts), with an open file description of its
// own; -ENOENT: this process has none with this handle; -errno.
int local_reopen(const struct handle *handle, bool read_only);
// How many regions this process has from any directory, and their bytes.
void local_count(uint64_t *ret_regions, uint64_t *ret_bytes);
