// The block that a later process begins with, and where the heap is.
#include <errno.h>

#include "client/heap/heap.h"
#include "client/util/error.h"

static int set_root(struct diskalloc_heap *h, const void *block)
{
    uint64_t offset = block ? (uint64_t)((const char *)block - h->base) : 0;
    bool known = !block;

    if (h->inherited)
        return error_why(-EBUSY, "the heap was inherited through fork");
    if (h->read_only)
        return error_why(-EROFS, "the region is attached for reading only");
    pthread_mutex_lock(&h->lock);
    if (block && offset / UNIT < atomic_load(&h->extent))
        known = (h->units[offset / UNIT].kind == SPAN_LARGE && offset % UNIT == 0) || slabs_is_used(h, block);
    if (known) {
        h->root = offset;
        atomic_store_explicit(&h->header->root, seal(offset, SEAL_ROOT, 0), memory_order_release);
    }
    pthread_mutex_unlock(&h->lock);
    return known ? 0 : error_why(-EINVAL, "%p is no block of this heap", block);
}

int diskalloc_heap_set_root(struct diskalloc_heap *h, const void *block)
{
    error_begin("diskalloc_heap_set_root");
    return error_end(h ? set_root(h, block) : error_why(-EINVAL, "no heap"));
}

void *diskalloc_heap_root(const struct diskalloc_heap *h)
{
    return h->root ? h->base + h->root : NULL;
}

void *diskalloc_heap_home(const struct diskalloc_heap *h)
{
    return (void *)(uintptr_t)home_of(&h->header->first, 0);
}

void *diskalloc_heap_base(const struct diskalloc_heap *h)
{
    return h->base;
}
