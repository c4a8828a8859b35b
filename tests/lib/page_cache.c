// See page_cache.h.
#include "tests/lib/page_cache.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include "client/region/region.h"
#include "tests/lib/harness.h"

enum { PAGE = 4096, DISTANCE = 512, TRIES = 100, PAUSE_US = 10000 };

uint8_t content_of(uint64_t at)
{
    return (uint8_t)(at / DISTANCE * 7 + 1);
}

// Pages that are mapped are not dropped; nor are those that the kernel has in hand, which reclaims memory for others or
// moves pages: for that moment.
bool drop_pages(struct diskalloc_region *r)
{
    uint64_t size = diskalloc_region_size(r), left = size;

    assert_int_equal(diskalloc_region_sync(r), 0);
    for (int i = 0; i < TRIES && left > 0; i++) {
        if (i > 0)
            usleep(PAUSE_US);
        assert_return_code(madvise(diskalloc_region_data(r), size, MADV_DONTNEED), errno);
        assert_int_equal(posix_fadvise(diskalloc_region_fd(r), 0, 0, POSIX_FADV_DONTNEED), 0);
        left = cached(r, 0, size);
    }
    return left < size / 2;
}

bool fill_and_drop(struct diskalloc_region *r)
{
    uint8_t *data = diskalloc_region_data(r);

    for (uint64_t i = 0; i < diskalloc_region_size(r); i += DISTANCE)
        data[i] = content_of(i);
    // The library's thread makes pages of what it takes for being filled, some time later.
    filling_end(&r->filling);
    return drop_pages(r);
}

bool is_content_whole(const struct diskalloc_region *r)
{
    const uint8_t *data = diskalloc_region_data(r);

    for (uint64_t i = 0; i < diskalloc_region_size(r); i += DISTANCE)
        if (data[i] != content_of(i))
            return false;
    return true;
}

uint64_t cached(const struct diskalloc_region *r, uint64_t from, uint64_t to)
{
    char *data = diskalloc_region_data(r);
    unsigned char pages[PAGE];
    uint64_t n = 0;

    for (; from < to; from += sizeof pages * PAGE) {
        uint64_t length = to - from < sizeof pages * PAGE ? to - from : sizeof pages * PAGE;

        assert_return_code(mincore(data + from, length, pages), errno);
        for (uint64_t i = 0; i < length / PAGE; i++)
            n += pages[i] & 1;
    }
    return n * PAGE;
}

bool are_cached(void *data)
{
    const struct awaited_bytes *b = data;

    return cached(b->region, b->from, b->to) == b->to - b->from;
}
