// A file system of a chosen type and size in an image, for one test.
#pragma once
#include <stdbool.h>
#include <stdint.h>

struct test_mount {
    char image[160], at[160]; // the file that holds the file system; the mount point
    bool mounted;
};

// Makes a file system of SIZE bytes, TYPE "ext4", "xfs" or "btrfs", and mounts it by loop.  Returns false, and prints
// the reason, where that can't be done (not root, no loop device, no mkfs).
bool test_mount(struct test_mount *m, const char *type, uint64_t size);
// With an option for mkfs, such as "-Oquota", and options for mount.
bool test_mount_with(struct test_mount *m, const char *type, uint64_t size, const char *mkfs_option,
                     const char *options);
// A tmpfs that may hold SIZE bytes; there is no image.
bool test_mount_tmpfs(struct test_mount *m, uint64_t size);
// Mounts the image again, which the test has unmounted.  0 if that was done.
int test_remount(const struct test_mount *m, const char *type);
void test_unmount(struct test_mount *m);
