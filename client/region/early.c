// Growing before there is need, so that a vector waits neither for the daemon's answer nor for the file system, which
// lets no thread grow a file while another makes pages of it.
//
// A daemon is asked by a request that no thread waits for; its answer is taken over when the vector comes by again
// (region_settle_early).  A directory needs no request: the client's thread grows the file, if the region's lock is
// free.  If it is not, the thread that holds the lock is about to grow the region anyway.  A region whose size has
// changed meanwhile is left alone: what the program gave back must not come back.
//
// A refusal is no news: the space is not needed yet.  The region asks early again only when its size has changed.
#include <errno.h>
#include <stddef.h>

#include "client/diskalloc.h"
#include "client/region/region_internal.h"
#include "client/util/error.h"
#include "proto/util/container.h"

static void grow_now(struct diskalloc_region *r, uint64_t size)
{
    struct backing *b = r->backing;
    int e = region_hold_file(r);

    if (e == 0)
        e = b->ops->grow_early(b, size);
    if (e == 0 && r->size < b->size)
        region_follow_backing(r);
    if (e == -EDQUOT)
        r->early_refused = r->size;
}

static enum background_result run(struct background_task *t)
{
    struct diskalloc_region *r = container_of(t, struct diskalloc_region, early_task);

    if (pthread_mutex_trylock(&r->lock) != 0)
        return BACKGROUND_DONE;
    if (r->size == r->early_from && r->early_size > r->backing->size)
        grow_now(r, r->early_size);
    r->early_size = 0;
    pthread_mutex_unlock(&r->lock);
    return BACKGROUND_DONE;
}

static bool may_grow_early(const struct diskalloc_region *r, uint64_t size)
{
    return r->backing->ops->grow_early && r->early_refused != r->size && region_check(r, true) == 0 &&
           region_check_size(r, size) == 0;
}

// The task is submitted without the lock: the thread runs it at once, and would find the region locked.
void region_grow_early(struct diskalloc_region *r, uint64_t size)
{
    bool is_task = !r->backing->ops->settle_early, may;

    // Without the thread the program would wait for this grow as for any other.
    if (is_task && !(r->da && background_runs(&r->da->background)))
        return;
    pthread_mutex_lock(&r->lock);
    may = may_grow_early(r, size);
    if (may && is_task) {
        r->early_size = size;
        r->early_from = r->size;
        if (!r->early_task.run) // written once: the thread reads the field without the lock
            r->early_task.run = run;
    } else if (may)
        grow_now(r, size);
    pthread_mutex_unlock(&r->lock);
    if (may && is_task)
        background_submit(&r->da->background, &r->early_task);
    error_forget();
}

int region_settle_early(struct diskalloc_region *r, bool wait)
{
    struct backing *b = r->backing;
    int e = b->ops->settle_early ? b->ops->settle_early(b, wait) : 0;

    if (e == 1 && r->size < b->size)
        e = region_follow_backing(r);
    if (e == -EDQUOT)
        r->early_refused = r->size;
    error_forget();
    error_handle(r->handle);
    return e;
}
