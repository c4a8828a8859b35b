// Size classes of small blocks, and the slabs that hold them.  Pure.  Sizes are bytes.  All of it is part of the format
// (format.h): a unit, too.
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

// 16, 32, ... 128 in steps of 16, then four classes for each doubling, up to 32 KiB.
#define UNIT ((uint64_t)16 << 10) // bytes

enum { UNIT_SHIFT = 14, SLAB_UNITS_MAX = 8 };
enum { CLASS_N = 40, CLASS_SIZE_MAX = 32768, CLASS_STEP = 16 };

extern const uint16_t class_size_in_steps[CLASS_N]; // of 16 bytes
extern const uint8_t class_of_steps[65];            // for sizes up to 1 KiB

static inline uint32_t class_size(unsigned c)
{
    return (uint32_t)class_size_in_steps[c] * CLASS_STEP;
}

// SIZE <= CLASS_SIZE_MAX
static inline unsigned class_of(size_t size)
{
    if (size <= 1024)
        return class_of_steps[(size + CLASS_STEP - 1) / CLASS_STEP];
    unsigned log = 63 - (unsigned)__builtin_clzll(size - 1); // 2^log < size <= 2^(log + 1)
    return 8 + (log - 7) * 4 + (unsigned)((size - 1) >> (log - 2) & 3);
}

// The first class of SIZE bytes whose blocks are all aligned to ALIGNMENT, a power of 2; CLASS_N: none.
unsigned class_of_aligned(size_t size, size_t alignment);
// Units of a slab, and the blocks in it.
uint32_t class_slab_units(unsigned c);
uint32_t class_blocks(unsigned c);
// For a division by the class's size: OFFSET * class_reciprocal(c) >> 32.  Exact for OFFSET below 2^17.
static inline uint32_t class_reciprocal(unsigned c)
{
    return (uint32_t)((((uint64_t)1 << 32) + class_size(c) - 1) / class_size(c));
}
// Blocks that a thread keeps for itself at most.
uint32_t class_cached(unsigned c);
