// The file system that a series lies on: the one of $DISKALLOC_TEST_DIR, or one made for the series.
#pragma once
#include <stdbool.h>
#include <stdint.h>

#include "tests/lib/loop_mount.h"

// "ext4", "xfs", "btrfs": of BYTES, in an image that is read and written past the page cache of the disk below.
// "tmpfs": BYTES at most, in memory.  Test directories are made there from now on.  False, and the reason is printed,
// where that can't be done.
bool where_make(struct test_mount *m, const char *type, uint64_t bytes);
void where_remove(struct test_mount *m); // test directories are made where they were before
bool where_knows(const char *type);
