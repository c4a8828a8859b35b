// malloc and its relatives, as the program calls them; C++'s new calls malloc.
//
// Small blocks, unless `all` is set, go to the allocator behind by one comparison.  A block that is freed is told by
// its address.  This file must be compiled without built-in knowledge of these functions.
#include <diskalloc/heap.h>
#include <errno.h>
#include <stdint.h>
#include <string.h>

#include "client/preload/blocks.h"
#include "client/preload/disk.h"
#include "client/preload/inside.h"
#include "client/preload/next.h"
#include "client/preload/own.h"
#include "client/preload/preload.h"
#include "client/preload/small.h"
#include "proto/util/page.h"

#define EXPORT __attribute__((visibility("default")))
#define LIKELY(x) __builtin_expect(!!(x), 1)
#define TOO_LARGE ((size_t)1 << 46) // no machine has that many addresses

EXPORT void *malloc(size_t size);
EXPORT void *calloc(size_t n, size_t size);
EXPORT void *realloc(void *block, size_t size);
EXPORT void *reallocarray(void *block, size_t n, size_t size);
EXPORT void free(void *block);
EXPORT int posix_memalign(void **ret, size_t alignment, size_t size);
EXPORT void *aligned_alloc(size_t alignment, size_t size);
EXPORT void *memalign(size_t alignment, size_t size);
EXPORT void *valloc(size_t size);
EXPORT void *pvalloc(size_t size);
EXPORT size_t malloc_usable_size(void *block);

// Whether a block of SIZE bytes is for the disk.
static inline bool is_for_disk(size_t size)
{
    return size >= preload_from && inside == 0 && size < TOO_LARGE;
}

static void *small(struct diskalloc_heap *h, size_t size, size_t alignment, bool zero)
{
    if (zero)
        return diskalloc_heap_calloc(h, 1, size);
    return alignment > 16 ? diskalloc_heap_memalign(h, alignment, size) : diskalloc_heap_malloc(h, size);
}

// NULL: *RET_WHY says why the disk refuses.
static void *take(size_t size, size_t alignment, bool zero, const char **ret_why)
{
    struct diskalloc_heap *h;
    void *block = NULL;

    if (size >= preload_settings.threshold) {
        block = blocks_malloc(size, alignment, zero);
        *ret_why = disk_why();
    } else {
        h = small_heap();
        if (h)
            block = small(h, size, alignment, zero);
        *ret_why = small_why();
    }
    return block;
}

// NULL and false: the allocator behind is to be asked; NULL and true: ENOMEM.
static void *from_disk(size_t size, size_t alignment, bool zero, bool *ret_failed)
{
    int saved = errno, state = inside_enter();
    const char *why;
    void *block;

    block = take(size, alignment, zero, &why);
    *ret_failed = !block && !preload_refused(size, why);
    inside_leave(state);
    errno = *ret_failed ? ENOMEM : saved;
    return block;
}

void *malloc(size_t size)
{
    bool failed;
    void *block;

    if (LIKELY(size < preload_from) || !is_for_disk(size))
        return next.malloc(size);
    block = from_disk(size, 1, false, &failed);
    return block || failed ? block : next.malloc(size);
}

void *calloc(size_t n, size_t size)
{
    size_t bytes;
    bool failed;
    void *block;

    if (__builtin_mul_overflow(n, size, &bytes)) {
        errno = ENOMEM;
        return NULL;
    }
    if (LIKELY(bytes < preload_from) || !is_for_disk(bytes))
        return next.calloc(n, size);
    block = from_disk(bytes, 1, true, &failed);
    return block || failed ? block : next.calloc(n, size);
}

// Memory of ours.  A block that a child inherited with its parent's small blocks is just left.
static void free_own(enum own_kind kind, struct diskalloc_heap *heap, void *block)
{
    int saved = errno, state;

    if (inside > 0 || kind == OWN_FIRST || kind == OWN_OLD_HEAP)
        return;
    state = inside_enter();
    if (kind == OWN_BLOCKS)
        blocks_free(block);
    else
        diskalloc_heap_free(heap, block);
    inside_leave(state);
    errno = saved;
}

void free(void *block)
{
    enum own_kind kind;
    void *heap;

    if (LIKELY(own_is_outside(block))) {
        next.free(block);
        return;
    }
    kind = own_find(block, &heap);
    if (kind == OWN_NONE)
        next.free(block);
    else
        free_own(kind, heap, block);
}

size_t malloc_usable_size(void *block)
{
    enum own_kind kind;
    size_t size = 0;
    void *heap;
    int state;

    if (!block)
        return 0;
    kind = own_find(block, &heap);
    if (kind == OWN_NONE)
        return next.usable_size(block);
    state = inside_enter();
    if (kind == OWN_BLOCKS)
        size = blocks_usable_size(block);
    else if (kind != OWN_FIRST)
        size = diskalloc_heap_usable_size(heap, block);
    inside_leave(state);
    return size;
}

static void *copy(void *block, size_t length, size_t size)
{
    void *new = malloc(size);

    if (!new)
        return NULL;
    memcpy(new, block, length < size ? length : size);
    free(block);
    return new;
}

// Within its kind of memory; NULL: that refuses.
static void *resize_own(enum own_kind kind, struct diskalloc_heap *heap, void *block, size_t size)
{
    void *new = NULL;
    int saved = errno, state = inside_enter();

    if (kind == OWN_BLOCKS && size >= preload_settings.threshold && size < TOO_LARGE)
        new = blocks_realloc(block, size);
    else if (kind == OWN_HEAP && size < preload_settings.threshold)
        new = diskalloc_heap_realloc(heap, block, size);
    inside_leave(state);
    errno = saved;
    return new;
}

static void *realloc_own(enum own_kind kind, struct diskalloc_heap *heap, void *block, size_t size)
{
    void *new;

    if (size == 0) {
        free(block);
        return NULL;
    }
    new = inside == 0 ? resize_own(kind, heap, block, size) : NULL;
    if (new)
        return new;
    return copy(block, kind == OWN_FIRST ? 0 : malloc_usable_size(block), size);
}

void *realloc(void *block, size_t size)
{
    enum own_kind kind;
    void *heap;

    if (!block)
        return malloc(size);
    kind = own_find(block, &heap);
    if (kind != OWN_NONE)
        return realloc_own(kind, heap, block, size);
    // A small block that was there before the heap stays with its allocator.
    if (LIKELY(size < preload_settings.threshold) || !is_for_disk(size))
        return next.realloc(block, size);
    return copy(block, next.usable_size(block), size);
}

void *reallocarray(void *block, size_t n, size_t size)
{
    size_t bytes;

    if (__builtin_mul_overflow(n, size, &bytes)) {
        errno = ENOMEM;
        return NULL;
    }
    return realloc(block, bytes);
}

static bool is_power_of_two(size_t n)
{
    return n > 0 && (n & (n - 1)) == 0;
}

// NULL and false: as from_disk, and also for an alignment that the allocator behind has to judge.
static void *aligned(size_t alignment, size_t size, bool *ret_failed)
{
    *ret_failed = false;
    if (!is_for_disk(size) || !is_power_of_two(alignment))
        return NULL;
    return from_disk(size, alignment, false, ret_failed);
}

int posix_memalign(void **ret, size_t alignment, size_t size)
{
    bool failed;
    void *block = NULL;

    if (alignment % sizeof(void *) != 0 || !is_power_of_two(alignment))
        return EINVAL;
    block = aligned(alignment, size, &failed);
    if (!block)
        return failed ? ENOMEM : next.posix_memalign(ret, alignment, size);
    *ret = block;
    return 0;
}

void *memalign(size_t alignment, size_t size)
{
    bool failed;
    void *block = aligned(alignment, size, &failed);

    return block || failed ? block : next.memalign(alignment, size);
}

void *aligned_alloc(size_t alignment, size_t size)
{
    bool failed;
    void *block = aligned(alignment, size, &failed);

    return block || failed ? block : next.aligned_alloc(alignment, size);
}

void *valloc(size_t size)
{
    bool failed;
    void *block = aligned(page_size(), size, &failed);

    return block || failed ? block : next.valloc(size);
}

void *pvalloc(size_t size)
{
    bool failed;
    void *block = aligned(page_size(), (size + page_size() - 1) & ~(page_size() - 1), &failed);

    return block || failed ? block : next.pvalloc(size);
}
