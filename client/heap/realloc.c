// realloc.  Large blocks grow and shrink where they are, if what is behind them is free or they are the last ones.
#include <errno.h>
#include <string.h>

#include "client/heap/heap.h"
#include "client/heap/spans.h"
#include "client/util/error.h"
#include "proto/util/checked.h"

static const char call[] = "diskalloc_heap_realloc";

// 0: done; -EAGAIN: the block has to move; another -errno.
static int resize_large(struct diskalloc_heap *h, uint32_t at, size_t size)
{
    uint32_t n = (uint32_t)((size + UNIT - 1) / UNIT), whole;
    bool plenty;
    int e = 0;

    pthread_mutex_lock(&h->lock);
    whole = h->units[at].n;
    if (n > whole)
        e = space_join(h, at, n - whole);
    else
        spans_cut(h, at, n);
    plenty = space_is_plenty(h);
    pthread_mutex_unlock(&h->lock);
    if (plenty)
        space_trim(h);
    return e;
}

// Whether a block that has room for USABLE bytes stays for SIZE bytes: it is not half empty.
static bool is_right(size_t usable, size_t size)
{
    return usable > 0 && size <= usable && (size > usable / 2 || usable <= 64);
}

static void *move(struct diskalloc_heap *h, void *block, size_t usable, size_t size)
{
    void *moved = heap_malloc_as(h, size, call);

    // A block that does not become larger may as well stay.
    if (!moved)
        return size <= usable ? block : NULL;
    memcpy(moved, block, u64_min(usable, size));
    diskalloc_heap_free(h, block);
    return moved;
}

static void *fail(int e)
{
    error_end(e);
    errno = -e;
    return NULL;
}

void *diskalloc_heap_realloc(struct diskalloc_heap *h, void *block, size_t size)
{
    bool nested = space_is_busy();
    size_t usable;
    int e = -EAGAIN;

    if (!block)
        return heap_malloc_as(h, size, call);
    usable = diskalloc_heap_usable_size(h, block);
    if (size == 0 && usable > 0) {
        diskalloc_heap_free(h, block);
        return NULL;
    }
    if (is_right(usable, size) && usable <= CLASS_SIZE_MAX)
        return block;
    if (!nested)
        error_begin(call);
    if (usable == 0 && h && h->read_only)
        return fail(error_why(-EROFS, "the region is attached for reading only"));
    if (usable == 0)
        return fail(error_why(-EINVAL, "%p is no block of this heap", block));
    if (h->inherited)
        return fail(error_why(-EBUSY, "the heap was inherited through fork"));
    if (usable > CLASS_SIZE_MAX && size > CLASS_SIZE_MAX && size <= h->units_max * UNIT)
        e = resize_large(h, (uint32_t)((uint64_t)((char *)block - h->base) / UNIT), size);
    if (e == 0 && !nested)
        error_end(0);
    if (e == 0)
        return block;
    return e == -EAGAIN ? move(h, block, usable, size) : fail(e);
}
