// Which addresses are the preload library's, so that free() can tell its blocks from those of the C library.
//
// Any thread asks without a lock, at each free().  Ranges are only ever added; what is in them may change its kind.
#pragma once
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum own_kind {
    OWN_NONE,
    OWN_FIRST,    // the buffer for what is allocated before there is an allocator (next.c)
    OWN_BLOCKS,   // a region, or addresses, for large blocks (blocks.c)
    OWN_HEAP,     // the heap of small blocks (small.c)
    OWN_OLD_HEAP, // that of the process that forked this one
};

struct own_bounds {
    _Atomic uintptr_t low, high;
};

// All ranges are between these two.
extern struct own_bounds own_bounds;

// Under a lock that the caller has.  False: there are too many ranges.
bool own_add(const void *begin, uint64_t length, enum own_kind kind, void *heap);
enum own_kind own_find_slowly(const void *p, void **ret_heap);
// In a forked child: all that was OWN_HEAP is OWN_OLD_HEAP.
void own_forked(void);

static inline bool own_is_outside(const void *p)
{
    uintptr_t at = (uintptr_t)p;

    return at >= atomic_load_explicit(&own_bounds.high, memory_order_relaxed) ||
           at < atomic_load_explicit(&own_bounds.low, memory_order_relaxed);
}

// The kind of memory at P; of a heap *RET_HEAP is the one that was given to own_add.
static inline enum own_kind own_find(const void *p, void **ret_heap)
{
    return __builtin_expect(own_is_outside(p), 1) ? OWN_NONE : own_find_slowly(p, ret_heap);
}
