// See numbers.h.
#include "tests/lib/numbers.h"

#include <diskalloc/vec.h>

uint64_t mix(uint64_t i)
{
    return (i ^ 0x5bd1e995) * 0x9e3779b97f4a7c15;
}

void push_to(struct u64s *v, uint64_t bytes)
{
    while (v->len < bytes / 8)
        if (u64s_push(v, mix(v->len)) != 0)
            fail_msg("%s", diskalloc_last_error());
}

bool is_content_right(const struct u64s *v)
{
    for (uint64_t i = 0; i < v->len; i++)
        if (v->data[i] != mix(i))
            return false;
    return true;
}
