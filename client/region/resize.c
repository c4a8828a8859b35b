// What is done to a region that one has: resize, refresh, sync, commit.  Growing is blocks, then access; shrinking is access,
// then blocks.
#include <errno.h>
#include <string.h>

#include "client/diskalloc.h"
#include "client/memory/dispose.h"
#include "client/region/region.h"
#include "client/util/error.h"
#include "proto/util/checked.h"
#include "proto/util/size.h"

// A region that another process grew beyond what is reserved here is accessible as far as that goes.
int region_follow_backing(struct diskalloc_region *r)
{
    uint64_t size = r->backing->size < r->mapping.reserve ? r->backing->size : r->mapping.reserve;
    int e = mapping_set_access(&r->mapping, size, &r->backing->discarded);

    if (e < 0)
        return e;
    atomic_store(&r->size, size);
    atomic_store(&r->used, r->backing->used);
    return 0;
}

static int outgrown(const struct diskalloc_region *r, uint64_t size)
{
    char asked[SIZE_TEXT_MAX], reserve[SIZE_TEXT_MAX];

    error_limit(-ENOMEM, "reserve", r->mapping.reserve, r->size, size > r->size ? size - r->size : 0);
    return error_why(-ENOMEM, "%s is more than the region's reserve of %s", size_format(size, asked),
                     size_format(r->mapping.reserve, reserve));
}

static int grow(struct diskalloc_region *r, uint64_t size)
{
    uint64_t before = r->backing->size;
    int e = r->backing->ops->grow(r->backing, size);

    if (e < 0)
        return e;
    e = region_follow_backing(r);
    // Without access the blocks are of no use: a failed call changes nothing.
    if (e < 0)
        r->backing->ops->shrink(r->backing, before);
    return e;
}

uint64_t region_mark(struct diskalloc_region *r)
{
    return r->da ? dispose_mark(&r->da->background) : 0;
}

bool region_may_try_again(struct diskalloc_region *r, int e, uint64_t since)
{
    if ((e != -EDQUOT && e != -ENOSPC) || !r->da || !dispose_await(&r->da->background, since))
        return false;
    error_forget();
    error_handle(r->handle);
    return true;
}

static int grow_or_wait(struct diskalloc_region *r, uint64_t size)
{
    uint64_t since = region_mark(r);
    int e = grow(r, size);

    return region_may_try_again(r, e, since) ? grow(r, size) : e;
}

static int shrink_to(struct diskalloc_region *r, uint64_t size)
{
    struct backing *b = r->backing;
    int e;

    prefetch_cut(&r->prefetch, size);
    writeback_cut(&r->writeback, size);
    e = mapping_set_access(&r->mapping, size, &b->discarded);
    if (e < 0)
        return e;
    e = b->ops->shrink(b, size);
    if (e < 0) {
        mapping_set_access(&r->mapping, r->size, &b->discarded);
        return e;
    }
    return region_follow_backing(r);
}

// What is discarded is whole blocks before the end.  One that the new end would be in is granted again first.
static int shrink(struct diskalloc_region *r, uint64_t size)
{
    uint64_t block = align_down(size, DISCARD_BLOCK);
    bool restored = block < size && ranges_overlap(&r->backing->discarded, block, DISCARD_BLOCK) > 0;
    int e = restored ? region_restore_locked(r, block, DISCARD_BLOCK) : 0;

    if (e < 0)
        return e;
    e = shrink_to(r, size);
    if (e < 0 && restored)
        region_discard_locked(r, block, DISCARD_BLOCK);
    return e;
}

int region_check_size(const struct diskalloc_region *r, uint64_t size)
{
    if (size > INT64_MAX)
        return error_why(-EOVERFLOW, "no file can have %llu bytes", (unsigned long long)size);
    return size > r->mapping.reserve ? outgrown(r, size) : 0;
}

// What the backend says of the size when it was wrong here is taken over first, and may turn a shrink into a grow.
static int resize(struct diskalloc_region *r, uint64_t size)
{
    int e = region_check_size(r, size);

    if (e < 0)
        return e;
    for (;;) {
        if (size == r->size && size == r->backing->size)
            return 0;
        e = size >= r->backing->size ? grow_or_wait(r, size) : shrink(r, size);
        if (e != -EAGAIN)
            return e;
        e = region_follow_backing(r);
        if (e < 0)
            return e;
    }
}

// A failed call changes nothing, also not by what it learnt of another's grow on its way.
int region_resize_locked(struct diskalloc_region *r, uint64_t size)
{
    int e = region_reconcile(r);
    uint64_t size_before = r->size, used_before = r->used;

    if (e == 0)
        e = resize(r, size);
    if (e < 0 && r->size > size_before) {
        mapping_set_access(&r->mapping, size_before, &r->backing->discarded);
        atomic_store(&r->size, size_before);
        atomic_store(&r->used, used_before);
    }
    return e;
}

int region_resize(struct diskalloc_region *r, uint64_t size)
{
    int e;

    if (!r)
        return error_why(-EINVAL, "no region");
    pthread_mutex_lock(&r->lock);
    e = region_check(r, true);
    if (e == 0)
        e = region_resize_locked(r, size);
    pthread_mutex_unlock(&r->lock);
    return e;
}

int diskalloc_region_resize(struct diskalloc_region *r, uint64_t size)
{
    int e;

    error_begin("diskalloc_region_resize");
    e = region_resize(r, size);
    if (e == 0)
        atomic_store(&r->kept, r->size);
    return error_end(e);
}

// Never takes access from what is granted, not for a moment: other threads are at it.
static int follow_discarded(struct diskalloc_region *r)
{
    const struct ranges *discarded = &r->backing->discarded;
    uint64_t end = r->mapping.granted;
    int e = mapping_allow(&r->mapping, 0, end, discarded);

    for (size_t i = 0; e == 0 && i < discarded->n && discarded->items[i].offset < end; i++) {
        uint64_t to = discarded->items[i].offset + discarded->items[i].length;

        e = mapping_forbid(&r->mapping, discarded->items[i].offset, to < end ? to : end);
    }
    return e;
}

// 1: it has changed.
static int take_over(struct diskalloc_region *r)
{
    uint64_t before = r->size, discarded = r->backing->discarded.sum;
    bool changed = false;
    int e = r->backing->ops->refresh(r->backing);

    if (e == 0)
        e = region_follow_backing(r);
    if (e == 0 && r->backing->discarded.sum != discarded) {
        e = follow_discarded(r);
        changed = true;
    }
    if (r->size > before)
        atomic_store(&r->kept, r->size);
    return e < 0 ? e : changed || r->size != before;
}

int region_reconcile(struct diskalloc_region *r)
{
    int e;

    region_settle_early(r, true);
    e = r->backing->unsure ? take_over(r) : 0;
    return e < 0 ? e : 0;
}

static int refresh_locked(struct diskalloc_region *r)
{
    int e = region_check(r, false);

    if (e == 0)
        region_settle_early(r, true);
    if (e == 0)
        e = take_over(r);
    if (e >= 0 && r->backing->size > r->mapping.reserve)
        return outgrown(r, r->backing->size);
    return e;
}

int diskalloc_region_refresh(struct diskalloc_region *r)
{
    int e;

    error_begin("diskalloc_region_refresh");
    if (!r)
        return error_end(-EINVAL);
    pthread_mutex_lock(&r->lock);
    e = refresh_locked(r);
    pthread_mutex_unlock(&r->lock);
    return error_end(e);
}

// After a failed msync the pages may be marked clean, and the next call would succeed without them being on disk.
static int sync_locked(struct diskalloc_region *r)
{
    error_handle(r->handle);
    if (r->sync_error == 0)
        r->sync_error = mapping_sync(&r->mapping);
    return r->sync_error;
}

int region_sync(struct diskalloc_region *r)
{
    int e;

    if (!r)
        return error_why(-EINVAL, "no region");
    pthread_mutex_lock(&r->lock);
    e = sync_locked(r);
    pthread_mutex_unlock(&r->lock);
    return e;
}

int diskalloc_region_sync(struct diskalloc_region *r)
{
    error_begin("diskalloc_region_sync");
    return error_end(region_sync(r));
}

static int commit_locked(struct diskalloc_region *r, uint64_t used, uint32_t element_size, uint32_t flags)
{
    bool durable = flags & DISKALLOC_DURABLE;
    int e = region_check(r, true);

    if (e < 0)
        return e;
    region_settle_early(r, true);
    if (flags & ~(uint32_t)DISKALLOC_DURABLE)
        return error_why(-EINVAL, "unknown flags 0x%x", flags);
    if (used > r->size) {
        char text[SIZE_TEXT_MAX], size[SIZE_TEXT_MAX];

        return error_why(-EINVAL, "%s used of a region of %s", size_format(used, text), size_format(r->size, size));
    }
    if (durable)
        e = sync_locked(r);
    if (e == 0)
        e = r->backing->ops->commit(r->backing, used, element_size, durable);
    if (e == 0)
        atomic_store(&r->used, used);
    return e;
}

int region_commit(struct diskalloc_region *r, uint64_t used, uint32_t element_size, uint32_t flags)
{
    int e;

    if (!r)
        return error_why(-EINVAL, "no region");
    pthread_mutex_lock(&r->lock);
    e = commit_locked(r, used, element_size, flags);
    pthread_mutex_unlock(&r->lock);
    return e;
}

int diskalloc_region_commit(struct diskalloc_region *r, uint64_t used, uint32_t element_size, uint32_t flags)
{
    error_begin("diskalloc_region_commit");
    return error_end(region_commit(r, used, element_size, flags));
}
