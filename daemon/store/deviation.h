// How a region's file differs from what is granted of the region.
#pragma once
#include <stdbool.h>
#include <stdint.h>

#include "proto/util/ranges.h"

struct store;

// The granted bytes of a region.
struct store_grant {
    uint64_t size;                  // bytes
    const struct ranges *discarded; // whole blocks below size that are not granted
    bool sparse;                    // bytes need no blocks
    bool has_odd_end;               // the file system keeps blocks behind the end: they are not looked for
};
// In bytes, how a file differs from that.
struct store_deviation {
    uint64_t longer, shorter; // its size
    uint64_t extra;           // blocks that nobody is charged for
    uint64_t behind;          // those of them that lie behind the granted size
    uint64_t missing;         // granted bytes without blocks of their own
};
// Compares the file with what is granted.  DEEP: asks for the file's extents, which takes longer the more there are.
// 0 or -errno.
int store_compare(struct store *s, int fd, const struct store_grant *g, bool deep, struct store_deviation *ret);
// Gives blocks to what lacks them between FROM and TO, but for the parts in DISCARDED.  0; or -errno, and the blocks
// that were allocated stay.
int store_fill(struct store *s, int fd, uint64_t from, uint64_t to, const struct ranges *discarded);
