// Searching a vector that is on the disk: the page of each element that the search looks at is announced before the
// look.
//
// Without that, a look that misses reads 2 MiB, as a region asks for large pages.  An announced page (MADV_WILLNEED) is
// read alone: 4 KiB.  But announcing costs half a microsecond a look, which is as much as a look into memory.  So it is
// done only while the region's searches are slow: the first one announces, and each one learns from how long the one
// before took.  A search in memory takes a few microseconds at most, a single read from a disk ten times that.
#include <diskalloc/order.h>

#include <sys/mman.h>
#include <time.h>

#include "client/memory/advice.h"
#include "client/region/region.h"
#include "proto/util/page.h"

enum { SLOW_NS = 40000 };

static uint64_t now_ns(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000 + (uint64_t)t.tv_nsec;
}

// Bit 0 says whether to announce.  Never 0.
uint64_t diskalloc_vec_search_begin(struct diskalloc_region *r, uint64_t bytes)
{
    (void)bytes;
    return (now_ns() | 1) - (r && !atomic_load_explicit(&r->searches_fast, memory_order_relaxed) ? 0 : 1);
}

void diskalloc_vec_search_touch(struct diskalloc_region *r, const void *element)
{
    uint64_t offset = (uint64_t)((const char *)element - r->mapping.base);

    advice_give(&r->mapping, offset & ~(page_size() - 1), offset + 1, MADV_WILLNEED);
}

void diskalloc_vec_search_end(struct diskalloc_region *r, uint64_t began)
{
    bool fast = now_ns() - began < SLOW_NS;

    if (fast != atomic_load_explicit(&r->searches_fast, memory_order_relaxed))
        atomic_store_explicit(&r->searches_fast, fast, memory_order_relaxed);
}
