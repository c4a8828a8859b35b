// What the region grants of a heap: growing, giving back, restoring.
//
// Each of these asks the daemon, which can take long, and the library allocates memory while it does.  So the heap's
// lock is not held meanwhile: the units in question are kept as a span that nobody takes (SPAN_BUSY), and one thread
// at a time does this, holding `space`.  Where malloc itself is put on a heap, the library's allocations come back to
// a heap on this same thread: they get what is free there, or nothing (space_is_busy), and never wait for a lock that
// this thread holds.  Some units are kept for them.
//
// Free units are given back when there are many of them: more than 16 MiB and a quarter of what is used, and then
// down to half of that.  What the program has needed again, of what was given back, is kept from then on, up to half
// of what is used; this is forgotten little by little.  The longest spans go first.  At the heap's end the region is
// cut, elsewhere a part is discarded.
#include <errno.h>
#include <string.h>

#include "client/growth.h"
#include "client/heap/heap.h"
#include "client/heap/spans.h"
#include "client/util/error.h"
#include "proto/util/checked.h"

enum {
    KEPT_UNITS = 512,     // 8 MiB
    FOR_NESTED_UNITS = 8, // left to allocations of the library itself while it grows the region
    RESTORE_UNITS = 128,  // 2 MiB at a time
    TRIM_UNITS = 16,      // shorter spans are not given back: a region can have 4,096 parts that are
    TRIM_ALL_UNITS = 2,
};

static _Thread_local bool busy;

bool space_is_busy(void)
{
    return busy;
}

static int try_grow(struct diskalloc_region *r, uint64_t size)
{
    error_forget();
    return region_resize(r, size);
}

static bool is_refused(int e)
{
    return e == -EDQUOT || e == -ENOSPC;
}

static int grow_region(struct diskalloc_region *r, uint64_t needed)
{
    uint64_t next = growth_next(r->size, needed, u64_max(r->mapping.reserve, needed));
    int e = try_grow(r, next);

    if (is_refused(e) && next > needed) {
        const struct diskalloc_error_info *info = error_noted();

        next = growth_fallback(r->size, needed, next, info->limit > info->used ? info->limit - info->used : 0);
        e = try_grow(r, next);
    }
    while (is_refused(e) && next > needed) {
        next = growth_halfway(needed, next);
        e = try_grow(r, next);
    }
    return e;
}

// How far the bytes from FROM on are granted without a gap.
static uint64_t granted_until(struct diskalloc_region *r, uint64_t from)
{
    const struct ranges *discarded = &r->backing->discarded;
    uint64_t end;
    size_t i;

    pthread_mutex_lock(&r->lock);
    end = r->size;
    i = ranges_find(discarded, from);
    if (i < discarded->n)
        end = u64_min(end, u64_max(discarded->items[i].offset, from));
    pthread_mutex_unlock(&r->lock);
    return end;
}

int space_grant(struct diskalloc_region *r, uint64_t from, uint64_t needed, uint64_t *ret_end)
{
    uint64_t to = u64_min(r->size, needed);
    int e = 0;

    if (from < to && granted_until(r, from) < to)
        e = region_restore(r, from, to - from);
    if (e == 0 && r->size < needed)
        e = grow_region(r, needed);
    if (e < 0)
        return e;
    *ret_end = granted_until(r, from);
    return *ret_end >= needed ? 0 : error_why(-EBUSY, "another program gives back parts of the heap's region");
}

// Behind the heap's end the region may have bytes that the heap does not know: a program was killed while it cut the
// region, or something else made the region larger.  Parts of them may be discarded.  Those that are needed are
// restored first; the heap ends before the others, and the next growth comes to them.
int space_grow(struct diskalloc_heap *h, uint32_t end)
{
    struct diskalloc_region *r = h->region;
    uint64_t from = atomic_load(&h->extent) * UNIT, before = r->size, granted;
    int e;

    busy = true;
    e = space_grant(r, from, end * UNIT, &granted);
    busy = false;
    pthread_mutex_lock(&h->lock);
    if (e == 0)
        e = heap_extend(h, (uint32_t)u64_min(granted / UNIT, h->units_max), (uint32_t)(align_up(before, UNIT) / UNIT));
    pthread_mutex_unlock(&h->lock);
    return e;
}

static void note_restored(struct diskalloc_heap *h, uint32_t at, uint32_t n)
{
    for (uint32_t i = at; i < at + n; i++)
        if (h->units[i].flags & UNIT_GIVEN_BACK) {
            h->units[i].flags = h->units[i].flags & UNIT_IN_DOUBT ? 0 : UNIT_FRESH;
            h->taken_again++;
        }
}

// With both locks; releases the heap's meanwhile.  Restores the first units of a free span, N at least.
static int restore(struct diskalloc_heap *h, uint32_t span, uint32_t n)
{
    uint32_t length = (uint32_t)u64_min(h->units[span].n, u64_max(n, RESTORE_UNITS)), restored = length;
    int e;

    spans_take(h, span, 0, length, (struct span){SPAN_BUSY, 0, length});
    pthread_mutex_unlock(&h->lock);
    busy = true;
    error_forget();
    e = region_restore(h->region, span * UNIT, length * UNIT);
    if (is_refused(e) && length > n) {
        restored = n;
        error_forget();
        e = region_restore(h->region, span * UNIT, n * UNIT);
    }
    busy = false;
    pthread_mutex_lock(&h->lock);
    if (e == 0)
        note_restored(h, span, restored);
    spans_give(h, span, length);
    return e;
}

static bool is_granted(const struct diskalloc_heap *h, uint32_t at, uint32_t n)
{
    for (uint32_t i = at; i < at + n; i++)
        if (h->units[i].flags & UNIT_GIVEN_BACK)
            return false;
    return true;
}

// A free span of NEED units whose first N, behind what ALIGN skips, are granted; 0: none.
static uint32_t find_granted(const struct diskalloc_heap *h, uint32_t need, uint32_t n, uint64_t align)
{
    uint32_t span = spans_find(h, BIN_GRANTED, need);

    if (span)
        return span;
    span = spans_find(h, BIN_MIXED, need);
    return span && is_granted(h, span + spans_skip(h, span, align), n) ? span : 0;
}

static int grow(struct diskalloc_heap *h, uint32_t need)
{
    uint64_t end = (uint64_t)atomic_load(&h->extent) + need + FOR_NESTED_UNITS, notes;
    uint64_t n_segments = end / (SEGMENT_UNITS - SEGMENT_SPAN) + 2;
    int e;

    // A heap that was cut has segments already.
    notes = n_segments > h->n_segments ? (n_segments - h->n_segments) * SEGMENT_SPAN : 0;
    if (end + notes > HEAP_UNITS_MAX)
        return error_why(-ENOMEM, "a heap has %llu bytes at most", (unsigned long long)(HEAP_UNITS_MAX * UNIT));
    pthread_mutex_unlock(&h->lock);
    e = space_grow(h, (uint32_t)(end + notes));
    pthread_mutex_lock(&h->lock);
    return e;
}

// With the lock, which is released meanwhile.
static int make_room(struct diskalloc_heap *h, uint32_t need, uint32_t n, uint64_t align)
{
    uint32_t span;
    int e = 0;

    pthread_mutex_unlock(&h->lock);
    pthread_mutex_lock(&h->space);
    pthread_mutex_lock(&h->lock);
    // Another thread may have made room meanwhile.
    if (!find_granted(h, need, n, align) || h->free_granted < n + FOR_NESTED_UNITS) {
        span = spans_find(h, BIN_GIVEN_BACK, need);
        if (!span)
            span = spans_find(h, BIN_MIXED, need);
        if (span)
            e = restore(h, span, need);
        if (!span || (e < 0 && !is_refused(e)))
            e = grow(h, need);
    }
    pthread_mutex_unlock(&h->space);
    return e;
}

int space_take(struct diskalloc_heap *h, uint32_t n, uint64_t align, struct span as, uint32_t *ret)
{
    uint32_t need = n + (align > UNIT ? (uint32_t)(align / UNIT) - 1 : 0), span;
    bool made_room = false;
    int e = busy ? error_why(-ENOMEM, "the heap is full, and this thread is waiting for it to grow") : 0;

    for (;;) {
        span = find_granted(h, need, n, align);
        if (span && (busy || made_room || h->free_granted >= n + FOR_NESTED_UNITS))
            break;
        if (e < 0)
            return e;
        e = make_room(h, need, n, align);
        made_room = true;
    }
    *ret = span + spans_skip(h, span, align);
    spans_take(h, span, *ret - span, n, as);
    return 0;
}

// The free units behind a large block, if its heap or a free span goes on there.
static uint32_t free_behind(const struct diskalloc_heap *h, uint32_t at)
{
    return at < atomic_load_explicit(&h->extent, memory_order_relaxed) && h->units[at].kind == SPAN_FREE
               ? h->units[at].n
               : 0;
}

// With the lock, which is released meanwhile.
static int make_room_behind(struct diskalloc_heap *h, uint32_t at, uint32_t more)
{
    uint32_t n;
    int e = 0;

    pthread_mutex_unlock(&h->lock);
    pthread_mutex_lock(&h->space);
    pthread_mutex_lock(&h->lock);
    n = free_behind(h, at);
    if (n >= more && !is_granted(h, at, more))
        e = restore(h, at, more);
    else if (n < more && at + n == atomic_load_explicit(&h->extent, memory_order_relaxed))
        e = grow(h, more - n);
    else if (n < more)
        e = -EAGAIN;
    pthread_mutex_unlock(&h->space);
    return e;
}

int space_join(struct diskalloc_heap *h, uint32_t large, uint32_t more)
{
    uint32_t at = large + h->units[large].n;
    int e = busy ? -EAGAIN : 0;

    // Another thread can take the units that were just granted: then the block is copied elsewhere.
    for (int tries = 0; tries < 3; tries++) {
        if (free_behind(h, at) >= more && is_granted(h, at, more)) {
            spans_join(h, large, more);
            return 0;
        }
        if (e == 0)
            e = make_room_behind(h, at, more);
        if (e < 0)
            return e;
    }
    return -EAGAIN;
}

// Refused without having done anything.
static bool is_clean(int e)
{
    return e == -EBUSY || e == -EOPNOTSUPP || e == -EMFILE || e == -ENOSPC || e == -EROFS || e == -ESTALE;
}

// With both locks; releases the heap's meanwhile.  The heap ends at AT from now on, and the region is cut there.  A
// program that is killed between the two leaves a region that is larger than the heap, which the next growth finds
// (space_grow).
static int cut(struct diskalloc_heap *h, uint32_t at, uint32_t n)
{
    int e;

    heap_write_extent(h, at);
    pthread_mutex_unlock(&h->lock);
    busy = true;
    error_forget();
    e = region_resize(h->region, at * UNIT);
    busy = false;
    pthread_mutex_lock(&h->lock);
    // If the answer was lost, the region counts as cut: these bytes are not accessible.
    if (e == 0 || h->region->size < (at + n) * UNIT) {
        memset(h->units + at, 0, n * sizeof *h->units);
    } else {
        heap_write_extent(h, at + n);
        spans_give(h, at, n);
    }
    return e;
}

// Likewise.
static int discard(struct diskalloc_heap *h, uint32_t at, uint32_t n)
{
    int e;

    pthread_mutex_unlock(&h->lock);
    busy = true;
    error_forget();
    e = region_discard(h->region, at * UNIT, n * UNIT);
    busy = false;
    pthread_mutex_lock(&h->lock);
    for (uint32_t i = at; i < at + n; i++)
        if (e == 0)
            h->units[i].flags = UNIT_GIVEN_BACK | (h->units[i].flags & UNIT_IN_DOUBT);
        else if (!is_clean(e) && !(h->units[i].flags & UNIT_GIVEN_BACK))
            h->units[i].flags = UNIT_GIVEN_BACK | UNIT_IN_DOUBT;
    spans_give(h, at, n);
    return e;
}

// With both locks.  A free span with LEAST granted units or more; 0: none.
static uint32_t find_surplus(const struct diskalloc_heap *h, uint32_t least)
{
    for (enum bin_kind kind = BIN_GRANTED; kind <= BIN_MIXED; kind++) {
        uint32_t span = spans_find_longest(h, kind);

        if (span && h->units[span].n - h->units[span].given_back >= least)
            return span;
    }
    return 0;
}

// With both locks.  Gives back until KEEP free units are left that are granted, from spans with LEAST of them.
static void trim(struct diskalloc_heap *h, uint32_t keep, uint32_t least)
{
    uint32_t span, skip;
    int e = 0;

    h->taken_again -= h->taken_again / 8;
    while (e == 0 && h->free_granted > keep && (span = find_surplus(h, least)) != 0) {
        uint32_t surplus = h->free_granted - keep, n = h->units[span].n;

        skip = h->units[span].given_back == 0 && n > surplus ? n - surplus : 0;
        if (n - skip < least)
            break;
        spans_take(h, span, skip, n - skip, (struct span){SPAN_BUSY, 0, n - skip});
        if (span + n == atomic_load_explicit(&h->extent, memory_order_relaxed))
            e = cut(h, span + skip, n - skip);
        else
            e = discard(h, span + skip, n - skip);
    }
    h->not_below = e == -EOPNOTSUPP ? UINT32_MAX
                   : e < 0          ? (uint32_t)u64_min(2 * (uint64_t)h->free_granted, UINT32_MAX)
                                    : 0;
}

static uint32_t kept_units(const struct diskalloc_heap *h)
{
    return KEPT_UNITS + h->used / 8 + (uint32_t)u64_min(h->taken_again, h->used / 2);
}

bool space_is_plenty(const struct diskalloc_heap *h)
{
    return h->free_granted > 2 * kept_units(h) && h->free_granted > h->not_below;
}

void space_trim(struct diskalloc_heap *h)
{
    // A thread that waits for the region changes nothing else about it, and need not wait for another one that does.
    if (busy || pthread_mutex_trylock(&h->space) != 0)
        return;
    pthread_mutex_lock(&h->lock);
    if (space_is_plenty(h))
        trim(h, kept_units(h), TRIM_UNITS);
    pthread_mutex_unlock(&h->lock);
    pthread_mutex_unlock(&h->space);
    error_forget();
}

void space_trim_all(struct diskalloc_heap *h)
{
    pthread_mutex_lock(&h->space);
    pthread_mutex_lock(&h->lock);
    trim(h, 0, TRIM_ALL_UNITS);
    pthread_mutex_unlock(&h->lock);
    pthread_mutex_unlock(&h->space);
    error_forget();
}
