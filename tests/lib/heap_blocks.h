// Blocks of a heap with known content, and the heap that they are in.
#pragma once
#include <diskalloc/heap.h>

#include "tests/lib/test_backend.h"

// A heap in the region NAME, made if it is not there.
struct diskalloc_heap *open_heap(struct test_backend *b, const char *name);
// The same, or NULL with *RET_ERROR.
struct diskalloc_heap *try_open_heap(struct test_backend *b, const char *name, uint32_t flags, int *ret_error);

// Blocks whose bytes follow from their seeds.  The table lies in the heap too, as its root: a block of offsets.
enum { BLOCKS_N = 2000 };
struct block {
    uint64_t offset; // 0: none
    uint64_t size, seed;
};

struct block *blocks_new(struct diskalloc_heap *h);
struct block *blocks_of(struct diskalloc_heap *h); // after opening
// Steps at random: blocks are allocated in all ways, resized, and freed; each is checked before it goes.
void blocks_step(struct diskalloc_heap *h, struct block *table, uint64_t seed, unsigned n_steps, size_t most);
void blocks_check(struct diskalloc_heap *h, const struct block *table);
void blocks_free(struct diskalloc_heap *h, struct block *table);
