// A program and a kernel that are made up, for client/memory/pattern.  The memory holds what came in last.
#pragma once
#include "tests/lib/harness.h"

#include "client/memory/pattern.h"
#include "proto/util/page.h"

enum { PAGES_OF_UNIT = 512, MOST_UNITS = 4096 };
#define UNIT (2 * MIB)

// Large units come in whole, single pages one by one; the oldest go when there are too many.
struct world {
    struct pattern *p;
    struct pattern_region region;
    uint64_t n_units, memory;                  // pages
    uint64_t came[MOST_UNITS * PAGES_OF_UNIT]; // a page is in memory if it came less than memory pages ago
    uint64_t n_came, random, next;
    unsigned page_takes;        // time for a single page: 1, or more with a slow disk
    unsigned n_single, n_large; // changes
    bool sparse;                // the program touches little of what is read
    unsigned n_units_read;      // since the last look
};

extern struct world *world;

void world_open(uint64_t size, uint64_t memory);
void world_close(void);
// READ reads something, and returns how long that took; a look comes after 800.
void world_read_for(unsigned n_looks, unsigned (*read)(void));
// Reads the page, and returns how long that took: a unit takes as long as 16 single pages.
unsigned world_touch(uint64_t page);
bool world_is_in(uint64_t page);
unsigned world_n_pages(void);
uint64_t world_any_below(uint64_t n);
// Parts of the region.
unsigned world_part_of(uint64_t page);
bool world_is_single(unsigned part);
unsigned world_count_single(void);
// For world_read_for:
unsigned world_at_random(void);
unsigned world_in_order(void);
// N of them read in turn, each its own part of the region.
unsigned world_streams(unsigned n);
