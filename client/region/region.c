#include "client/region/region.h"

#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

#include "client/diskalloc.h"
#include "client/memory/dispose.h"
#include "client/util/error.h"
#include "client/util/fork.h"

bool region_is_inherited(const struct diskalloc_region *r)
{
    return r->generation != process_generation();
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

void region_forked(struct diskalloc_region *r)
{
    pthread_mutex_init(&r->lock, NULL);
    r->early_task = (struct background_task){0};
    prefetch_forked(&r->prefetch);
    writeback_forked(&r->writeback);
}

// What was inherited is another's, and what has a name others see: these are unmapped before anybody is told.
static bool may_linger(const struct diskalloc_region *r)
{
    return r->da && !r->backing->named && !region_is_inherited(r);
}

void region_close(struct diskalloc_region *r)
{
    bool inherited = region_is_inherited(r), lingers = may_linger(r);

    process_remove_region(r);
    if (!inherited)
        region_early_deinit(r);
    prefetch_deinit(&r->prefetch);
    writeback_deinit(&r->writeback);
    if (!lingers)
        mapping_deinit(&r->mapping);
    if (r->backing->fd >= 0)
        close(r->backing->fd);
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
        e = r->backing->ops->open_file(r->backing);
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
