// Agreeing that another process cuts the region, and taking that back.
//
// A process that has a region attached is asked before others cut it.  The program decides: it is told by an event,
// and agrees by refreshing the region.  Access is taken away first, and then the daemon is told.  The backing
// remembers what was agreed to (agreed_to): the region has no access to more, whatever size the daemon names
// meanwhile, until an event has told how the ask has ended, and a refresh has asked for the size.
//
// Before the region is resized the agreement is taken back, because the program relies on the size that it gets.
#include "client/region/region_internal.h"
#include "proto/util/checked.h"

static bool may_agree(const struct diskalloc_region *r, uint64_t size, uint64_t least)
{
    // The containers of these have no refresh by which they could learn of it.
    if (r->kind || r->backing->element_size == REGION_OF_A_HEAP)
        return false;
    return size >= least && !children_live(&r->shared);
}

// Pages that the guard has replaced stay: nobody knows yet whether the bytes are cut.
static int give_up_access(struct diskalloc_region *r, uint64_t size)
{
    int e;

    filling_halt(&r->filling);
    prefetch_cut(&r->prefetch, size);
    writeback_cut(&r->writeback, size);
    adapt_cut(&r->adapt, size);
    e = mapping_set_access(&r->mapping, size, &r->backing->discarded);
    if (e == 0) {
        atomic_store(&r->size, size);
        atomic_store(&r->used, u64_min(r->used, size));
        adapt_note_size(&r->adapt, size, &r->backing->discarded);
    }
    filling_go_on(&r->filling, r->size);
    return e;
}

bool region_agree_locked(struct diskalloc_region *r, uint64_t least)
{
    struct backing *b = r->backing;
    struct backing_news news;
    uint64_t before = r->size;

    if (!b->ops->look || b->unsure || region_is_inherited(r))
        return false;
    b->ops->look(b, &news);
    if (!news.asked || news.agreed || !may_agree(r, news.asked_size, least))
        return false;
    if (news.asked_size < before && give_up_access(r, news.asked_size) < 0)
        return false;
    if (b->agreed_to == UINT64_MAX)
        r->agreed_from = before;
    b->agreed_to = news.asked_size;
    b->ops->agree(b, &news);
    return r->size < before;
}

void region_end_agreement(struct diskalloc_region *r)
{
    struct backing *b = r->backing;

    if (b->agreed_to == UINT64_MAX)
        return;
    if (b->size != r->agreed_from && b->agreed_to < r->agreed_from)
        guard_zero(&r->guard, b->agreed_to, r->agreed_from);
    b->agreed_to = UINT64_MAX;
}

int region_disagree_locked(struct diskalloc_region *r)
{
    struct backing *b = r->backing;
    int e;

    if (b->agreed_to == UINT64_MAX || b->read_only)
        return 0;
    e = b->ops->disagree(b);
    if (e < 0)
        return e;
    region_end_agreement(r);
    return region_follow_backing(r);
}
