// The realloc face (diskalloc_malloc and the like): each block is a region of its own.  A table of the blocks, sorted
// by address, finds the region of a block; fork_lock guards the table, also over a fork.
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "client/diskalloc.h"
#include "client/region/region.h"
#include "client/util/error.h"
#include "client/util/fork.h"
#include "proto/util/checked.h"

#define BLOCK ((uint64_t)4096)
#define GIB ((uint64_t)1 << 30)

// The blocks of this process, sorted by address.
static struct {
    struct diskalloc_region **regions;
    size_t n, allocated;
} blocks;

// The index of the first block at or behind ADDRESS.
static size_t position(const void *address)
{
    size_t low = 0, high = blocks.n;

    while (low < high) {
        size_t middle = low + (high - low) / 2;

        if ((uintptr_t)blocks.regions[middle]->mapping.base < (uintptr_t)address)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

static struct diskalloc_region *find_locked(const void *block)
{
    size_t at = position(block);

    return at < blocks.n && blocks.regions[at]->mapping.base == block ? blocks.regions[at] : NULL;
}

static struct diskalloc_region *find(const void *block)
{
    struct diskalloc_region *r;

    fork_lock();
    r = find_locked(block);
    fork_unlock();
    return r;
}

static int insert_locked(struct diskalloc_region *r)
{
    size_t at;

    if (blocks.n == blocks.allocated) {
        size_t more = blocks.allocated ? 2 * blocks.allocated : 64;
        struct diskalloc_region **grown = reallocarray(blocks.regions, more, sizeof *grown);

        if (!grown)
            return -ENOMEM;
        blocks.regions = grown;
        blocks.allocated = more;
    }
    at = position(r->mapping.base);
    memmove(blocks.regions + at + 1, blocks.regions + at, (blocks.n - at) * sizeof *blocks.regions);
    blocks.regions[at] = r;
    blocks.n++;
    return 0;
}

static struct diskalloc_region *take(const void *block)
{
    struct diskalloc_region *r;

    fork_lock();
    r = find_locked(block);
    if (r) {
        size_t at = position(block);

        blocks.n--;
        memmove(blocks.regions + at, blocks.regions + at + 1, (blocks.n - at) * sizeof *blocks.regions);
    }
    fork_unlock();
    return r;
}

static int block_bytes(size_t size, uint64_t *ret)
{
    if (size > PTRDIFF_MAX || !checked_align_up(size > 0 ? size : 1, BLOCK, ret))
        return error_why(-ENOMEM, "no block can have %zu bytes", size);
    return 0;
}

static uint64_t block_reserve(uint64_t bytes)
{
    uint64_t reserve;

    if (bytes > GIB)
        return bytes > 64 * GIB ? bytes : 64 * GIB;
    reserve = 64 * bytes;
    return reserve < GIB ? GIB : reserve;
}

static int block_new(struct diskalloc *da, size_t size, void **ret)
{
    struct diskalloc_region_options o = DISKALLOC_REGION_OPTIONS_INIT;
    struct diskalloc_region *r;
    int e = block_bytes(size, &o.size);

    if (e < 0)
        return e;
    o.reserve = block_reserve(o.size);
    e = region_create(da, &o, false, &r);
    if (e < 0)
        return e;
    fork_lock();
    e = insert_locked(r);
    fork_unlock();
    if (e < 0)
        region_close(r);
    else
        *ret = r->mapping.base;
    return e;
}

void *diskalloc_malloc(struct diskalloc *da, size_t size)
{
    void *block = NULL;
    int r;

    error_begin("diskalloc_malloc");
    r = error_end(block_new(da, size, &block));
    if (r < 0)
        errno = -r;
    return block;
}

// Copies a block that can't grow in place: it has outgrown its reservation, or it belongs to the parent process.
static int block_move(struct diskalloc *da, struct diskalloc_region *r, size_t size, void **ret)
{
    size_t old = diskalloc_region_size(r);
    void *block;
    int e = block_new(da ? da : r->da, size, &block);

    if (e < 0)
        return e;
    memcpy(block, r->mapping.base, old < size ? old : size);
    diskalloc_free(r->mapping.base);
    *ret = block;
    return 0;
}

static int block_resize(struct diskalloc *da, void *block, size_t size, void **ret)
{
    struct diskalloc_region *r = find(block);
    uint64_t bytes = 0;
    int e;

    if (!r)
        return error_why(-EINVAL, "%p is no block of diskalloc_malloc", block);
    e = block_bytes(size, &bytes);
    if (e < 0)
        return e;
    *ret = block;
    if (bytes <= r->size) {
        region_resize(r, bytes);
        return 0;
    }
    if (bytes > r->mapping.reserve || region_is_inherited(r))
        return block_move(da, r, size, ret);
    return region_resize_to_fill(r, bytes);
}

void *diskalloc_realloc(struct diskalloc *da, void *block, size_t size)
{
    void *resized = NULL;
    int r;

    if (!block)
        return diskalloc_malloc(da, size);
    error_begin("diskalloc_realloc");
    if (size == 0 && diskalloc_owns(block)) {
        diskalloc_free(block);
        error_end(0);
        return NULL;
    }
    r = error_end(block_resize(da, block, size, &resized));
    if (r < 0) {
        errno = -r;
        return NULL;
    }
    return resized;
}

void diskalloc_free(void *block)
{
    struct diskalloc_region *r;
    int saved = errno;

    if (!block)
        return;
    r = take(block);
    if (!r) {
        fprintf(stderr, "diskalloc_free: %p is no block of diskalloc_malloc\n", block);
        abort();
    }
    region_close(r);
    errno = saved;
}

size_t diskalloc_usable_size(const void *block)
{
    struct diskalloc_region *r = block ? find(block) : NULL;

    return r ? diskalloc_region_size(r) : 0;
}

int diskalloc_owns(const void *block)
{
    return block && find(block) != NULL;
}
