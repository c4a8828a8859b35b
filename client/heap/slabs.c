// Slabs: spans that are divided into blocks of one size class.  A bit in the region says of each block whether it is
// used; a block that a thread keeps in reserve counts as used.  All with the heap's lock.
//
// The bits that an earlier process left are counted when the slab is needed, so opening a heap does not read them.
#include <assert.h>
#include <errno.h>

#include "client/heap/heap.h"
#include "client/heap/spans.h"
#include "proto/util/checked.h"

enum { WORD = 64 };

static void slab_list(struct diskalloc_heap *h, uint32_t *first, uint32_t at)
{
    struct unit *u = &h->units[at];

    u->prev = 0;
    u->next = *first;
    if (*first)
        h->units[*first].prev = at;
    *first = at;
    u->flags |= UNIT_LISTED;
}

static void slab_unlist(struct diskalloc_heap *h, uint32_t *first, uint32_t at)
{
    struct unit *u = &h->units[at];

    if (u->prev)
        h->units[u->prev].next = u->next;
    else
        *first = u->next;
    if (u->next)
        h->units[u->next].prev = u->prev;
    u->flags &= (uint8_t)~UNIT_LISTED;
}

// The bits of word I that stand for blocks.
static uint64_t blocks_in_word(uint32_t n_blocks, uint32_t i)
{
    uint32_t left = n_blocks - i * WORD;

    return left >= WORD ? ~(uint64_t)0 : ((uint64_t)1 << left) - 1;
}

static uint32_t count_free(const struct diskalloc_heap *h, uint32_t slab, unsigned c)
{
    _Atomic uint64_t *bits = slab_bits(h, slab);
    uint32_t n_blocks = class_blocks(c), n = 0;

    for (uint32_t i = 0; i * WORD < n_blocks; i++)
        n += (uint32_t)__builtin_popcountll(~atomic_load_explicit(&bits[i], memory_order_relaxed) &
                                            blocks_in_word(n_blocks, i));
    return n;
}

// Moves a slab of an earlier process to where it belongs.
static void count(struct diskalloc_heap *h, uint32_t slab, unsigned c)
{
    struct class_state *state = &h->class_states[c];

    slab_unlist(h, &state->uncounted, slab);
    h->units[slab].n = count_free(h, slab, c);
    h->units[slab].flags |= UNIT_COUNTED;
    if (h->units[slab].n > 0)
        slab_list(h, &state->usable, slab);
}

void slab_adopt(struct diskalloc_heap *h, uint32_t slab, unsigned c)
{
    slab_list(h, &h->class_states[c].uncounted, slab);
}

// 0 or -errno.
static int slab_new(struct diskalloc_heap *h, unsigned c)
{
    uint32_t n = class_slab_units(c), n_blocks = class_blocks(c), slab;
    // The entry says what it is only when the bits are right.
    int e = space_take(h, n, UNIT, (struct span){SPAN_BUSY, 0, n}, &slab);
    _Atomic uint64_t *bits;

    if (e < 0)
        return e;
    bits = slab_bits(h, slab);
    for (uint32_t i = 0; i * WORD < n_blocks; i++)
        atomic_store_explicit(&bits[i], 0, memory_order_relaxed);
    span_write(h, slab, (struct span){SPAN_SLAB, c, n});
    for (uint32_t i = slab; i < slab + n; i++)
        h->units[i] = (struct unit){.head = slab, .kind = SPAN_SLAB, .size_class = (uint8_t)c};
    h->used += n;
    h->units[slab].n = n_blocks;
    h->units[slab].flags = UNIT_COUNTED;
    slab_list(h, &h->class_states[c].usable, slab);
    return 0;
}

// Takes blocks of one slab, in the order of their addresses.
static unsigned take_blocks(struct diskalloc_heap *h, uint32_t slab, unsigned c, void **blocks, unsigned n)
{
    _Atomic uint64_t *bits = slab_bits(h, slab);
    uint32_t n_blocks = class_blocks(c), size = h->classes[c].size;
    char *base = h->base + slab * UNIT;
    unsigned got = 0;

    for (uint32_t i = 0; got < n && i * WORD < n_blocks; i++) {
        uint64_t word = atomic_load_explicit(&bits[i], memory_order_relaxed);
        uint64_t left = ~word & blocks_in_word(n_blocks, i);

        if (!left)
            continue;
        for (; left && got < n; left &= left - 1) {
            blocks[got++] = base + (size_t)(i * WORD + (uint32_t)__builtin_ctzll(left)) * size;
            word |= left & -left;
        }
        atomic_store_explicit(&bits[i], word, memory_order_release);
    }
    return got;
}

unsigned slabs_get(struct diskalloc_heap *h, unsigned c, void **blocks, unsigned n, int *ret_error)
{
    struct class_state *state = &h->class_states[c];
    unsigned got = 0;

    *ret_error = 0;
    while (got < n) {
        uint32_t slab = state->usable;

        if (slab) {
            unsigned some = take_blocks(h, slab, c, blocks + got, n - got);

            if (state->spare == slab)
                state->spare = 0;
            got += some;
            h->units[slab].n -= some;
            if (h->units[slab].n == 0)
                slab_unlist(h, &state->usable, slab);
        } else if (state->uncounted) {
            count(h, state->uncounted, c);
        } else {
            int e = got > 0 ? 1 : slab_new(h, c);

            if (e != 0) {
                *ret_error = e < 0 ? e : 0;
                break;
            }
        }
    }
    return got;
}

// The slab of a block and the block's number in it.  False: this is no block of a slab.
static bool find(const struct diskalloc_heap *h, const void *block, uint32_t *ret_slab, uint32_t *ret_index)
{
    uint64_t offset = (uint64_t)((const char *)block - h->base);
    uint32_t inner;
    const struct unit *u;
    const struct size_class *c;

    if (offset >> UNIT_SHIFT >= atomic_load_explicit(&h->extent, memory_order_relaxed))
        return false;
    u = &h->units[offset >> UNIT_SHIFT];
    if (u->kind != SPAN_SLAB)
        return false;
    c = &h->classes[u->size_class];
    inner = (uint32_t)(offset - u->head * UNIT);
    *ret_slab = u->head;
    *ret_index = (uint32_t)((uint64_t)inner * c->reciprocal >> 32);
    return *ret_index * c->size == inner && *ret_index < class_blocks(u->size_class);
}

bool slabs_is_used(const struct diskalloc_heap *h, const void *block)
{
    uint32_t slab, index;

    return find(h, block, &slab, &index) &&
           (atomic_load_explicit(&slab_bits(h, slab)[index / WORD], memory_order_relaxed) >> index % WORD & 1);
}

// An empty slab goes back to the free spans.  One of each class is kept: a program that frees a block and takes one
// again and again would make and drop a slab each time.
static void drop_if_empty(struct diskalloc_heap *h, uint32_t slab, unsigned c)
{
    struct class_state *state = &h->class_states[c];

    if (h->units[slab].n < class_blocks(c))
        return;
    if (state->spare == 0 || state->spare == slab) {
        state->spare = slab;
        return;
    }
    slab_unlist(h, &state->usable, slab);
    spans_give(h, slab, class_slab_units(c));
}

void slabs_drop_spares(struct diskalloc_heap *h)
{
    for (unsigned c = 0; c < CLASS_N; c++) {
        uint32_t slab = h->class_states[c].spare;

        h->class_states[c].spare = 0;
        if (!slab || h->units[slab].n < class_blocks(c))
            continue;
        slab_unlist(h, &h->class_states[c].usable, slab);
        spans_give(h, slab, class_slab_units(c));
    }
}

bool slabs_put(struct diskalloc_heap *h, void *block)
{
    uint32_t slab, index;
    _Atomic uint64_t *bits;
    uint64_t word, bit;
    struct unit *u;
    unsigned c;

    if (!find(h, block, &slab, &index))
        return false;
    bits = slab_bits(h, slab) + index / WORD;
    word = atomic_load_explicit(bits, memory_order_relaxed);
    bit = (uint64_t)1 << index % WORD;
    if (!(word & bit))
        return false;
    u = &h->units[slab];
    c = u->size_class;
    if (!(u->flags & UNIT_COUNTED))
        count(h, slab, c);
    atomic_store_explicit(bits, word & ~bit, memory_order_release);
    u->n++;
    if (!(u->flags & UNIT_LISTED))
        slab_list(h, &h->class_states[c].usable, slab);
    drop_if_empty(h, slab, c);
    return true;
}
