#include "client/region/region.h"

#include <errno.h>
#include <stdlib.h>

#include "client/diskalloc.h"
#include "client/memory/dispose.h"
#include "client/util/error.h"
#include "proto/util/container.h"

bool region_is_inherited(const struct diskalloc_region *r)
{
    return r->generation != fork_generation();
}

int region_check(const struct diskalloc_region *r, bool writing)
{
    error_handle(r->handle);
    if (region_is_inherited(r))
        return error_why(-EBUSY, "inherited through fork: attach it by its handle first");
    if (writing && r->backing->read_only)
        return error_why(-EROFS, "the region is attached for reading only");
    return 0;
}

static void forked(struct fork_hook *hook)
{
    struct diskalloc_region *r = container_of(hook, struct diskalloc_region, fork);

    pthread_mutex_init(&r->lock, NULL);
    r->early_task = (struct background_task){0};
    prefetch_forked(&r->prefetch);
    writeback_forked(&r->writeback);
}

void region_watch_forks(struct diskalloc_region *r)
{
    r->fork.child = forked;
    fork_lock();
    fork_register(&r->fork, FORK_REGION);
    fork_unlock();
}

// What was inherited is another's, and what has a name others see: these are unmapped before anybody is told.
static bool may_linger(const struct diskalloc_region *r)
{
    return r->da && !r->backing->named && !region_is_inherited(r);
}

void region_close(struct diskalloc_region *r)
{
    bool inherited = region_is_inherited(r), lingers = may_linger(r);

    fork_lock();
    fork_unregister(&r->fork);
    fork_unlock();
    if (!inherited)
        region_early_deinit(r);
    prefetch_deinit(&r->prefetch);
    writeback_deinit(&r->writeback);
    if (!lingers)
        mapping_deinit(&r->mapping);
    r->backing->ops->close(r->backing, inherited);
    if (lingers)
        dispose(&r->da->background, &r->mapping);
    client_unref(r->da);
    pthread_mutex_destroy(&r->lock);
    free(r);
}

void diskalloc_region_close(struct diskalloc_region *region)
{
    if (region)
        region_close(region);
}

void *diskalloc_region_data(const struct diskalloc_region *r)
{
    return r->mapping.base;
}

uint64_t diskalloc_region_size(const struct diskalloc_region *r)
{
    return atomic_load_explicit(&r->size, memory_order_relaxed);
}

uint64_t diskalloc_region_reserve(const struct diskalloc_region *r)
{
    return r->mapping.reserve;
}

uint64_t diskalloc_region_used(const struct diskalloc_region *r)
{
    return atomic_load_explicit(&r->used, memory_order_relaxed);
}

const char *diskalloc_region_handle(const struct diskalloc_region *r)
{
    return r->handle;
}

int region_open_file_locked(struct diskalloc_region *r)
{
    int e = 0;

    if (r->backing->fd < 0)
        e = region_check(r, false);
    if (e == 0 && r->backing->fd < 0)
        e = r->backing->ops->open_file(r->backing, true);
    return e < 0 ? e : r->backing->fd;
}

int diskalloc_region_fd(struct diskalloc_region *r)
{
    int fd;

    error_begin("diskalloc_region_fd");
    if (!r)
        return error_end(-EINVAL);
    pthread_mutex_lock(&r->lock);
    fd = region_open_file_locked(r);
    pthread_mutex_unlock(&r->lock);
    return error_end(fd);
}
