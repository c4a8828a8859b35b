// Making, opening and closing a heap.
//
// A heap is made in this order: the region's record says that this is a heap (so that no vector adopts it), the
// region grows, the first units are written, and the magic last.  A region whose record says so and that has no magic
// was left by a program that was killed in between, and is made anew.
#include <assert.h>
#include <errno.h>
#include <string.h>
#include <sys/mman.h>

#include "client/heap/cache.h"
#include "client/heap/heap.h"
#include "client/heap/spans.h"
#include "client/util/error.h"
#include "proto/util/checked.h"
#include "proto/util/container.h"
#include "proto/util/page.h"

enum { FIRST_BYTES = 2 << 20 };

#define FIRST_LEAST ((HEAP_FIRST_UNITS + 6) * UNIT) // bytes, if the limit or the disk allows no more

static void forked(struct fork_hook *hook)
{
    struct diskalloc_heap *h = container_of(hook, struct diskalloc_heap, fork);

    h->inherited = true;
    h->id = cache_new_id();
    h->n_leaving = 0;
}

static void *reserve(size_t bytes, int protection)
{
    void *at = mmap(NULL, bytes, protection, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

    return at == MAP_FAILED ? NULL : at;
}

static size_t heap_bytes(void)
{
    return align_up(sizeof(struct diskalloc_heap), page_size());
}

static size_t units_bytes(const struct diskalloc_heap *h)
{
    return align_up(h->units_max * sizeof *h->units, page_size());
}

static size_t segments_bytes(const struct diskalloc_heap *h)
{
    return align_up(h->segments_max * sizeof *h->segments, page_size());
}

static void heap_free(struct diskalloc_heap *h)
{
    if (h->units)
        munmap(h->units, units_bytes(h));
    if (h->segments)
        munmap(h->segments, segments_bytes(h));
    pthread_mutex_destroy(&h->lock);
    pthread_mutex_destroy(&h->space);
    munmap(h, heap_bytes());
}

static struct diskalloc_heap *heap_alloc(struct diskalloc_region *r)
{
    struct diskalloc_heap *h = reserve(heap_bytes(), PROT_READ | PROT_WRITE);
    pthread_mutexattr_t adaptive;

    if (!h)
        return NULL;
    h->region = r;
    h->base = r->mapping.base;
    h->header = (struct heap_header *)(void *)h->base;
    h->units_max = (uint32_t)u64_min(r->mapping.reserve / UNIT, HEAP_UNITS_MAX);
    h->segments_max = (h->units_max + SEGMENT_UNITS - 1) / SEGMENT_UNITS + 1;
    for (unsigned c = 0; c < CLASS_N; c++)
        h->classes[c] = (struct size_class){class_size(c), class_reciprocal(c)};
    pthread_mutexattr_init(&adaptive);
    pthread_mutexattr_settype(&adaptive, PTHREAD_MUTEX_ADAPTIVE_NP);
    pthread_mutex_init(&h->lock, &adaptive);
    pthread_mutexattr_destroy(&adaptive);
    pthread_mutex_init(&h->space, NULL);
    h->units = reserve(units_bytes(h), PROT_NONE);
    h->segments = reserve(segments_bytes(h), PROT_READ | PROT_WRITE);
    if (!h->units || !h->segments) {
        heap_free(h);
        return NULL;
    }
    return h;
}

// 0; -EBUSY: a heap is open on R already, and will close it.
static int take_region(struct diskalloc_region *r)
{
    bool taken;

    pthread_mutex_lock(&r->lock);
    taken = r->has_heap;
    r->has_heap = true;
    pthread_mutex_unlock(&r->lock);
    return taken ? error_why(-EBUSY, "the heap is open already, on this region") : 0;
}

static void give_region_back(struct diskalloc_region *r)
{
    pthread_mutex_lock(&r->lock);
    r->has_heap = false;
    pthread_mutex_unlock(&r->lock);
}

// The notes of the first units, of a region whose first END units are accessible.
static int format(struct diskalloc_heap *h, uint32_t end)
{
    struct heap_header *header = h->header;
    int e;

    memset(header, 0, offsetof(struct heap_header, in_use));
    header->first.version = HEAP_VERSION;
    header->first.unit = (uint32_t)UNIT;
    if (home_is_possible((uintptr_t)h->base, h->region->mapping.reserve))
        header->first.home = (uintptr_t)h->base;
    header->first.check = home_check(&header->first);
    atomic_store(&header->root, seal(0, SEAL_ROOT, 0));
    e = heap_make_ready(h, HEAP_FIRST_UNITS);
    if (e < 0)
        return e;
    h->segments[0] = (struct heap_segment *)(void *)(h->base + UNIT);
    memset(h->segments[0], 0, offsetof(struct heap_segment, bits));
    h->n_segments = 1;
    span_write(h, 0, (struct span){SPAN_NOTES, 0, HEAP_FIRST_UNITS});
    h->units[0] = (struct unit){.head = 0, .n = HEAP_FIRST_UNITS, .kind = SPAN_NOTES};
    h->used = HEAP_FIRST_UNITS;
    heap_write_extent(h, HEAP_FIRST_UNITS);
    e = heap_extend(h, end, end);
    if (e == 0) {
        atomic_signal_fence(memory_order_seq_cst);
        memcpy(header->first.magic, HOME_MAGIC, sizeof header->first.magic);
    }
    return e;
}

// A region that can't be found by others needs no record: one that was unlinked, or one without a name in a directory
// whose file system has no place for a record.
static int mark(struct diskalloc_region *r)
{
    int e = region_commit(r, 0, REGION_OF_A_HEAP, 0);

    return e == -ESTALE || (e == -EOPNOTSUPP && !r->backing->named) ? 0 : e;
}

static bool has_magic(const struct diskalloc_heap *h)
{
    return memcmp(h->header->first.magic, (const char[8]){0}, 8) != 0;
}

// Whether R is empty, or was left by a program that was killed while it made a heap.
static bool is_empty(const struct diskalloc_heap *h)
{
    const struct backing *b = h->region->backing;
    bool marked = b->committed && b->element_size == REGION_OF_A_HEAP && b->used == 0;

    if (h->region->size == 0)
        return true;
    return marked && (h->region->size < UNIT || (ranges_overlap(&b->discarded, 0, UNIT) == 0 && !has_magic(h)));
}

static int check_kind(const struct diskalloc_region *r)
{
    const struct backing *b = r->backing;

    if (!b->committed || b->element_size == 0 || b->element_size == REGION_OF_A_HEAP)
        return 0;
    return error_why(-EPROTOTYPE, "the region is a vector with elements of %u bytes", b->element_size);
}

static int refresh(struct diskalloc_region *r)
{
    int e;

    error_handle(r->handle);
    if (region_is_inherited(r))
        return error_why(-EBUSY, "the region was inherited through fork: attach it by its handle");
    pthread_mutex_lock(&r->lock);
    e = region_refresh_locked(r, 0);
    if (e >= 0)
        e = r->backing->read_only ? 0 : region_reserve(r);
    pthread_mutex_unlock(&r->lock);
    if (e == -ESTALE) // unlinked: its memory is there all the same
        error_forget();
    return e == -ESTALE ? 0 : e;
}

// Another process may have had the heap until now: then what was heard of the region is old.
static int claim(struct diskalloc_heap *h)
{
    int e = in_use_claim(h);

    return e == 0 && h->beside_reader ? refresh(h->region) : e;
}

static int read_all(struct diskalloc_heap *h)
{
    int e = check_header(h);

    return e < 0 ? e : check_read(h);
}

static int make(struct diskalloc_heap *h)
{
    struct diskalloc_region *r = h->region;
    uint64_t end = 0;
    int e = r->backing->committed ? 0 : mark(r);

    error_forget();
    if (e == 0 && r->size < FIRST_BYTES) {
        e = region_resize(r, FIRST_BYTES);
        if (e == -EDQUOT || e == -ENOSPC) {
            error_forget();
            e = region_resize(r, FIRST_LEAST);
        }
    }
    if (e == 0)
        e = space_grant(r, 0, FIRST_LEAST, &end);
    if (e == 0)
        e = claim(h);
    if (e == 0 && h->beside_reader && has_magic(h)) // another process has made it meanwhile
        return read_all(h);
    return e < 0 ? e : format(h, (uint32_t)u64_min(end / UNIT, h->units_max));
}

// Of a heap that is read only the header is read: others may be changing the rest.  That the root is accessible is
// looked at all the same: the program goes there next.
static int read_root(struct diskalloc_heap *h)
{
    uint64_t extent = 0;
    int e;

    unseal(atomic_load(&h->header->extent), SEAL_EXTENT, 0, &extent);
    atomic_store(&h->extent, 0);
    unseal(atomic_load(&h->header->root), SEAL_ROOT, 0, &h->root);
    if (h->root >= (uint32_t)extent * UNIT)
        return error_why(-EINVAL, "the heap in this region is damaged: the root lies outside");
    e = h->root ? check_root_is_granted(h) : 0;
    h->read_only = e == 0;
    return e;
}

// Another process may have changed the heap since this one asked what the region grants: a heap that seems to be
// damaged is looked at again, after asking once more.
static int fill_reader(struct diskalloc_heap *h)
{
    int e = check_header(h), refreshed;

    if (e == 0)
        e = read_root(h);
    if (e != -EINVAL)
        return e;
    error_forget();
    refreshed = refresh(h->region);
    if (refreshed < 0)
        return refreshed;
    if (h->region->size < UNIT)
        return error_why(-EINVAL, "the heap in this region was cut");
    e = check_header(h);
    return e < 0 ? e : read_root(h);
}

static int fill(struct diskalloc_heap *h)
{
    struct diskalloc_region *r = h->region;
    int e = check_kind(r);

    if (e < 0)
        return e;
    if (is_empty(h))
        return r->backing->read_only ? error_why(-EROFS, "the region is empty, and attached for reading only")
                                     : make(h);
    if (r->size < UNIT)
        return error_why(-EINVAL, "there is no heap in this region of %llu bytes", (unsigned long long)r->size);
    if (r->backing->read_only)
        return fill_reader(h);
    e = check_header(h);
    if (e == 0)
        e = claim(h);
    return e < 0 ? e : read_all(h);
}

static int open_taken(struct diskalloc_region *r, bool shared, struct diskalloc_heap **ret)
{
    struct diskalloc_heap *h = heap_alloc(r);
    bool locked = false;
    int e = 0;

    if (!h)
        return error_why(-ENOMEM, "no address space for the heap's lists");
    h->shared = shared;
    if (shared && !r->backing->read_only) {
        e = in_use_lock(h);
        locked = e == 0;
    }
    if (e == 0)
        e = fill(h);
    if (e < 0) {
        if (locked)
            in_use_end(h);
        heap_free(h);
        return e;
    }
    fork_lock();
    h->id = cache_new_id();
    h->fork.child = forked;
    fork_register(&h->fork, FORK_REGION);
    fork_unlock();
    *ret = h;
    return 0;
}

static int open_heap(struct diskalloc_region *r, bool shared, struct diskalloc_heap **ret)
{
    int e = refresh(r);

    if (e == 0)
        e = take_region(r);
    if (e < 0)
        return e;
    e = open_taken(r, shared, ret);
    if (e < 0)
        give_region_back(r);
    return e;
}

int diskalloc_heap_open(struct diskalloc_region *r, struct diskalloc_heap **ret)
{
    error_begin("diskalloc_heap_open");
    if (!r || !ret)
        return error_end(error_why(-EINVAL, "a NULL argument"));
    return error_end(open_heap(r, true, ret));
}

static int heap_new(struct diskalloc *da, struct diskalloc_heap **ret)
{
    struct diskalloc_region *r = NULL;
    int e;

    if (!ret)
        return error_why(-EINVAL, "a NULL argument");
    e = region_create(da, NULL, false, &r);
    if (e < 0)
        return e;
    e = open_heap(r, false, ret);
    if (e < 0)
        region_close(r);
    return e;
}

int diskalloc_heap_new(struct diskalloc *da, struct diskalloc_heap **ret)
{
    error_begin("diskalloc_heap_new");
    return error_end(heap_new(da, ret));
}

// A region that others can find gives back what is free, and its record says how long the heap is.
static void leave(struct diskalloc_heap *h)
{
    slabs_drop_spares(h);
    space_trim_all(h);
    if (h->region->backing->named)
        region_commit(h->region, atomic_load(&h->extent) * UNIT, REGION_OF_A_HEAP, 0);
    in_use_end(h);
    error_forget();
}

void diskalloc_heap_close(struct diskalloc_heap *h)
{
    if (!h)
        return;
    fork_lock();
    fork_unregister(&h->fork);
    fork_unlock();
    cache_end(h, h->inherited || h->read_only);
    if (h->shared && !h->inherited && !h->read_only)
        leave(h);
    region_close(h->region);
    heap_free(h);
}
