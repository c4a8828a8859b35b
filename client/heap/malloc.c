// The calls that allocate and free.  What a thread has in its cache (cache.h) it takes and gives here without a lock;
// blocks above 32 KiB are spans of their own.
#include <errno.h>
#include <string.h>

#include "client/heap/cache.h"
#include "client/heap/heap.h"
#include "client/heap/spans.h"
#include "client/util/error.h"
#include "proto/util/checked.h"

#define LIKELY(x) __builtin_expect(!!(x), 1)

static uint32_t units_for(size_t size)
{
    return (uint32_t)((size + UNIT - 1) / UNIT);
}

static int check_usable(const struct diskalloc_heap *h)
{
    if (!h)
        return error_why(-EINVAL, "no heap");
    if (h->inherited)
        return error_why(-EBUSY, "the heap was inherited through fork");
    if (h->read_only)
        return error_why(-EROFS, "the region is attached for reading only");
    return 0;
}

static int large_malloc(struct diskalloc_heap *h, size_t size, size_t alignment, void **ret)
{
    uint32_t n = units_for(size > 0 ? size : 1), at;
    int e;

    if (size > h->units_max * UNIT || alignment > h->units_max * UNIT)
        return error_why(-ENOMEM, "no block of a heap that may have %llu bytes can have %zu, aligned to %zu",
                         (unsigned long long)h->units_max * UNIT, size, alignment);
    pthread_mutex_lock(&h->lock);
    e = space_take(h, n, alignment, (struct span){SPAN_LARGE, 0, n}, &at);
    pthread_mutex_unlock(&h->lock);
    if (e == 0)
        *ret = h->base + at * UNIT;
    return e;
}

static int small_malloc(struct diskalloc_heap *h, unsigned c, void **ret)
{
    struct cache *cache = cache_of(h);
    struct magazine *m;
    unsigned got;
    int e = 0;

    if (!cache) {
        pthread_mutex_lock(&h->lock);
        got = slabs_get(h, c, ret, 1, &e);
        pthread_mutex_unlock(&h->lock);
        return got > 0 ? 0 : e;
    }
    m = &cache->magazines[c];
    if (m->n == 0)
        e = cache_fill(h, cache, c);
    if (e == 0)
        *ret = m->blocks[--m->n];
    return e;
}

static int get(struct diskalloc_heap *h, size_t size, size_t alignment, void **ret)
{
    unsigned c = CLASS_N;
    int e = check_usable(h);

    if (e < 0)
        return e;
    if (size <= CLASS_SIZE_MAX && alignment <= UNIT)
        c = alignment <= CLASS_STEP ? class_of(size) : class_of_aligned(size, alignment);
    return c < CLASS_N ? small_malloc(h, c, ret) : large_malloc(h, size, alignment, ret);
}

// What the library allocates while it waits for a region leaves the error of that call alone.
static void *get_or_fail(struct diskalloc_heap *h, size_t size, size_t alignment, const char *call)
{
    bool nested = space_is_busy();
    void *block = NULL;
    int e, saved = errno;

    if (!nested)
        error_begin(call);
    e = get(h, size, alignment, &block);
    if (!nested)
        error_end(e);
    errno = e < 0 ? -e : saved;
    return block;
}

static inline void *malloc_as(struct diskalloc_heap *h, size_t size, const char *call)
{
    if (LIKELY(h && cache_recent.id == h->id && size <= CLASS_SIZE_MAX)) {
        struct magazine *m = &cache_recent.cache->magazines[class_of(size)];

        if (LIKELY(m->n > 0))
            return m->blocks[--m->n];
    }
    return get_or_fail(h, size, 1, call);
}

void *heap_malloc_as(struct diskalloc_heap *h, size_t size, const char *call)
{
    return malloc_as(h, size, call);
}

void *diskalloc_heap_malloc(struct diskalloc_heap *h, size_t size)
{
    return malloc_as(h, size, "diskalloc_heap_malloc");
}

void *diskalloc_heap_memalign(struct diskalloc_heap *h, size_t alignment, size_t size)
{
    if (alignment == 0 || (alignment & (alignment - 1)) != 0) {
        error_begin("diskalloc_heap_memalign");
        error_end(error_why(-EINVAL, "an alignment of %zu is no power of 2", alignment));
        errno = EINVAL;
        return NULL;
    }
    return get_or_fail(h, size, alignment, "diskalloc_heap_memalign");
}

// Whole units that were never used since the region granted them are zero already, and stay untouched.
static void zero(struct diskalloc_heap *h, char *block, size_t size)
{
    uint32_t at = (uint32_t)((uint64_t)(block - h->base) / UNIT);

    if (size <= CLASS_SIZE_MAX) {
        memset(block, 0, size);
        return;
    }
    for (size_t done = 0; done < size; done += UNIT, at++)
        if (!(h->units[at].flags & UNIT_FRESH))
            memset(block + done, 0, u64_min(UNIT, size - done));
}

void *diskalloc_heap_calloc(struct diskalloc_heap *h, size_t n, size_t size)
{
    uint64_t bytes;
    char *block;

    if (!checked_mul(n, size, &bytes)) {
        error_begin("diskalloc_heap_calloc");
        error_end(error_why(-ENOMEM, "%zu elements of %zu bytes", n, size));
        errno = ENOMEM;
        return NULL;
    }
    block = malloc_as(h, bytes, "diskalloc_heap_calloc");
    if (block)
        zero(h, block, bytes);
    return block;
}

// The unit of a large block; 0: BLOCK is none.
static uint32_t large_unit(const struct diskalloc_heap *h, const void *block)
{
    uint64_t offset = (uint64_t)((const char *)block - h->base);

    if (offset % UNIT != 0 || offset / UNIT >= atomic_load_explicit(&h->extent, memory_order_relaxed))
        return 0;
    return h->units[offset / UNIT].kind == SPAN_LARGE ? (uint32_t)(offset / UNIT) : 0;
}

static void large_free(struct diskalloc_heap *h, uint32_t at)
{
    bool plenty;

    pthread_mutex_lock(&h->lock);
    spans_give(h, at, h->units[at].n);
    plenty = space_is_plenty(h);
    pthread_mutex_unlock(&h->lock);
    if (plenty)
        space_trim(h);
}

// The class of a block that a slab has room for at this place; CLASS_N: none.
static inline unsigned small_class(const struct diskalloc_heap *h, const void *block)
{
    uint64_t offset = (uint64_t)((const char *)block - h->base);
    const struct size_class *c;
    const struct unit *u;
    uint32_t inner;

    if (offset >> UNIT_SHIFT >= atomic_load_explicit(&h->extent, memory_order_relaxed))
        return CLASS_N;
    u = &h->units[offset >> UNIT_SHIFT];
    if (u->kind != SPAN_SLAB)
        return CLASS_N;
    c = &h->classes[u->size_class];
    inner = (uint32_t)(offset - u->head * UNIT);
    return (uint32_t)((uint64_t)inner * c->reciprocal >> 32) * c->size == inner ? u->size_class : CLASS_N;
}

static void put(struct diskalloc_heap *h, void *block)
{
    unsigned c = small_class(h, block);
    struct cache *cache;
    struct magazine *m;
    uint32_t at;

    if (c == CLASS_N) {
        at = large_unit(h, block);
        if (!at)
            cache_complain(block);
        large_free(h, at);
        return;
    }
    cache = cache_of(h);
    if (!cache) {
        cache_bypass(h, block);
        return;
    }
    m = &cache->magazines[c];
    if (m->n > 0 && m->blocks[m->n - 1] == block)
        cache_complain(block);
    if (m->n == m->most)
        cache_spill(h, cache, c);
    m->blocks[m->n++] = block;
}

void diskalloc_heap_free(struct diskalloc_heap *h, void *block)
{
    int saved;

    if (!block)
        return;
    if (LIKELY(h && cache_recent.id == h->id)) {
        unsigned c = small_class(h, block);

        if (LIKELY(c < CLASS_N)) {
            struct magazine *m = &cache_recent.cache->magazines[c];

            if (LIKELY(m->n < m->most && (m->n == 0 || m->blocks[m->n - 1] != block))) {
                m->blocks[m->n++] = block;
                return;
            }
        }
    }
    if (!h) {
        cache_complain(block);
    } else if (!h->inherited && !h->read_only) {
        saved = errno;
        put(h, block);
        errno = saved;
    }
}

size_t diskalloc_heap_usable_size(const struct diskalloc_heap *h, const void *block)
{
    unsigned c;
    uint32_t at;

    if (!h || !block || h->read_only)
        return 0;
    c = small_class(h, block);
    if (c < CLASS_N)
        return h->classes[c].size;
    at = large_unit(h, block);
    return at ? h->units[at].n * UNIT : 0;
}
