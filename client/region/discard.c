// Parts of a region: giving them back, and granting them again.
//
// Discarding is access, then blocks; restoring is blocks, then access.  A call that fails on the way changes
// nothing.  If nobody knows whether it was carried out, the bytes stay inaccessible until region_reconcile has asked.
#include <errno.h>

#include "client/region/region_internal.h"
#include "client/util/error.h"
#include "proto/util/checked.h"

static int check(struct diskalloc_region *r, uint64_t offset, uint64_t length)
{
    int e = region_check(r, true);

    if (e < 0)
        return e;
    if (r->backing->sparse)
        return error_why(-EOPNOTSUPP, "a sparse region has no blocks that one could give back");
    e = region_check_range(r, offset, length);
    if (e == 0)
        e = region_need_file(r);
    if (e == 0)
        e = region_reconcile(r);
    return e < 0 ? e : region_check_range(r, offset, length);
}

// BEHIND: a vector goes on filling what is behind the part.
static int take_away(struct diskalloc_region *r, uint64_t offset, uint64_t length, bool behind)
{
    struct backing *b = r->backing;
    uint64_t since = region_mark(r);
    int e;

    if (ranges_overlap(&b->discarded, offset, length) == length)
        return 0;
    e = region_check_alone(r);
    if (e < 0)
        return e;
    if (behind)
        prefetch_avoid(&r->prefetch, offset, offset + length);
    else
        prefetch_cut(&r->prefetch, offset);
    filling_halt(&r->filling);
    if (behind)
        writeback_avoid(&r->writeback, offset, offset + length);
    else
        writeback_cut(&r->writeback, offset);
    e = mapping_forbid(&r->mapping, offset, offset + length);
    if (e == 0)
        e = mapping_part(&r->mapping, offset, offset + length);
    if (e == 0)
        e = b->ops->discard(b, offset, length);
    if (region_may_try_again(r, e, since))
        e = b->ops->discard(b, offset, length);
    if (e == 0)
        guard_zero(&r->guard, offset, offset + length);
    if (e < 0 && !b->unsure_parts) {
        // Bytes that stay inaccessible although they are granted: region_reconcile tries again.
        b->unsure_parts = mapping_allow(&r->mapping, offset, offset + length, &b->discarded) < 0;
        mapping_tend(&r->mapping, offset, offset + length, &b->discarded);
    }
    filling_go_on(&r->filling, r->size);
    return e;
}

int region_discard_locked(struct diskalloc_region *r, uint64_t offset, uint64_t length)
{
    return take_away(r, offset, length, false);
}

static int discard_locked(struct diskalloc_region *r, uint64_t offset, uint64_t length, bool behind)
{
    uint64_t from = align_up(offset, region_unit()), to = align_down(offset + length, region_unit());
    int e = check(r, offset, length);

    return e < 0 || from >= to ? e : take_away(r, from, to - from, behind);
}

static int discard(struct diskalloc_region *r, uint64_t offset, uint64_t length, bool behind)
{
    int e;

    if (!r)
        return error_why(-EINVAL, "no region");
    pthread_mutex_lock(&r->lock);
    e = discard_locked(r, offset, length, behind);
    pthread_mutex_unlock(&r->lock);
    return e;
}

int region_discard(struct diskalloc_region *r, uint64_t offset, uint64_t length)
{
    return discard(r, offset, length, false);
}

int region_discard_behind(struct diskalloc_region *r, uint64_t offset, uint64_t length)
{
    return discard(r, offset, length, true);
}

int diskalloc_region_discard(struct diskalloc_region *r, uint64_t offset, uint64_t length)
{
    error_begin("diskalloc_region_discard");
    return error_end(region_discard(r, offset, length));
}

// The discarded parts between OFFSET and END.
static int list_holes(const struct ranges *discarded, uint64_t offset, uint64_t end, struct ranges *ret)
{
    int e = 0;

    for (size_t i = ranges_find(discarded, offset); e == 0 && i < discarded->n && discarded->items[i].offset < end; i++)
        e = ranges_add(ret, discarded->items[i].offset, discarded->items[i].length);
    ranges_cut(ret, end);
    if (e == 0)
        e = ranges_remove(ret, 0, offset);
    return e;
}

static int restore_holes(struct diskalloc_region *r, uint64_t offset, uint64_t end, const struct ranges *holes)
{
    struct backing *b = r->backing;
    uint64_t since = region_mark(r);
    int e = b->ops->restore(b, offset, end - offset);

    if (region_may_try_again(r, e, since))
        e = b->ops->restore(b, offset, end - offset);
    if (e < 0)
        return e;
    e = mapping_allow(&r->mapping, offset, end < r->mapping.granted ? end : r->mapping.granted, &b->discarded);
    mapping_tend(&r->mapping, offset, end, &b->discarded);
    // Blocks without access are of no use: the holes are discarded again.  Bytes that were not discarded keep their
    // content.
    for (size_t i = 0; e < 0 && i < holes->n; i++) {
        const struct range *x = &holes->items[i];

        if (mapping_forbid(&r->mapping, x->offset, x->offset + x->length) < 0 ||
            b->ops->discard(b, x->offset, x->length) < 0)
            b->unsure_parts = true;
    }
    return e;
}

int region_restore_locked(struct diskalloc_region *r, uint64_t offset, uint64_t length)
{
    struct ranges holes = {0};
    int e = list_holes(&r->backing->discarded, offset, offset + length, &holes);

    if (e == 0 && holes.n > 0)
        e = restore_holes(r, offset, offset + length, &holes);
    ranges_deinit(&holes);
    return e;
}

// A block that the region ends in is never discarded, so it needs no restoring.
static int restore_locked(struct diskalloc_region *r, uint64_t offset, uint64_t length)
{
    uint64_t from = align_down(offset, region_unit()), to = align_up(offset + length, region_unit());
    int e = check(r, offset, length);

    if (e < 0 || length == 0)
        return e;
    to = u64_min(to, align_down(r->size, DISCARD_BLOCK));
    return from < to ? region_restore_locked(r, from, to - from) : 0;
}

int region_restore(struct diskalloc_region *r, uint64_t offset, uint64_t length)
{
    int e;

    if (!r)
        return error_why(-EINVAL, "no region");
    pthread_mutex_lock(&r->lock);
    e = restore_locked(r, offset, length);
    pthread_mutex_unlock(&r->lock);
    return e;
}

int diskalloc_region_restore(struct diskalloc_region *r, uint64_t offset, uint64_t length)
{
    error_begin("diskalloc_region_restore");
    return error_end(region_restore(r, offset, length));
}
