// Spans of units, and the end of the heap.
#pragma once
#include "client/heap/heap.h"

// spans.c: free spans.  All with the lock.
// A free span that has N units; its first unit, or 0.  Each kind of bins is asked alone.
uint32_t spans_find(const struct diskalloc_heap *h, enum bin_kind kind, uint32_t n);
uint32_t spans_find_longest(const struct diskalloc_heap *h, enum bin_kind kind);
// How many units behind the free span's first one lies the first one that is aligned, in addresses, to ALIGN bytes.
uint32_t spans_skip(const struct diskalloc_heap *h, uint32_t span, uint64_t align);
// Takes N units, SKIP behind the first one of a free span, as a large block or as SPAN_BUSY, which the entry says is
// free.
void spans_take(struct diskalloc_heap *h, uint32_t span, uint32_t skip, uint32_t n, struct span as);
// Makes N units from AT on a free span, joined with its neighbours.
void spans_give(struct diskalloc_heap *h, uint32_t at, uint32_t n);
// The same for units that are no span's yet, as when a heap is opened.  JOIN: with neighbours.
void spans_list(struct diskalloc_heap *h, uint32_t at, uint32_t n);
// A large block takes MORE units of the free span behind it; or keeps its first N units.
void spans_join(struct diskalloc_heap *h, uint32_t large, uint32_t more);
void spans_cut(struct diskalloc_heap *h, uint32_t large, uint32_t n);
struct heap_segment *span_segment(const struct diskalloc_heap *h, uint32_t unit);
void span_write(struct diskalloc_heap *h, uint32_t unit, struct span s);
// The words that tell which blocks of the slab at UNIT are used.
_Atomic uint64_t *slab_bits(const struct diskalloc_heap *h, uint32_t unit);

// extent.c: the end of the heap.
// With the lock: makes `units` large enough for a heap of N units.  0 or -ENOMEM.
int heap_make_ready(struct diskalloc_heap *h, uint32_t n);
// With the lock: the heap ends at END from now on, within the region; the new units are free.  FRESH_FROM: the first
// unit that is known to be zero.  0 or -ENOMEM.
int heap_extend(struct diskalloc_heap *h, uint32_t end, uint32_t fresh_from);
void heap_write_extent(struct diskalloc_heap *h, uint32_t end);
