// The bytes of a region, as a program finds them.
#pragma once
#include <diskalloc/client.h>
#include <stdbool.h>

// Whether the byte AT is accessible.
bool can_store(const struct diskalloc_region *r, uint64_t at);
void expect_bytes(const struct diskalloc_region *r, uint64_t from, uint64_t to, char value);
