// What a thread keeps of a heap for itself.
//
// Each thread that uses a heap has a cache: for each size class some free blocks, so that most allocations take no
// lock.  The caches lie in memory that is never unmapped, and are used again by other threads and heaps.
#pragma once
#include "client/heap/heap.h"

struct magazine {
    uint16_t n, most;
    void **blocks; // n of them are set
};

struct cache {
    struct magazine magazines[CLASS_N];
    // Guarded by the fork lock.
    struct diskalloc_heap *heap;  // NULL: of none
    struct cache *next_of_thread; // or of those that no thread has
    struct cache *next_of_heap;
};

// The cache that this thread used last, and the id of its heap (heap.h).
struct cache_recent {
    uint64_t id;
    struct cache *cache;
};

extern _Thread_local struct cache_recent cache_recent __attribute__((__tls_model__("initial-exec")));

// Without a lock.  The calling thread's cache of this heap; NULL: there is no memory for one.
struct cache *cache_of(struct diskalloc_heap *h);
// Without the lock.  Fills an empty magazine.  0 or -errno.
int cache_fill(struct diskalloc_heap *h, struct cache *cache, unsigned c);
// Without the lock.  Makes room in a full magazine.
void cache_spill(struct diskalloc_heap *h, struct cache *cache, unsigned c);
// Without the lock.  Gives one block back that goes into no cache.
void cache_bypass(struct diskalloc_heap *h, void *block);
// An id that no heap of this process has had; with the fork lock.
uint64_t cache_new_id(void);
// A heap ends: gives its blocks back, unless it was INHERITED, and takes the caches from their threads.
void cache_end(struct diskalloc_heap *h, bool inherited);
// Ends the program: BLOCK is no used block of the heap.
_Noreturn void cache_complain(const void *block);
