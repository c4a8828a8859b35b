// The daemon that starts after one that has made a region on one of two disks.
#pragma once
#include "daemon/state.h"
#include "tests/lib/two_disks.h"

// The next daemon, with one of the disks or both.
struct successor {
    struct daemon d;
    struct two_disks *t;
    struct daemon_disk *disks[2]; // NULL: the daemon does without it, because it cannot be read
    struct user *owner;
};

// The daemon finds the disks that it has.  If its first disk fails, by a fault of op_fixture.h, it does not start.
void successor_start(struct successor *n, struct two_disks *t, bool has_first, bool has_second);
void successor_end(struct successor *n);
