// See advice.h.
#include "client/preload/advice.h"

#include <stdint.h>
#include <time.h>

#include "client/preload/blocks.h"
#include "client/preload/disk.h"
#include "client/preload/kernel.h"
#include "client/preload/single.h"
#include "proto/util/checked.h"

enum { TRIES = 50, PAUSE_NS = 100 * 1000 };

// The library's thread may have the lock of a region, for which a thread waits that has this one.  So this thread does
// not wait for long, and not again until it has had the lock: then the advice is lost.
static bool lock_soon(void)
{
    static bool was_in_vain;
    bool locked = blocks_try_lock();

    for (int i = 0; !locked && !was_in_vain && i < TRIES; i++) {
        nanosleep(&(struct timespec){.tv_nsec = PAUSE_NS}, NULL);
        locked = blocks_try_lock();
    }
    was_in_vain = !locked;
    return locked;
}

// disk.n_regions: AT is in none of the regions.
static unsigned find_region(const char *at)
{
    unsigned i = 0;

    while (i < disk.n_regions) {
        const struct disk_region *r = &disk.regions[i];

        if (!r->inherited && at >= r->base && at < r->base + diskalloc_region_reserve(r->region))
            break;
        i++;
    }
    return i;
}

static void repeat_for(const struct piece *p, uint64_t from, uint64_t to, int advice)
{
    uint64_t begin = u64_max(from, p->offset), end = u64_min(to, p->offset + p->length);

    if (begin < end && p->at != (uintptr_t)disk.regions[p->region].base + p->offset)
        kernel_madvise((void *)(p->at + (begin - p->offset)), end - begin, advice);
}

static void repeat(unsigned region, uint64_t from, uint64_t to, int advice)
{
    if (advice == MADV_RANDOM || advice == MADV_NORMAL)
        single_set(region, from, to - from, advice == MADV_RANDOM);
    for (size_t i = 0; i < blocks.pieces.n; i++)
        if (blocks.pieces.items[i].region == region)
            repeat_for(&blocks.pieces.items[i], from, to, advice);
}

void advice_repeat(const void *at, size_t length, int advice)
{
    unsigned region;

    if (advice != MADV_RANDOM && advice != MADV_NORMAL && advice != MADV_HUGEPAGE && advice != MADV_NOHUGEPAGE)
        return;
    if (!lock_soon())
        return;
    region = find_region(at);
    if (region < disk.n_regions) {
        uint64_t from = (uint64_t)((const char *)at - disk.regions[region].base);

        repeat(region, from, from + length, advice);
    }
    blocks_unlock();
}
