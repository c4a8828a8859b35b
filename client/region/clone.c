// A copy of a region.
//
// The backend copies, and the region's lock is not held meanwhile: other threads may use the region, resize it, and
// discard parts of it.  The copy has the size, the commit and the discarded parts of the moment at which it began.
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

#include "client/diskalloc.h"
#include "client/options.h"
#include "client/region/region_internal.h"
#include "client/util/error.h"
#include "proto/util/cleanup.h"

// A descriptor with an offset of its own, which the caller closes.
static int open_own(int fd)
{
    char self[64];
    int opened;

    snprintf(self, sizeof self, "/proc/self/fd/%d", fd);
    opened = open(self, O_RDONLY | O_CLOEXEC);
    return opened < 0 ? -errno : opened;
}

// With the lock held.
static int look_at(struct diskalloc_region *r, struct clone_source *ret)
{
    const struct backing *b;
    int e = region_check(r, false);

    if (e == 0)
        e = region_need_file(r);
    if (e == 0)
        e = region_reconcile(r);
    if (e == 0 && r->backing->keeps_fd)
        e = r->backing->ops->refresh(r->backing);
    b = r->backing;
    if (e == 0)
        e = ranges_copy(&b->discarded, &ret->discarded);
    if (e < 0)
        return e;
    ret->backing = r->backing;
    ret->size = b->size;
    ret->used = b->used;
    ret->element_size = b->element_size;
    ret->committed = b->committed;
    ret->sparse = b->sparse;
    ret->fd = b->keeps_fd ? open_own(b->file.fd) : -1;
    return b->keeps_fd && ret->fd < 0 ? ret->fd : 0;
}

static int check_options(const struct diskalloc_region_options *o, struct diskalloc_region_options *ret)
{
    int e = options_check_region(o,
                                 DISKALLOC_REGION_READ_ONLY | DISKALLOC_REGION_CREATE | DISKALLOC_REGION_EXCLUSIVE |
                                     DISKALLOC_REGION_SOLE_WRITER,
                                 ret);

    if (e == 0 && ret->size > 0)
        return error_why(-EINVAL, "a size of %llu bytes: a copy has the size of its region",
                         (unsigned long long)ret->size);
    return e;
}

static int parse_name(const struct diskalloc *da, const char *text, struct region_name *ret)
{
    int e = region_parse_name(da, text, ret);

    if (e == 0 && ret->user[0])
        return error_why(-EINVAL, "\"%.150s\": a copy belongs to the caller, and has a name without a user", text);
    return e;
}

static int make_clone(struct diskalloc_region *r, const char *name, const struct diskalloc_region_options *o,
                      struct diskalloc_region **ret)
{
    struct diskalloc_region_options checked;
    struct clone_source source = {.fd = -1};
    struct region_name parsed;
    int e;

    if (!r || !ret)
        return error_why(-EINVAL, "a NULL argument");
    e = check_options(o, &checked);
    if (e == 0 && !r->da)
        e = error_why(-EOPNOTSUPP, "the region of a caller's file belongs to no client: copy the file");
    if (e == 0 && name)
        e = parse_name(r->da, name, &parsed);
    if (e < 0)
        return e;
    pthread_mutex_lock(&r->lock);
    e = look_at(r, &source);
    pthread_mutex_unlock(&r->lock);
    checked.size = source.size;
    if (e == 0)
        e = region_get_clone(r->da, &source, name ? &parsed : NULL, &checked, ret);
    cleanup_close(&source.fd);
    ranges_deinit(&source.discarded);
    return e;
}

int diskalloc_region_clone(struct diskalloc_region *r, const char *name, const struct diskalloc_region_options *o,
                           struct diskalloc_region **ret)
{
    error_begin("diskalloc_region_clone");
    return error_end(make_clone(r, name, o, ret));
}
