// A vector of numbers that persists.
#pragma once
#include "tests/lib/test_backend.h"

DISKALLOC_VEC_DEFINE(u64vec, uint64_t)

static inline struct diskalloc_region_options with_flags(uint32_t flags)
{
    struct diskalloc_region_options o = DISKALLOC_REGION_OPTIONS_INIT;

    o.flags = flags;
    return o;
}

static inline void open_vec(struct test_backend *b, struct u64vec *v, const char *name)
{
    struct diskalloc_region_options o = with_flags(DISKALLOC_REGION_CREATE);

    assert_int_equal(u64vec_open(v, b->da, name, &o), 0);
}
