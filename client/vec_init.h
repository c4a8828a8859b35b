// New vectors: see vec_init.c.
#pragma once
#include <diskalloc/vec.h>

// As diskalloc_vec_init, for a vector that is never small: it has a file from the beginning.
struct diskalloc_vec_state vec_init_with_file(struct diskalloc *da, const char *call);
