// The part of vectors that is not inlined in <diskalloc/vec.h>: everything that talks to a region.
//
// A vector's fields (data, len, cap) are the program's; this file only returns new values for them.  Growing goes like this: the
// answer to an early grow is taken over; if that is not enough, the region is resized (client/growth.c chooses the size); then the
// vector gets a window of the granted bytes, whose pages are made ahead of it (client/memory/prefetch.c); and the next size is asked for
// early.
#include <diskalloc/vec.h>
#include <errno.h>

#include "client/diskalloc.h"
#include "client/growth.h"
#include "client/region/region.h"
#include "client/util/error.h"
#include "proto/util/checked.h"

int diskalloc_vec_fail(const char *call, int result)
{
    error_begin(call);
    if (result == -ENODATA)
        error_why(result, "the vector is empty");
    else if (result == -EINVAL)
        error_why(result, "the index is not in the vector");
    else if (result == -EROFS)
        error_why(result, "the region is attached for reading only");
    return error_end(result);
}

struct diskalloc_vec_state diskalloc_vec_init(struct diskalloc *da, const char *call)
{
    struct diskalloc_region_options o = DISKALLOC_REGION_OPTIONS_INIT;
    struct diskalloc_vec_state v = {0};

    error_begin(call);
    o.size = da ? da->first_size : 0;
    v.result = region_create(da, &o, true, &v.region);
    // The first size is a guess: an empty vector needs no space.
    if (v.result == -EDQUOT || v.result == -ENOSPC) {
        error_forget();
        v.result = region_create(da, NULL, true, &v.region);
    }
    error_end(v.result);
    if (v.result < 0)
        return v;
    v.data = v.region->mapping.base;
    v.region->began_with = v.region->size;
    return v;
}

// Returns the bytes that are elements: those of the last commit, or all if there was none.
static int find_length(const struct diskalloc_region *r, size_t element_size, uint64_t *ret)
{
    const struct backing *b = r->backing;
    uint64_t bytes = r->size;

    if (b->committed && b->element_size != 0 && b->element_size != element_size)
        return error_why(-EPROTOTYPE, "committed with elements of %u bytes, not %zu", b->element_size, element_size);
    if (b->committed && b->used < bytes)
        bytes = b->used;
    if (bytes % element_size != 0)
        return error_why(-EINVAL, "%llu bytes are no whole number of elements of %zu bytes", (unsigned long long)bytes,
                         element_size);
    *ret = bytes;
    return 0;
}

struct diskalloc_vec_state diskalloc_vec_init_region(struct diskalloc_region *r, size_t element_size, const char *call)
{
    struct diskalloc_vec_state v = {0};
    uint64_t bytes = 0;

    error_begin(call);
    if (!r) {
        v.result = error_end(error_why(-EINVAL, "no region"));
        return v;
    }
    pthread_mutex_lock(&r->lock);
    error_handle(r->handle);
    v.result = find_length(r, element_size, &bytes);
    if (v.result == 0)
        v.result = region_reserve(r);
    error_end(v.result);
    pthread_mutex_unlock(&r->lock);
    if (v.result < 0)
        return v;
    v.data = r->mapping.base;
    v.len = bytes / element_size;
    v.cap = r->backing->read_only ? v.len : r->size / element_size;
    v.region = r;
    v.base_size = r->size;
    v.flags = DISKALLOC_VEC_ADOPTED | (r->backing->read_only ? DISKALLOC_VEC_READ_ONLY : 0);
    return v;
}

// Takes the answer to an early grow over.  The answer is waited for only if the vector needs more than the region has.
static void take_early(struct diskalloc_region *r, uint64_t needed)
{
    pthread_mutex_lock(&r->lock);
    if (!region_is_inherited(r))
        region_settle_early(r, needed > r->size);
    pthread_mutex_unlock(&r->lock);
}

// A failure to give capacity back is not reported: other users have the region attached, or it was inherited.
void diskalloc_vec_deinit(struct diskalloc_region *r, uint64_t base_size, uint32_t flags, uint64_t used)
{
    uint64_t keep;

    if (!r)
        return;
    if (flags & DISKALLOC_VEC_ADOPTED && !(flags & DISKALLOC_VEC_READ_ONLY))
        take_early(r, UINT64_MAX);
    keep = base_size > used ? base_size : used;
    if (r->used > keep)
        keep = r->used;
    if (r->kept > keep)
        keep = r->kept;
    if (flags & DISKALLOC_VEC_ADOPTED && !(flags & DISKALLOC_VEC_READ_ONLY) && r->size > keep)
        region_resize(r, keep);
    if (r->began_with > 0)
        r->da->first_size = growth_first_after_end(r->da->first_size, r->began_with, used);
    region_close(r);
}

// The region was cut to the length of the vector, also where another user had grown it.
static void cut(struct diskalloc_region *r, uint64_t *base_size, uint64_t used)
{
    if (*base_size > used)
        *base_size = used;
    if (r->kept > used)
        r->kept = used;
}

static struct diskalloc_vec_cap failed(size_t cap, int result)
{
    return (struct diskalloc_vec_cap){.cap = cap, .result = error_end(result)};
}

static struct diskalloc_vec_cap succeeded(const struct diskalloc_region *r, size_t element_size)
{
    return (struct diskalloc_vec_cap){.cap = diskalloc_region_size(r) / element_size, .result = error_end(0)};
}

struct diskalloc_vec_cap diskalloc_vec_shrink(struct diskalloc_region *r, size_t len, size_t cap, size_t element_size,
                                              uint64_t *base_size, const char *call)
{
    uint64_t used = (uint64_t)len * element_size;
    int result;

    error_begin(call);
    if (!r)
        return failed(cap, error_why(-EINVAL, "the vector was not initialised"));
    result = region_resize(r, used);
    // In doubt the region has become smaller: the vector must not store behind it.
    if (result < 0)
        return failed(u64_min(cap, r->size / element_size), result);
    cut(r, base_size, used);
    return succeeded(r, element_size);
}

struct diskalloc_vec_cap diskalloc_vec_commit(struct diskalloc_region *r, size_t len, size_t cap, size_t element_size,
                                              uint64_t *base_size, uint32_t flags, const char *call)
{
    uint64_t used = (uint64_t)len * element_size;
    int result = 0;

    error_begin(call);
    if (!r)
        return failed(cap, error_why(-EINVAL, "the vector was not initialised"));
    if (flags & ~(uint32_t)DISKALLOC_DURABLE)
        return failed(cap, error_why(-EINVAL, "unknown flags 0x%x", flags));
    // A caller's file has no record: its size says how many elements it has.
    if (r->backing->is_callers_file)
        result = region_resize(r, used);
    if (result == 0 && r->backing->is_callers_file)
        cut(r, base_size, used);
    if (result == 0)
        result = region_commit(r, used, (uint32_t)element_size, flags);
    if (r->backing->is_callers_file && !r->backing->read_only)
        cap = r->size / element_size;
    return result < 0 ? failed(cap, result) : (struct diskalloc_vec_cap){.cap = cap, .result = error_end(0)};
}

static int needed_bytes(size_t len, size_t additional, size_t element_size, uint64_t *ret)
{
    if (!checked_add(len, additional, ret) || !checked_mul(*ret, element_size, ret) || *ret > INT64_MAX)
        return error_why(-EOVERFLOW, "%zu elements and %zu more of %zu bytes", len, additional, element_size);
    return 0;
}

static int grow(struct diskalloc_region *r, uint64_t needed)
{
    uint64_t size = r->size, most = r->mapping.reserve, next;
    int result;

    if (needed > most)
        return region_resize(r, needed);
    next = growth_next(size, needed, most);
    result = region_resize(r, next);
    if ((result == -EDQUOT || result == -ENOSPC) && next > needed) {
        const struct diskalloc_error_info *info = error_noted();
        uint64_t left = info->limit > info->used ? info->limit - info->used : 0;

        next = growth_fallback(size, needed, next, left);
        error_forget();
        result = region_resize(r, next);
    }
    // A disk can't always grant the space that it says is left.  So half of that is tried, then a quarter, and so on, instead of
    // growing by single elements.
    while ((result == -EDQUOT || result == -ENOSPC) && next > needed) {
        next = growth_halfway(needed, next);
        error_forget();
        result = region_resize(r, next);
    }
    // Another user has grown the region further.
    if (result == 0 && r->size > next)
        r->kept = r->size;
    return result;
}

static void ask_early(struct diskalloc_region *r, uint64_t end)
{
    uint64_t next = growth_early(r->size, end, r->mapping.reserve);

    if (next > 0)
        region_grow_early(r, next);
}

static void note_filled(struct diskalloc_region *r, uint64_t filled)
{
    if (writeback_wants_file(&r->writeback)) {
        pthread_mutex_lock(&r->lock);
        writeback_give_file(&r->writeback, region_keep_file(r) < 0 ? NULL : &r->backing->file);
        error_forget();
        pthread_mutex_unlock(&r->lock);
    }
    writeback_note(&r->writeback, filled);
}

struct diskalloc_vec_cap diskalloc_vec_grow(struct diskalloc_region *r, size_t len, size_t cap, size_t additional,
                                            size_t element_size, const char *call)
{
    uint64_t from = (uint64_t)cap * element_size, needed = 0, end;
    int result;

    error_begin(call);
    if (!r)
        return failed(cap, error_why(-EINVAL, "the vector was not initialised"));
    result = needed_bytes(len, additional, element_size, &needed);
    if (result == 0)
        take_early(r, needed);
    // Another vector on this region may have grown it already.
    if (result == 0 && (needed > r->size || r->backing->read_only))
        result = grow(r, needed);
    if (result < 0)
        return failed(cap, result);
    if (prefetch_is_one_by_one(from, needed))
        note_filled(r, from);
    end = prefetch_open(&r->prefetch, from, needed, r->size, writeback_ahead_max(&r->writeback));
    if (prefetch_is_one_by_one(from, needed))
        ask_early(r, end);
    if (r->began_with > 0)
        r->da->first_size = growth_first_after_need(r->da->first_size, needed);
    return (struct diskalloc_vec_cap){.cap = end / element_size, .result = error_end(0)};
}

struct diskalloc_vec_cap diskalloc_vec_grow_zeroed(struct diskalloc_region *r, size_t len, size_t cap,
                                                   size_t additional, size_t element_size, const char *call)
{
    uint64_t size = r ? r->size : 0;
    struct diskalloc_vec_cap grown = diskalloc_vec_grow(r, len, cap, additional, element_size, call);

    if (grown.result < 0)
        return grown;
    // The bytes below SIZE may have been written by anybody, whatever an earlier grow found.
    region_zero(r, (uint64_t)cap * element_size, (uint64_t)(len + additional) * element_size, size);
    return grown;
}

struct diskalloc_vec_cap diskalloc_vec_grow_wait(struct diskalloc_region *r, size_t len, size_t cap, size_t additional,
                                                 size_t element_size, int timeout_ms, const char *call)
{
    struct diskalloc_vec_cap grown;
    uint64_t needed = 0;

    error_begin(call);
    if (timeout_ms < -1)
        return failed(cap, error_why(-EINVAL, "a timeout of %d ms", timeout_ms));
    grown = diskalloc_vec_grow(r, len, cap, additional, element_size, call);
    if (timeout_ms == 0 || (grown.result != -EDQUOT && grown.result != -ENOSPC))
        return grown;
    error_begin(call);
    grown.result = needed_bytes(len, additional, element_size, &needed);
    if (grown.result == 0)
        grown.result = region_resize_wait(r, needed, timeout_ms);
    return grown.result < 0 ? failed(cap, grown.result) : succeeded(r, element_size);
}
