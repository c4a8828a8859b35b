// Threads that sort elements in memory together.  See the essay in pool.c.  One thread at a time calls these functions.
#pragma once
#include <stdbool.h>
#include <stddef.h>

struct diskalloc_order;
struct pool;

enum { POOL_THREADS_MAX = 8 };

// N_THREADS: besides the caller's; fewer if they can't be started.  NULL: no memory.
struct pool *pool_new(size_t n_threads);
void pool_free(struct pool *p); // NULL is fine
// Sorts N elements in place, without other memory.  pool_begin lets the pool's threads do it, if there are any and it
// is worth while, else it does it; pool_wait helps them until all is done.  P may be NULL.
void pool_begin(struct pool *p, const struct diskalloc_order *order, void *elements, size_t n);
void pool_wait(struct pool *p);
