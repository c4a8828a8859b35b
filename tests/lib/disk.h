// A daemon on a small disk of its own, and what its status says of the disk.
#pragma once
#include "tests/lib/loop_mount.h"
#include "tests/lib/test_daemon.h"

#include <diskalloc/client.h>

enum { DISK = 64 << 20 }; // bytes

struct disk {
    struct test_mount m;
    struct test_daemon daemon;
    struct diskalloc *da;
    char spill[200];
};

// False: no loop mounts here.  CONFIG: of the daemon, or NULL.
bool disk_start(struct disk *d, const char *config);
// The same on what is mounted at d->m already.
void disk_serve(struct disk *d, const char *config);
void disk_end(struct disk *d);

struct health {
    char problem[256];
    uint64_t inodes, inodes_available, quota_limit, quota_used;
};

struct health health_of(const struct disk *d);
