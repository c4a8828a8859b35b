// For the tests of operations: two disks, of which the first one is the fixture's.
#pragma once
#include "tests/lib/op_fixture.h"

struct two_disks {
    struct fixture f;
    struct disk second;
    char dir[128];
};

void two_disks_init(struct two_disks *t);
void two_disks_deinit(struct two_disks *t);
ino_t inode_of_region(const struct region *r); // of its file
