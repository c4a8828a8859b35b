// See addresses.h.
#include "client/preload/addresses.h"

#include <errno.h>
#include <sys/mman.h>

#include "client/preload/disk.h"
#include "client/preload/kernel.h"
#include "client/preload/own.h"
#include "proto/util/checked.h"

#define ELSEWHERE ((uint64_t)8 << 40)
#define ELSEWHERE_LEAST ((uint64_t)1 << 30)

enum { ROOM_FACTOR = 4 }; // addresses of a block that has grown, as multiples of its size

static char *elsewhere;       // for blocks that have grown; NULL: none yet
static struct extents blocks; // USED: of a block

void *addresses_reserve(uint64_t length)
{
    uint64_t whole = length + DISK_LARGE_PAGE, before;
    char *at = kernel_mmap(NULL, whole, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

    if (at == MAP_FAILED)
        return at;
    before = -(uintptr_t)at & (DISK_LARGE_PAGE - 1);
    if (before > 0)
        kernel_munmap(at, before);
    kernel_munmap(at + before + length, whole - before - length);
    return at + before;
}

static int open_elsewhere(void)
{
    uint64_t length = ELSEWHERE;
    void *at = addresses_reserve(length);

    while (at == MAP_FAILED && length > ELSEWHERE_LEAST)
        at = addresses_reserve(length /= 2);
    if (at == MAP_FAILED || extents_init(&blocks, length) < 0)
        return -ENOMEM;
    if (!own_add(at, length, OWN_BLOCKS, NULL))
        return -ENOMEM;
    elsewhere = at;
    return 0;
}

int addresses_take(uint64_t length, uintptr_t *ret, uint64_t *ret_reserve)
{
    uint64_t offset, wanted = align_up(length, DISK_LARGE_PAGE) * ROOM_FACTOR;
    int e = elsewhere ? 0 : open_elsewhere();

    if (e < 0)
        return e;
    while (!extents_find(&blocks, wanted, 0, DISK_LARGE_PAGE, 1 << EXTENT_BLANK, &offset)) {
        if (wanted <= align_up(length, DISK_LARGE_PAGE))
            return -ENOMEM;
        wanted = u64_max(align_up(length, DISK_LARGE_PAGE), wanted / 2);
    }
    e = extents_set(&blocks, offset, wanted, EXTENT_USED);
    *ret = (uintptr_t)elsewhere + offset;
    *ret_reserve = wanted;
    return e;
}

void addresses_release(uintptr_t at, uint64_t reserve)
{
    if (reserve > 0)
        extents_set(&blocks, at - (uintptr_t)elsewhere, reserve, EXTENT_BLANK);
}
