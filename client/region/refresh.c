// Taking over what changed without this region's doing: another process grew the region, discarded or restored parts
// of it, or an answer of the daemon was lost, so that nobody here knows whether the request was carried out.
//
// A daemon's region is watched after a refresh: as long as nothing was heard of it, the next refresh asks nobody.
#include <errno.h>

#include "client/region/region_internal.h"
#include "client/util/error.h"
#include "proto/util/checked.h"
#include "proto/util/size.h"

// Gives access to what is granted and takes it from what is discarded.  Access to granted bytes is not taken away,
// not even for a moment: other threads use them.
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

static int check_least(const struct diskalloc_region *r, uint64_t least)
{
    char size[SIZE_TEXT_MAX], text[SIZE_TEXT_MAX];

    if (r->backing->size >= least)
        return 0;
    return error_why(-ESTALE, "others have left the region %s, and %s of it are elements",
                     size_format(r->backing->size, size), size_format(least, text));
}

// Whether what the region has agreed to still stands, before the backing's size is asked for.
static bool has_agreed(struct backing *b)
{
    struct backing_news news;

    if (b->agreed_to == UINT64_MAX)
        return false;
    b->ops->look(b, &news);
    return news.agreed;
}

// Whether a refresh would find nothing new, by what was heard.
static bool is_quiet(struct diskalloc_region *r, uint64_t least)
{
    struct backing *b = r->backing;
    struct backing_news news;

    if (!b->ops->look || b->unsure || b->unsure_parts || b->size < least || r->size != u64_min(b->size, b->agreed_to))
        return false;
    b->ops->look(b, &news);
    return news.quiet;
}

// 1: the region has changed; 0: it has not; -ESTALE: the backing has less than LEAST bytes; another -errno.
static int take_over(struct diskalloc_region *r, uint64_t least)
{
    struct backing *b = r->backing;
    uint64_t before = r->size, discarded = b->discarded.sum;
    bool unsure_parts = b->unsure_parts, changed, agreed = has_agreed(b);
    int e = b->ops->refresh(b);

    changed = b->discarded.sum != discarded;
    if (e == 0 && !agreed)
        region_end_agreement(r);
    if (e == 0)
        e = check_least(r, least);
    if (e == 0)
        e = region_follow_backing(r);
    if (e == 0 && (changed || unsure_parts))
        e = follow_discarded(r);
    if (e == 0)
        b->unsure_parts = false;
    if (r->size > before)
        atomic_store(&r->kept, r->size);
    return e < 0 ? e : changed || r->size != before;
}

int region_reconcile(struct diskalloc_region *r)
{
    int e = region_hold_file(r);

    if (e < 0)
        return e;
    region_settle_early(r, true);
    e = r->backing->unsure || r->backing->unsure_parts ? take_over(r, 0) : 0;
    return e < 0 ? e : 0;
}

int region_refresh_locked(struct diskalloc_region *r, uint64_t least)
{
    int e = region_check(r, false);

    if (e == 0)
        e = region_hold_file(r);
    if (e < 0 || r->small.fileless)
        return e;
    region_settle_early(r, true);
    if (is_quiet(r, least))
        return 0;
    e = take_over(r, least);
    if (e >= 0 && r->backing->size > r->mapping.reserve)
        return region_check_size(r, r->backing->size);
    return e;
}

int diskalloc_region_refresh(struct diskalloc_region *r)
{
    bool cut;
    int e;

    error_begin("diskalloc_region_refresh");
    if (!r)
        return error_end(-EINVAL);
    pthread_mutex_lock(&r->lock);
    cut = region_agree_locked(r, 0);
    e = region_refresh_locked(r, 0);
    pthread_mutex_unlock(&r->lock);
    return error_end(e == 0 && cut ? 1 : e);
}
