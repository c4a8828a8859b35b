// Splits the large pages that are left where single ones are asked for.  See split.c.  Sizes and offsets are bytes.
#pragma once
#include <stdbool.h>
#include <stdint.h>

#include "client/memory/pattern.h"

struct mapping;
struct residency;

// Of a region.  All zero: nothing was split yet.
struct split {
    uint32_t single;         // bit i: part i has single pages
    unsigned part;           // where the pass goes on
    uint64_t at;             // in this part
    uint64_t next;           // when the pass begins, or has begun
    uint64_t frequent_until; // a time: until then, one pass follows the other
};

// The parts as in adapt.h.
struct split_region {
    const struct mapping *mapping;
    const struct residency *residency;
    uint64_t part_size, single_to[PATTERN_PARTS];
};

// On the client's thread, after residency_begin, every 50 ms or so.  Takes some 2 ms at most.  NOW is in ms
// (proto/util/clock.h).
void split_look(struct split *s, const struct split_region *r, uint64_t now);
