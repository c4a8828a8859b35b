// What this process has on disk, and may have (--limit).  Any thread.
#pragma once
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

enum limit_part {
    LIMIT_BLOCKS, // large blocks (disk.c)
    LIMIT_HEAP,   // small ones (small.c)
    LIMIT_PART_N,
};

struct limit {
    uint64_t bytes;                           // UINT64_MAX: no limit; constant while the program runs
    _Atomic uint64_t used[LIMIT_PART_N];      // bytes
    _Atomic uint64_t most_used[LIMIT_PART_N]; // the most that there were
};

extern struct limit limit;

void limit_set_used(enum limit_part part, uint64_t bytes);
// Whether MORE bytes are within the limit.
bool limit_allows(uint64_t more);
uint64_t limit_used(void);
// In a forked child, which has nothing of its own yet.
void limit_forked(void);
