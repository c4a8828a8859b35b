// Descriptors of a region's file.  The memory needs none: the mapping keeps the file alive.  So a daemon's region has
// no descriptor until the program, the write-behind, adaptive reading or zero.c asks for one.
#include <errno.h>

#include "client/region/region_internal.h"
#include "client/util/error.h"

// The answer to this request tells the region's size too: so what is known of it is taken over first.
static int open_file(struct diskalloc_region *r, bool keep)
{
    int e = region_check(r, false);

    if (e == 0)
        e = region_need_file(r);
    if (e == 0)
        e = region_reconcile(r);
    if (e < 0)
        return e;
    return r->backing->ops->open_file(r->backing, keep);
}

// The daemon that serves the descriptor's file system (diskallocd(8), FENCES) has ended.  The next daemon has a
// descriptor of the same file, which takes over the number: the program may have it.
static int revive_file(struct diskalloc_region *r)
{
    struct descriptor *file = &r->backing->file;
    int fd = open_file(r, false);

    if (fd >= 0)
        fd = descriptor_revive(file, fd);
    return fd < 0 ? fd : file->fd;
}

int region_keep_file(struct diskalloc_region *r)
{
    int e = region_is_inherited(r) ? 0 : region_need_file(r);

    if (e < 0)
        return e;
    if (r->backing->keeps_fd && !region_is_inherited(r)) {
        e = region_hold_file(r);
        return e < 0 ? e : r->backing->file.fd;
    }
    if (!descriptor_is_ours(&r->backing->file))
        return open_file(r, true);
    return descriptor_is_dead(&r->backing->file) ? revive_file(r) : r->backing->file.fd;
}

void region_lend_file(struct diskalloc_region *r)
{
    struct backing *b = r->backing;
    bool had, opened;

    if (!adapt_wants_file(&r->adapt))
        return;
    had = descriptor_is_ours(&b->file);
    opened = region_keep_file(r) >= 0;
    error_forget();
    if (!adapt_give_file(&r->adapt, opened ? &b->file : NULL) && opened && !had && b->ops->mapped)
        b->ops->mapped(b);
}

int region_open_file(struct diskalloc_region *r)
{
    return open_file(r, false);
}

int diskalloc_region_fd(struct diskalloc_region *r)
{
    int fd;

    error_begin("diskalloc_region_fd");
    if (!r)
        return error_end(-EINVAL);
    pthread_mutex_lock(&r->lock);
    // A descriptor that came through fork is the parent's too, with its locks.
    fd = region_is_inherited(r) ? region_check(r, false) : region_keep_file(r);
    pthread_mutex_unlock(&r->lock);
    return error_end(fd);
}
