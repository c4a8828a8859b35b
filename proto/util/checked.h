// Size arithmetic.  Each checked_ function is true when the result fits into 64 bits; only then *RET is written.
#pragma once
#include <stdbool.h>
#include <stdint.h>

static inline bool checked_add(uint64_t a, uint64_t b, uint64_t *ret)
{
    uint64_t sum;

    if (__builtin_add_overflow(a, b, &sum))
        return false;
    *ret = sum;
    return true;
}

static inline bool checked_mul(uint64_t a, uint64_t b, uint64_t *ret)
{
    uint64_t product;

    if (__builtin_mul_overflow(a, b, &product))
        return false;
    *ret = product;
    return true;
}

// A rounded down to a multiple of ALIGN, a power of two.
static inline uint64_t align_down(uint64_t a, uint64_t align)
{
    return a & ~(align - 1);
}

// A rounded up to a multiple of ALIGN, a power of two.
static inline bool checked_align_up(uint64_t a, uint64_t align, uint64_t *ret)
{
    uint64_t sum;

    if (!checked_add(a, align - 1, &sum))
        return false;
    *ret = align_down(sum, align);
    return true;
}

// The same for sizes that are known to be far below 2^64: files end at 2^63.
static inline uint64_t align_up(uint64_t a, uint64_t align)
{
    return align_down(a + align - 1, align);
}

static inline uint64_t u64_min(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

static inline uint64_t u64_max(uint64_t a, uint64_t b)
{
    return a > b ? a : b;
}
