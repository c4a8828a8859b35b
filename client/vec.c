// The part of vectors that is not inlined in <diskalloc/vec.h>: growing them.  client/vec_init.c makes new ones;
// client/persist.c opens vectors that exist and commits them.
//
// A vector's fields (data, len, cap) are the program's; these files only return new values for them.  Growing
// goes like this: the answer to an early grow is taken over; if that is not enough, the region is resized
// (client/growth.c chooses the size); then the vector gets a window of the granted bytes, whose pages are made ahead
// of it (client/memory/prefetch.c); and the next size is asked for early.  A vector that gets much at once is watched
// instead (client/memory/filling.c).  Parts of the region that were discarded are granted again as the vector comes to
// them.
#include "client/vec.h"

#include <assert.h>
#include <errno.h>
#include <string.h>

#include "client/diskalloc.h"
#include "client/growth.h"
#include "client/region/region.h"
#include "client/util/error.h"
#include "proto/util/checked.h"
#include "proto/util/size.h"

#define LEAST_PART ((uint64_t)8 << 20) // bytes

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

int diskalloc_vec_damaged(const char *call, size_t len, size_t cap)
{
    error_begin(call);
    return error_end(error_why(
        -EINVAL, "the vector's len is %zu and its cap %zu: something else has written to the struct", len, cap));
}

int vec_check(const struct diskalloc_region *r, size_t len, size_t cap, size_t element_size)
{
    char size[SIZE_TEXT_MAX];
    uint64_t bytes;

    if (!r)
        return error_why(-EINVAL, "the vector was not initialised");
    if (element_size == 0)
        return error_why(-EINVAL, "the elements have no bytes");
    if (len > cap)
        return error_why(-EINVAL, "the vector's len is %zu and its cap %zu: something else has written to the struct",
                         len, cap);
    if (!checked_mul(len, element_size, &bytes) || bytes > r->size)
        return error_why(-ESTALE, "the region has %s, which is too little for the vector's %zu elements: others cut it",
                         size_format(r->size, size), len);
    return 0;
}

struct diskalloc_vec_state vec_state_of(struct diskalloc_region *r, int result)
{
    struct diskalloc_vec_state v = {.result = result};

    if (result < 0)
        return v;
    assert(r);
    v.data = r->mapping.base;
    v.region = r;
    return v;
}

int diskalloc_vec_advise(struct diskalloc_region *r, size_t len, size_t cap, size_t element_size, int advice,
                         const char *call)
{
    int e;

    error_begin(call);
    e = vec_check(r, len, cap, element_size);
    return error_end(e < 0 ? e : region_advise_whole(r, advice));
}

// A vector that something else has written to is checked as by the other calls; then the length counts, and not the
// size of the region.
int diskalloc_vec_prefetch(struct diskalloc_region *r, size_t len, size_t cap, size_t element_size,
                           const size_t *indices, size_t n, const char *call)
{
    int e;

    error_begin(call);
    e = vec_check(r, len, cap, element_size);
    for (size_t i = 0; e == 0 && indices && i < n; i++)
        if (indices[i] >= len)
            e = error_why(-EINVAL, "element %zu is not in a vector of %zu", indices[i], len);
    return error_end(e < 0 ? e : region_announce(r, indices, n, element_size, element_size));
}

void vec_take_early(struct diskalloc_region *r, uint64_t needed)
{
    assert(r);
    pthread_mutex_lock(&r->lock);
    if (!region_is_inherited(r))
        region_settle_early(r, needed > r->size);
    // A vector that needs more does not give up what it has.  A failure shows when the region is resized.
    if (needed > r->size && needed != UINT64_MAX && !region_is_inherited(r) && region_disagree_locked(r) < 0)
        error_forget();
    pthread_mutex_unlock(&r->lock);
}

// Of a vector that was drained: the first discarded part at AT or behind it, as far as it is within the size.  False:
// there is none.
static bool find_gap(struct diskalloc_region *r, uint64_t at, uint64_t *ret_from, uint64_t *ret_end)
{
    const struct ranges *discarded = &r->backing->discarded;
    size_t i;

    *ret_from = *ret_end = r->size;
    if (!r->drained)
        return false;
    pthread_mutex_lock(&r->lock);
    i = ranges_find(discarded, at);
    if (i < discarded->n) {
        *ret_from = u64_min(u64_max(discarded->items[i].offset, at), r->size);
        *ret_end = u64_min(discarded->items[i].offset + discarded->items[i].length, r->size);
    }
    pthread_mutex_unlock(&r->lock);
    return *ret_from < *ret_end;
}

uint64_t vec_end(struct diskalloc_region *r, uint64_t used)
{
    uint64_t from, end;

    find_gap(r, used, &from, &end);
    return from;
}

// A vector that was drained, then cut, and is filled again (client/drain.c) comes to bytes that have no blocks.  They
// are granted again as the vector grows: as much at once as growing would ask for, or what is needed.
static int fill_gaps(struct diskalloc_region *r, uint64_t used, uint64_t needed)
{
    uint64_t from, end;
    int e = 0;

    while (e == 0 && find_gap(r, used, &from, &end) && from < needed) {
        uint64_t least = u64_min(needed, end), next = growth_next(from, least, end);

        e = region_restore(r, from, next - from);
        if ((e == -EDQUOT || e == -ENOSPC) && next > least) {
            error_forget();
            e = region_restore(r, from, least - from);
        }
    }
    return e;
}

static struct diskalloc_vec_cap failed(size_t cap, int result)
{
    return (struct diskalloc_vec_cap){.cap = cap, .result = error_end(result)};
}

static struct diskalloc_vec_cap succeeded(struct diskalloc_region *r, uint64_t needed, size_t element_size)
{
    return (struct diskalloc_vec_cap){.cap = vec_end(r, needed) / element_size, .result = error_end(0)};
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
    if (region_is_small(r) && needed <= REGION_SMALL)
        return region_resize(r, REGION_SMALL);
    next = growth_next(size, needed, most);
    result = region_resize(r, next);
    if ((result == -EDQUOT || result == -ENOSPC) && next > needed) {
        const struct diskalloc_error_info *info = error_noted();
        uint64_t left = info->limit > info->used ? info->limit - info->used : 0;

        next = growth_fallback(size, needed, next, left);
        error_forget();
        result = region_resize(r, next);
    }
    // A disk can't always grant the space that it says is left.  So half of that is tried, then a quarter, and so on,
    // instead of growing by single elements.
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
    uint64_t next;

    // The client's last vectors ended with the size that this one began with.
    if (r->prefetch.first > 0 && r->size <= r->began_with)
        return;
    next = growth_early(r->size, end, r->mapping.reserve);

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

// A vector that gets much at once does not tell how far it has come.
static void watch_filling(struct diskalloc_region *r, uint64_t from, bool one_by_one)
{
    if (one_by_one)
        filling_end(&r->filling);
    else
        filling_begin(&r->filling, u64_max(from, prefetch_end(&r->prefetch)), r->size);
}

static void note_needed(struct diskalloc_region *r, uint64_t needed)
{
    struct diskalloc *da = r->da;

    if (r->began_with == 0)
        return;
    if (needed > da->first_size / 4)
        da->n_unneeded = 0;
    if (needed > REGION_SMALL)
        da->outgrows = true;
    da->first_size = growth_first_after_need(da->first_size, needed);
}

struct diskalloc_vec_cap diskalloc_vec_grow(struct diskalloc_region *r, size_t len, size_t cap, size_t additional,
                                            size_t element_size, const char *call)
{
    uint64_t from = (uint64_t)cap * element_size, needed = 0, end;
    bool one_by_one;
    int result;

    error_begin(call);
    result = vec_check(r, len, cap, element_size);
    if (result == 0)
        result = needed_bytes(len, additional, element_size, &needed);
    if (result == 0)
        vec_take_early(r, needed);
    // Another vector on this region may have grown it already.
    if (result == 0 && (needed > r->size || r->backing->read_only))
        result = grow(r, needed);
    if (result == 0)
        result = fill_gaps(r, (uint64_t)len * element_size, needed);
    if (result < 0)
        return failed(cap, result);
    assert(r); // vec_check has found it
    note_needed(r, needed);
    if (region_is_small(r))
        return succeeded(r, needed, element_size);
    one_by_one = prefetch_is_one_by_one(from, needed);
    if (one_by_one)
        note_filled(r, from);
    watch_filling(r, from, one_by_one);
    end = prefetch_open(&r->prefetch, from, needed, vec_end(r, needed), writeback_ahead_max(&r->writeback));
    if (one_by_one)
        ask_early(r, end);
    return (struct diskalloc_vec_cap){.cap = end / element_size, .result = error_end(0)};
}

// In parts, so that no more is made ahead than memory has room for.
void diskalloc_vec_copy(struct diskalloc_region *r, uint64_t at, const void *src, uint64_t n)
{
    filling_end(&r->filling);
    for (uint64_t done = 0, part; done < n; done += part) {
        note_filled(r, at + done);
        part = u64_min(n - done, u64_max(2 * writeback_ahead_max(&r->writeback), LEAST_PART));
        prefetch_fill(&r->prefetch, at + done, at + done + part);
        memmove(r->mapping.base + at + done, (const char *)src + done, part);
    }
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
    if (grown.result == 0)
        grown.result = fill_gaps(r, (uint64_t)len * element_size, needed);
    if (grown.result == 0)
        watch_filling(r, (uint64_t)cap * element_size, false);
    return grown.result < 0 ? failed(cap, grown.result) : succeeded(r, needed, element_size);
}
