// Size arithmetic that cannot wrap.  Each function is true when the result fits and was written.
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

// Up to the next multiple of ALIGN, a power of two.
static inline bool checked_align_up(uint64_t a, uint64_t align, uint64_t *ret)
{
    uint64_t sum;

    if (!checked_add(a, align - 1, &sum))
        return false;
    *ret = sum & ~(align - 1);
    return true;
}
