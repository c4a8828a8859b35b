// The biggest regions, for the page.  See the essay in biggest.c.
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "proto/util/name.h"

struct region;
struct region_table;

enum { BIGGEST_MOST = 20 };

struct biggest_list {
    struct {
        struct handle handle;
        uint64_t bytes;
    } items[BIGGEST_MOST];
    size_t n;
};

struct biggest {
    struct biggest_list found; // of the last pass that was whole
    struct biggest_list now;   // of the pass that is under way
    bool is_whole;             // there was such a pass
    bool has_cursor;           // a pass is under way
    struct handle cursor;      // the region that was looked at last
    uint64_t wanted_until;     // ms, monotonic
};

// Somebody looks at the list: it is kept up to date for some time.
void biggest_want(struct biggest *b, struct region_table *t, uint64_t now);
// To be called every few seconds.
void biggest_tick(struct biggest *b, struct region_table *t, uint64_t now);
// The Ith region of the list; NULL: it is gone.
struct region *biggest_region(const struct biggest *b, struct region_table *t, size_t i);
