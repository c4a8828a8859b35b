// Sync and commit.  A sync writes the bytes to the disk.  A commit says how many of them are elements (used); a
// durable commit syncs first, so that after a power failure the file has what its record says.
#include <errno.h>

#include "client/region/region_internal.h"
#include "client/util/error.h"
#include "proto/util/size.h"

// After a failed msync the kernel may mark the pages clean.  The next msync would then succeed although the bytes are
// not on disk, so the first error is kept.
static int sync_locked(struct diskalloc_region *r)
{
    error_handle(r->handle);
    if (r->sync_error == 0)
        r->sync_error = mapping_sync(&r->mapping);
    return r->sync_error < 0 ? r->sync_error : guard_error(&r->guard);
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

int region_commit_locked(struct diskalloc_region *r, uint64_t used, uint32_t element_size, uint32_t flags)
{
    bool durable = flags & DISKALLOC_DURABLE;
    int e = region_check(r, true);

    if (e == 0 && r->small.fileless)
        e = region_need_file(r);
    if (e == 0)
        e = region_reconcile(r);
    if (e < 0)
        return e;
    if (flags & ~(uint32_t)DISKALLOC_DURABLE)
        return error_why(-EINVAL, "unknown flags 0x%x", flags);
    if (used > r->size) {
        char text[SIZE_TEXT_MAX], size[SIZE_TEXT_MAX];

        return error_why(-EINVAL, "%s used of a region of %s", size_format(used, text), size_format(r->size, size));
    }
    e = durable ? sync_locked(r) : guard_error(&r->guard);
    if (e == 0)
        e = r->backing->ops->commit(r->backing, used, element_size, durable);
    if (e == 0)
        atomic_store(&r->used, used);
    if (e == 0)
        region_lend_file(r);
    return e;
}

int region_commit(struct diskalloc_region *r, uint64_t used, uint32_t element_size, uint32_t flags)
{
    int e;

    if (!r)
        return error_why(-EINVAL, "no region");
    pthread_mutex_lock(&r->lock);
    e = region_commit_locked(r, used, element_size, flags);
    pthread_mutex_unlock(&r->lock);
    return e;
}

int diskalloc_region_commit(struct diskalloc_region *r, uint64_t used, uint32_t element_size, uint32_t flags)
{
    error_begin("diskalloc_region_commit");
    return error_end(region_commit(r, used, element_size, flags));
}
