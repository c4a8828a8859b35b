// Pages of a region in the page cache.
#pragma once
#include <diskalloc/client.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

// A region whose bytes are those of content_of; it is on disk, and none of it in memory.  False: the file system keeps
// everything in memory (tmpfs).
bool fill_and_drop(struct diskalloc_region *r);
bool drop_pages(struct diskalloc_region *r);
uint8_t content_of(uint64_t at);
bool is_content_whole(const struct diskalloc_region *r);
// The bytes between FROM and TO, whole pages, that are in memory.
uint64_t cached(const struct diskalloc_region *r, uint64_t from, uint64_t to);

struct awaited_bytes {
    const struct diskalloc_region *region;
    uint64_t from, to;
};
// For test_wait_until: all bytes of a struct awaited_bytes are in memory.
bool are_cached(void *data);
