// The end of the heap, and the segments up to there.  One word of the header says both, so that a killed program
// leaves either the old end or the new one.
#include <errno.h>
#include <stddef.h>
#include <string.h>
#include <sys/mman.h>

#include "client/heap/heap.h"
#include "client/heap/spans.h"
#include "client/util/error.h"
#include "proto/util/checked.h"

enum { READY_STEP = 65536 }; // units: memory for 1 GiB of heap at a time

int heap_make_ready(struct diskalloc_heap *h, uint32_t n)
{
    uint64_t ready = u64_min(align_up(n, READY_STEP), h->units_max);

    if (n <= h->units_ready)
        return 0;
    if (n > h->units_max)
        return error_why(-ENOMEM, "the heap's address space ends at %llu bytes",
                         (unsigned long long)h->units_max * UNIT);
    if (mprotect(h->units, ready * sizeof *h->units, PROT_READ | PROT_WRITE) < 0)
        return error_why(-ENOMEM, "no memory for the heap's lists");
    h->units_ready = (uint32_t)ready;
    return 0;
}

void heap_write_extent(struct diskalloc_heap *h, uint32_t end)
{
    atomic_store_explicit(&h->header->extent, seal(end | (uint64_t)h->n_segments << 32, SEAL_EXTENT, 0),
                          memory_order_release);
    atomic_store_explicit(&h->extent, end, memory_order_relaxed);
}

static void add_segment(struct diskalloc_heap *h, uint32_t unit)
{
    struct heap_segment *s = (struct heap_segment *)(void *)(h->base + unit * UNIT);

    memset(s, 0, offsetof(struct heap_segment, bits)); // what was there before
    h->segments[h->n_segments] = s;
    if (h->n_segments > 0)
        atomic_store_explicit(&h->segments[h->n_segments - 1]->next, seal(unit, SEAL_NEXT, h->n_segments),
                              memory_order_release);
    h->n_segments++;
}

// A free span whose first units can take a segment; 0: none.
static uint32_t find_place(const struct diskalloc_heap *h)
{
    uint32_t span = spans_find(h, BIN_GRANTED, SEGMENT_SPAN);

    if (!span)
        span = spans_find(h, BIN_MIXED, SEGMENT_SPAN);
    for (uint32_t i = span; span && i < span + SEGMENT_SPAN; i++)
        if (h->units[i].flags & UNIT_GIVEN_BACK)
            return 0;
    return span;
}

// Segments go where something was freed, if they can: behind the last block they would be in its way when it grows.
// What a killed program leaves of this is a span of notes that belongs to no segment, and is free (check.c).
static void place_segments(struct diskalloc_heap *h, uint32_t needed)
{
    uint32_t extent = atomic_load_explicit(&h->extent, memory_order_relaxed);

    while (h->n_segments < needed) {
        uint32_t span = find_place(h);

        if (!span || span + h->units[span].n == extent)
            return;
        spans_take(h, span, 0, SEGMENT_SPAN, (struct span){SPAN_NOTES, 0, SEGMENT_SPAN});
        add_segment(h, span);
        heap_write_extent(h, extent);
    }
}

int heap_extend(struct diskalloc_heap *h, uint32_t end, uint32_t fresh_from)
{
    uint32_t at = atomic_load_explicit(&h->extent, memory_order_relaxed), notes;
    uint32_t needed = (uint32_t)(((uint64_t)end + SEGMENT_UNITS - 1) / SEGMENT_UNITS);
    int e = heap_make_ready(h, end);

    if (e < 0)
        return e;
    place_segments(h, needed);
    // The others lie in the new units.  What is too little for them waits for the next growth.
    notes = needed > h->n_segments ? (needed - h->n_segments) * SEGMENT_SPAN : 0;
    if (notes > 0 && end - at <= notes) {
        end = h->n_segments * SEGMENT_UNITS;
        notes = 0;
    }
    if (end <= at)
        return 0;
    for (uint32_t i = 0; i < notes; i += SEGMENT_SPAN)
        add_segment(h, at + i);
    memset(h->units + at, 0, (end - at) * sizeof *h->units);
    for (uint32_t i = at + notes; i < end; i++)
        h->units[i].flags = i >= fresh_from ? UNIT_FRESH : 0;
    span_write(h, at + notes, (struct span){SPAN_FREE, 0, end - at - notes});
    if (notes > 0) {
        span_write(h, at, (struct span){SPAN_NOTES, 0, notes});
        h->units[at] = (struct unit){.head = at, .n = notes, .kind = SPAN_NOTES};
        h->used += notes;
    }
    heap_write_extent(h, end);
    spans_list(h, at + notes, end - at - notes);
    return 0;
}
