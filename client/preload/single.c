// See single.h.
#include "client/preload/single.h"

#include "client/preload/disk.h"
#include "proto/util/checked.h"

// Beyond 512 GiB of a region nothing is noted.  Pages of this table that are never written to are no memory.
enum { UNITS_MAX = 1 << 18, BITS = 64 };

static uint64_t units[DISK_REGIONS_MAX][UNITS_MAX / BITS];

void single_set(unsigned region, uint64_t offset, uint64_t length, bool single)
{
    uint64_t first = (offset + DISK_LARGE_PAGE - 1) / DISK_LARGE_PAGE;
    uint64_t end = (offset + length + DISK_LARGE_PAGE - 1) / DISK_LARGE_PAGE;

    for (uint64_t i = first; i < u64_min(end, UNITS_MAX); i++) {
        uint64_t bit = UINT64_C(1) << i % BITS, *word = &units[region][i / BITS];

        if (single)
            *word |= bit;
        else if (*word & bit)
            *word &= ~bit;
    }
}

bool single_is(unsigned region, uint64_t offset, uint64_t length)
{
    uint64_t first = offset / DISK_LARGE_PAGE, end = (offset + length + DISK_LARGE_PAGE - 1) / DISK_LARGE_PAGE, n = 0;

    for (uint64_t i = first; i < u64_min(end, UNITS_MAX); i++)
        n += units[region][i / BITS] >> i % BITS & 1;
    return 2 * n > end - first;
}
