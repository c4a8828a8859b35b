// A block device whose errors a test chooses: device mapper on a loop device, with a file system on it.
#pragma once
#include "tests/lib/loop_mount.h"

struct mapped_disk {
    struct test_mount mount; // image and mount point
    char type[8];            // "ext4" or "xfs"
    char loop[64], name[32], node[64];
    unsigned long long sectors;
};

enum mapped_state {
    MAPPED_WELL,
    MAPPED_WRITES_FAIL,
    MAPPED_WRITES_ARE_LOST, // and the device says that it has done them
    MAPPED_ALL_FAILS,
};

// Makes a file system of SIZE bytes and mounts it.  False, and says why: not on this machine (needs root, device
// mapper, and its target "flakey").
bool mapped_disk_make(struct mapped_disk *d, const char *type, uint64_t size);
// Changes the state of the device while it is in use.
void mapped_disk_set(struct mapped_disk *d, enum mapped_state state);
// Nobody uses the file system any more: makes the device well, checks and mends the file system, and mounts it again.
void mapped_disk_mend(struct mapped_disk *d);
void mapped_disk_remove(struct mapped_disk *d);
