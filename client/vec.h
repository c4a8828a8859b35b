// Calls that the files of the vectors share: client/vec_init.c (making), client/vec.c (growing) and client/persist.c
// (opening, committing, closing). Sizes are bytes; lengths and capacities count elements.
#pragma once
#include <diskalloc/vec.h>

#include "client/region/region.h"

// Every call on a vector begins with this check: a vector that does not fit its region is left alone.  0; -EINVAL:
// the vector was not initialised, or its len is above its cap; -ESTALE: its elements do not fit the region any more.
int vec_check(const struct diskalloc_region *r, size_t len, size_t cap, size_t element_size);
// An empty vector on R, without capacity; all zero where RESULT is a failure.
struct diskalloc_vec_state vec_state_of(struct diskalloc_region *r, int result);
// How far a vector may store that has USED bytes of elements: up to the first discarded byte behind them, or the end.
uint64_t vec_end(struct diskalloc_region *r, uint64_t used);
// Takes the answer to an early grow over.  The answer is waited for only if the vector needs more than the region has.
void vec_take_early(struct diskalloc_region *r, uint64_t needed);
