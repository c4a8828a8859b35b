// A daemon with fences, a region of it, and somebody who changes the region's file behind the daemon's back.
#pragma once
#include <diskalloc/client.h>
#include <stdbool.h>
#include <stdint.h>

#include "tests/lib/test_daemon.h"

struct fenced {
    struct test_daemon daemon;
    struct diskalloc *da;
    struct diskalloc_region *region;
    uint64_t size; // of the region
    int fd;        // as the daemon hands it out
    int plain;     // the same file, opened by the daemon's own user: no fence is around it; -1: not that user
};

// FENCE: the value of the key.  The region is full of ones.
void fenced_start(struct fenced *f, const char *fence, uint64_t size);
void fenced_stop(struct fenced *f);
// The path of the file of REGION.
void fenced_path(const struct fenced *f, const struct diskalloc_region *region, char ret[static 320]);
// Whether the file is exactly what is granted: its size, a block for each byte, none behind.
bool fenced_is_exact(const struct fenced *f, const struct diskalloc_region *region);
// Waits until it is, and BYTES are charged; fails the test if that takes long.
void fenced_await_exact(const struct fenced *f, uint64_t bytes);
// The number of lines of the daemon's log with TEXT in them.
unsigned fenced_count_logged(const struct fenced *f, const char *text);
// The names of the fences that hold, as the status says, and the number of files that were mended; to be freed.
char *fenced_status(const struct fenced *f, uint64_t *ret_mended, char **ret_missing);
