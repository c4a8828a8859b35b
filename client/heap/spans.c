// Spans of units: which are free, and how the entries in the region say so.  See format.h for the order of stores.
//
// Free spans are kept in lists by length (bins), in three kinds: all of it granted, some of it given back to the
// region, all of it given back.  Neighbours are joined whatever they are.
#include <assert.h>

#include "client/heap/heap.h"
#include "client/heap/spans.h"
#include "proto/util/checked.h"

static unsigned bin_of(uint32_t n)
{
    unsigned log;

    if (n < 64)
        return n;
    log = 31 - (unsigned)__builtin_clz(n);
    return 64 + (log - 6) * 4 + (n >> (log - 2) & 3);
}

static enum bin_kind kind_of(const struct unit *span)
{
    return span->given_back == 0 ? BIN_GRANTED : span->given_back < span->n ? BIN_MIXED : BIN_GIVEN_BACK;
}

static void list(struct diskalloc_heap *h, uint32_t at)
{
    struct unit *u = &h->units[at];
    enum bin_kind kind = kind_of(u);
    unsigned bin = bin_of(u->n);
    uint32_t *first = &h->bins[kind][bin];

    u->prev = 0;
    u->next = *first;
    if (*first)
        h->units[*first].prev = at;
    *first = at;
    h->bins_used[kind][bin / 64] |= (uint64_t)1 << bin % 64;
    h->free_granted += u->n - u->given_back;
}

static void unlist(struct diskalloc_heap *h, uint32_t at)
{
    struct unit *u = &h->units[at];
    enum bin_kind kind = kind_of(u);
    unsigned bin = bin_of(u->n);

    if (u->prev)
        h->units[u->prev].next = u->next;
    else
        h->bins[kind][bin] = u->next;
    if (u->next)
        h->units[u->next].prev = u->prev;
    if (!h->bins[kind][bin])
        h->bins_used[kind][bin / 64] &= ~((uint64_t)1 << bin % 64);
    h->free_granted -= u->n - u->given_back;
}

// The first bin from FROM on that has a span; BIN_N: none.
static unsigned next_bin(const struct diskalloc_heap *h, enum bin_kind kind, unsigned from)
{
    for (unsigned word = from / 64; word < (BIN_N + 63) / 64; word++) {
        uint64_t used = h->bins_used[kind][word];

        if (word == from / 64)
            used &= ~(uint64_t)0 << from % 64;
        if (used)
            return word * 64 + (unsigned)__builtin_ctzll(used);
    }
    return BIN_N;
}

uint32_t spans_find(const struct diskalloc_heap *h, enum bin_kind kind, uint32_t n)
{
    unsigned bin = bin_of(n);

    // The spans of one bin can be shorter or longer; those of the next one are all long enough.
    for (uint32_t at = h->bins[kind][bin], tries = 0; at && tries < 32; at = h->units[at].next, tries++)
        if (h->units[at].n >= n)
            return at;
    bin = next_bin(h, kind, bin + 1);
    return bin < BIN_N ? h->bins[kind][bin] : 0;
}

uint32_t spans_find_longest(const struct diskalloc_heap *h, enum bin_kind kind)
{
    for (unsigned word = (BIN_N + 63) / 64; word-- > 0;)
        if (h->bins_used[kind][word])
            return h->bins[kind][word * 64 + 63 - (unsigned)__builtin_clzll(h->bins_used[kind][word])];
    return 0;
}

uint32_t spans_skip(const struct diskalloc_heap *h, uint32_t span, uint64_t align)
{
    uint64_t address = (uint64_t)(uintptr_t)h->base + span * UNIT;

    return align <= UNIT ? 0 : (uint32_t)((-address & (align - 1)) / UNIT);
}

struct heap_segment *span_segment(const struct diskalloc_heap *h, uint32_t unit)
{
    return h->segments[unit / SEGMENT_UNITS];
}

void span_write(struct diskalloc_heap *h, uint32_t unit, struct span s)
{
    atomic_store_explicit(&span_segment(h, unit)->entries[unit % SEGMENT_UNITS], span_encode(s, unit),
                          memory_order_release);
}

_Atomic uint64_t *slab_bits(const struct diskalloc_heap *h, uint32_t unit)
{
    return span_segment(h, unit)->bits + (size_t)(unit % SEGMENT_UNITS) * BITS_WORDS;
}

// The part of a free span that stays free.
static void leave(struct diskalloc_heap *h, uint32_t at, uint32_t n)
{
    struct unit *u = &h->units[at];

    u->n = n;
    u->given_back = 0;
    for (uint32_t i = 0; i < n; i++)
        u->given_back += h->units[at + i].flags & UNIT_GIVEN_BACK;
    h->units[at + n - 1].head = at;
    list(h, at);
}

void spans_take(struct diskalloc_heap *h, uint32_t span, uint32_t skip, uint32_t n, struct span as)
{
    uint32_t whole = h->units[span].n, at = span + skip, behind = whole - skip - n;
    struct span written = as;

    assert(h->units[span].kind == SPAN_FREE && skip < whole && n <= whole - skip);
    unlist(h, span);
    // From the last entry to the first: until the first one is stored, the others are not read.
    if (behind > 0)
        span_write(h, at + n, (struct span){SPAN_FREE, 0, behind});
    if (as.kind == SPAN_BUSY)
        written = (struct span){SPAN_FREE, 0, n};
    span_write(h, at, written);
    if (skip > 0)
        span_write(h, span, (struct span){SPAN_FREE, 0, skip});
    // Counting and clearing the flags of a part costs as much as the part is long.
    if (behind > 0 && kind_of(&h->units[span]) == BIN_GRANTED) {
        h->units[at + n].n = behind;
        h->units[at + n].given_back = 0;
        h->units[at + n + behind - 1].head = at + n;
        list(h, at + n);
    } else if (behind > 0) {
        leave(h, at + n, behind);
    }
    if (skip > 0)
        leave(h, span, skip);
    for (uint32_t i = 0; i < n; i++) {
        h->units[at + i].kind = i == 0 ? (uint8_t)as.kind : SPAN_NONE;
        h->units[at + i].head = at;
    }
    h->units[at].n = n;
    h->used += as.kind == SPAN_BUSY ? 0 : n;
}

void spans_list(struct diskalloc_heap *h, uint32_t at, uint32_t n)
{
    uint32_t extent = atomic_load_explicit(&h->extent, memory_order_relaxed), first = at, end = at + n, given_back = 0;

    for (uint32_t i = at; i < end; i++) {
        h->units[i].kind = SPAN_FREE;
        given_back += h->units[i].flags & UNIT_GIVEN_BACK;
    }
    if (end < extent && h->units[end].kind == SPAN_FREE) {
        unlist(h, end);
        given_back += h->units[end].given_back;
        end += h->units[end].n;
    }
    if (first > 0 && h->units[first - 1].kind == SPAN_FREE) {
        first = h->units[first - 1].head;
        unlist(h, first);
        given_back += h->units[first].given_back;
    }
    h->units[first].head = first;
    h->units[first].n = end - first;
    h->units[first].given_back = given_back;
    h->units[end - 1].head = first;
    list(h, first);
    if (first != at || end != at + n)
        span_write(h, first, (struct span){SPAN_FREE, 0, end - first});
}

void spans_give(struct diskalloc_heap *h, uint32_t at, uint32_t n)
{
    if (h->units[at].kind != SPAN_BUSY) {
        h->used -= n;
        for (uint32_t i = at; i < at + n; i++)
            h->units[i].flags = 0;
    }
    span_write(h, at, (struct span){SPAN_FREE, 0, n});
    spans_list(h, at, n);
}

void spans_join(struct diskalloc_heap *h, uint32_t large, uint32_t more)
{
    uint32_t n = h->units[large].n, at = large + n;

    spans_take(h, at, 0, more, (struct span){SPAN_BUSY, 0, more});
    span_write(h, large, (struct span){SPAN_LARGE, 0, n + more});
    h->units[at].kind = SPAN_NONE;
    h->units[large].n = n + more;
    h->used += more;
}

void spans_cut(struct diskalloc_heap *h, uint32_t large, uint32_t n)
{
    uint32_t whole = h->units[large].n;

    if (n == whole)
        return;
    spans_give(h, large + n, whole - n);
    span_write(h, large, (struct span){SPAN_LARGE, 0, n});
    h->units[large].n = n;
}
