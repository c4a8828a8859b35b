// How much a vector asks for.  Growing copies nothing, so there is no reason to double for long: all that is asked
// for is charged.
//
// The memory of the first 2 MiB of a file costs twice as much when the file grows within them.  (Linux 6.18 then makes
// pages of 4 KiB: readahead for huge pages starts at the first byte of the unit, finds a small page there, and falls
// back.)  So a vector begins with the size that the client's last vectors reached, between 64 KiB and 2 MiB: each of
// many small vectors costs little, and each of many vectors of 1 MiB is made in one piece.
#include "client/growth.h"

#include "proto/util/checked.h"

#define MIB ((uint64_t)1 << 20)

enum { BLOCK = 4096 };

uint64_t growth_first_after_need(uint64_t first, uint64_t needed)
{
    while (first < needed && first < GROWTH_FIRST_MOST)
        first *= 2;
    return first;
}

uint64_t growth_first_after_end(uint64_t first, uint64_t began, uint64_t used)
{
    return used <= began / 4 && began == first && first > GROWTH_FIRST_LEAST ? first / 2 : first;
}

// The greatest first size is also that of vectors which grow far beyond it.
bool growth_is_learned(uint64_t size)
{
    return size > GROWTH_FIRST_LEAST && size < GROWTH_FIRST_MOST;
}

uint64_t growth_next(uint64_t size, uint64_t needed, uint64_t most)
{
    uint64_t next = size < 64 * MIB ? size * 2 : size + size / 8;

    if (next < GROWTH_FIRST_LEAST)
        next = GROWTH_FIRST_LEAST;
    if (next < needed)
        next = needed;
    // Only growth in multiples of 2 MiB can be mapped by large pages.
    if (!checked_align_up(next, next >= 2 * MIB ? 2 * MIB : BLOCK, &next))
        return needed;
    return u64_min(next, most);
}

// A small vector asks when a quarter of it is left, a large one when an eighth is left: filling that takes longer
// than an answer.
uint64_t growth_early(uint64_t size, uint64_t end, uint64_t most)
{
    uint64_t margin = size < 64 * MIB ? size / 4 : u64_min(size / 8, 64 * MIB);
    uint64_t next;

    if (size == 0 || size >= most || size - end > margin)
        return 0;
    next = growth_next(size, size + 1, most);
    return next > size ? next : 0;
}

uint64_t growth_halfway(uint64_t needed, uint64_t refused)
{
    return needed + align_down((refused - needed) / 2, BLOCK);
}

uint64_t growth_fallback(uint64_t size, uint64_t needed, uint64_t most, uint64_t left)
{
    uint64_t size_in_blocks, whole = align_down(left, BLOCK), next;

    if (!checked_align_up(size, BLOCK, &size_in_blocks) || !checked_add(size_in_blocks, whole, &next) || next < needed)
        return needed;
    return u64_min(next, most);
}
