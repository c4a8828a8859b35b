// A vector whose elements are numbered: each element says its own index.
#pragma once
#include "tests/lib/harness.h"

#include <diskalloc/vec.h>

DISKALLOC_VEC_DEFINE(u64s, uint64_t)

uint64_t mix(uint64_t i);
void push_to(struct u64s *v, uint64_t bytes);
bool is_content_right(const struct u64s *v);
