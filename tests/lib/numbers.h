// A vector that was pushed to, and whose every element says which one it is.
#pragma once
#include "tests/lib/harness.h"

#include <diskalloc/vec.h>

DISKALLOC_VEC_DEFINE(u64s, uint64_t)

static inline uint64_t mix(uint64_t i)
{
    return (i ^ 0x5bd1e995) * 0x9e3779b97f4a7c15;
}

static inline void push_to(struct u64s *v, uint64_t bytes)
{
    while (v->len < bytes / 8)
        if (u64s_push(v, mix(v->len)) != 0)
            fail_msg("%s", diskalloc_last_error());
}

static inline bool is_content_right(const struct u64s *v)
{
    for (uint64_t i = 0; i < v->len; i++)
        if (v->data[i] != mix(i))
            return false;
    return true;
}
