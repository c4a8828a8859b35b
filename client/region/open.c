// The ways to get a region: anonymous, by name, by handle, from a caller's file, as a copy of another one.
//
// The order is: take address space, get the backing, map the file.  So no file is made for a region that has no
// address space.  A failure on the way gives everything back.
#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "client/diskalloc.h"
#include "client/local/local.h"
#include "client/memory/dispose.h"
#include "client/memory/home.h"
#include "client/memory/small.h"
#include "client/options.h"
#include "client/region/region_internal.h"
#include "client/util/error.h"
#include "proto/spill/fileops.h"

static void note_mapped(struct diskalloc_region *r)
{
    struct backing *b = r->backing;

    r->size = b->size;
    r->used = b->used;
    adapt_note_size(&r->adapt, r->size, &r->backing->discarded);
    if ((!adapt_wants_file(&r->adapt) || !adapt_give_file(&r->adapt, &b->file)) && b->ops->mapped)
        b->ops->mapped(b);
}

static int map(struct diskalloc_region *r, const struct diskalloc_region_options *o)
{
    struct backing *b = r->backing;
    int e = region_place(r, o);

    if (e < 0)
        return e;
    mapping_guard(&r->mapping, 0, r->mapping.reserve, &b->discarded);
    note_mapped(r);
    // Making pages ahead would give a sparse region blocks that it does not need.
    r->prefetch.off |= b->sparse || b->read_only;
    r->filling.off |= r->prefetch.off;
    return guard_begin(&r->guard, r, &r->mapping);
}

enum source_kind { ANONYMOUS, NAMED, BY_HANDLE, CALLERS_FILE, CLONE, NAMED_CLONE };

struct source {
    enum source_kind kind;
    bool early;   // ANONYMOUS: nobody needs the region yet
    bool at_once; // ANONYMOUS: see backend.h
    struct region_name name;
    struct handle handle;
    int fd;
    const struct clone_source *copied;
};

// A number for the region's place.  A file of the caller's has no name that the library knows.
static uint64_t seed_of(const struct source *source)
{
    struct stat st;

    switch (source->kind) {
    case NAMED:
        return home_seed(source->name.name, strlen(source->name.name));
    case BY_HANDLE:
        return home_seed(&source->handle, sizeof source->handle);
    case CALLERS_FILE:
        return file_ops_system.stat(source->fd, &st) < 0 ? 0 : home_seed(&st.st_ino, sizeof st.st_ino);
    case NAMED_CLONE:
        return home_seed(source->name.name, strlen(source->name.name));
    case ANONYMOUS:
    case CLONE:
        break;
    }
    return 0;
}

static int get_backing(struct diskalloc_region *r, const struct source *source,
                       const struct diskalloc_region_options *o, struct backing **ret)
{
    const struct backing_request q = {
        .size = o->size, .mode = o->mode, .flags = o->flags, .early = source->early, .at_once = source->at_once};
    struct backend *backend;

    if (source->kind == CALLERS_FILE)
        return file_backing_new(source->fd, o->flags, ret);
    assert(r->da);
    backend = r->da->backend;
    switch (source->kind) {
    case ANONYMOUS:
        return backend->ops->create(backend, &q, ret);
    case NAMED:
        return backend->ops->open(backend, &source->name, &q, ret);
    case BY_HANDLE:
        return backend->ops->attach(backend, &source->handle, o->flags, ret);
    case CLONE:
        return backend->ops->clone(backend, source->copied, NULL, &q, ret);
    case NAMED_CLONE:
        return backend->ops->clone(backend, source->copied, &source->name, &q, ret);
    case CALLERS_FILE:
        break;
    }
    return -EINVAL;
}

static bool may_be_for_want_of_what_was_closed(int e)
{
    // EBUSY: of a sole writer, whom a mapping of this process keeps out.
    return e == -EDQUOT || e == -ENOSPC || e == -ENOMEM || e == -EMFILE || e == -EBUSY;
}

static void name_region(struct diskalloc_region *r)
{
    if (!r->backing->is_callers_file)
        handle_format(&r->backing->handle, r->handle);
    children_name(&r->shared, r->handle);
}

// O was checked.  Its size is 0 where no region can be made: then it does not matter for the address space.
static int get_region_once(struct diskalloc *da, const struct source *source, const struct diskalloc_region_options *o,
                           bool exact_reserve, struct diskalloc_region **ret)
{
    struct diskalloc_region *r = region_new(da);
    int e;

    if (!r)
        return -ENOMEM;
    e = region_reserve_addresses(&r->mapping, o, exact_reserve, seed_of(source));
    if (e == 0)
        e = get_backing(r, source, o, &r->backing);
    if (e == 0) {
        name_region(r);
        e = map(r, o);
    }
    if (e < 0) {
        region_abandon(r);
        return e;
    }
    // A region with a name may have content.
    if (source->kind == ANONYMOUS)
        filling_begin(&r->filling, 0, r->size);
    *ret = r;
    return 0;
}

static int get_region(struct diskalloc *da, const struct source *source, const struct diskalloc_region_options *o,
                      bool exact_reserve, struct diskalloc_region **ret)
{
    uint64_t since = da ? dispose_mark(&da->background) : 0;
    int e = get_region_once(da, source, o, exact_reserve, ret);
    bool again;

    if (!may_be_for_want_of_what_was_closed(e) || !da)
        return e;
    again = client_drop_spare(da);
    if (!dispose_await(&da->background, since) && !again)
        return e;
    error_forget();
    return get_region_once(da, source, o, exact_reserve, ret);
}

int region_get_clone(struct diskalloc *da, const struct clone_source *copied, const struct region_name *name,
                     const struct diskalloc_region_options *o, struct diskalloc_region **ret)
{
    struct source source = {.kind = name ? NAMED_CLONE : CLONE, .copied = copied};

    if (name)
        source.name = *name;
    return get_region(da, &source, o, true, ret);
}

int region_make_file(struct diskalloc_region *r, uint64_t size, bool stay, bool at_once)
{
    const struct source source = {.kind = ANONYMOUS, .at_once = at_once};
    struct diskalloc_region_options o = DISKALLOC_REGION_OPTIONS_INIT;
    uint64_t since = dispose_mark(&r->da->background), length = r->mapping.granted;
    struct backing *b = NULL;
    int e;

    o.size = size;
    e = get_backing(r, &source, &o, &b);
    if (!at_once && region_may_try_again(r, e, since))
        e = get_backing(r, &source, &o, &b);
    if (e < 0)
        return e;
    e = small_give_file(&r->mapping, b->file.fd, b->size, stay);
    if (e < 0) {
        b->ops->close(b, false);
        return e;
    }
    region_forget_small(r);
    r->backing = b;
    b->mapped_at = r->mapping.base;
    r->small.head = stay ? length : 0;
    if (!stay)
        name_region(r);
    note_mapped(r);
    region_advise_anew(r);
    return 0;
}

int region_begin_early(struct diskalloc *da, uint64_t size, struct diskalloc_region **ret)
{
    const struct source source = {.kind = ANONYMOUS, .early = true};
    struct diskalloc_region_options o = DISKALLOC_REGION_OPTIONS_INIT;
    struct diskalloc_region *r = region_new(da);
    int e;

    if (!r)
        return -ENOMEM;
    o.size = size;
    e = get_backing(r, &source, &o, &r->backing);
    if (e < 0) {
        region_abandon(r);
        return e;
    }
    name_region(r);
    *ret = r;
    return 0;
}

int region_finish_early(struct diskalloc_region *r)
{
    struct diskalloc_region_options o = DISKALLOC_REGION_OPTIONS_INIT;
    int e;

    o.size = r->backing->size;
    e = region_reserve_addresses(&r->mapping, &o, true, 0);
    return e < 0 ? e : map(r, &o);
}

int region_create(struct diskalloc *da, const struct diskalloc_region_options *o, bool exact_reserve,
                  struct diskalloc_region **ret)
{
    const struct source source = {.kind = ANONYMOUS};
    struct diskalloc_region_options checked;
    int r;

    if (!da || !ret)
        return error_why(-EINVAL, "a NULL argument");
    r = options_check_region(o, DISKALLOC_REGION_SPARSE, &checked);
    return r < 0 ? r : get_region(da, &source, &checked, exact_reserve, ret);
}

int diskalloc_region_create(struct diskalloc *da, const struct diskalloc_region_options *o,
                            struct diskalloc_region **ret)
{
    error_begin("diskalloc_region_create");
    return error_end(region_create(da, o, true, ret));
}

int region_open(struct diskalloc *da, const char *name, const struct diskalloc_region_options *o,
                struct diskalloc_region **ret)
{
    const uint32_t allowed = DISKALLOC_REGION_SPARSE | DISKALLOC_REGION_READ_ONLY | DISKALLOC_REGION_CREATE |
                             DISKALLOC_REGION_EXCLUSIVE | DISKALLOC_REGION_SOLE_WRITER;
    struct source source = {.kind = NAMED};
    struct diskalloc_region_options checked;
    int r;

    if (!da || !ret)
        return error_why(-EINVAL, "a NULL argument");
    r = options_check_region(o, allowed, &checked);
    if (r == 0)
        r = region_parse_name(da, name, &source.name);
    if (r < 0)
        return r;
    if (!(checked.flags & DISKALLOC_REGION_CREATE))
        checked.size = 0;
    return get_region(da, &source, &checked, true, ret);
}

int diskalloc_region_open(struct diskalloc *da, const char *name, const struct diskalloc_region_options *o,
                          struct diskalloc_region **ret)
{
    error_begin("diskalloc_region_open");
    return error_end(region_open(da, name, o, ret));
}

static int region_attach(struct diskalloc *da, const char *handle, const struct diskalloc_region_options *o,
                         struct diskalloc_region **ret)
{
    struct source source = {.kind = BY_HANDLE};
    struct diskalloc_region_options checked;
    int r;

    if (!da || !handle || !ret)
        return error_why(-EINVAL, "a NULL argument");
    r = options_check_region(o, DISKALLOC_REGION_READ_ONLY | DISKALLOC_REGION_SOLE_WRITER, &checked);
    if (r < 0)
        return r;
    if (handle_parse(handle, &source.handle) < 0)
        return error_why(-EINVAL, "\"%.40s\" is no handle of 32 hex digits", handle);
    checked.size = 0;
    return get_region(da, &source, &checked, true, ret);
}

int diskalloc_region_attach(struct diskalloc *da, const char *handle, const struct diskalloc_region_options *o,
                            struct diskalloc_region **ret)
{
    error_begin("diskalloc_region_attach");
    return error_end(region_attach(da, handle, o, ret));
}

static int region_from_fd(int fd, const struct diskalloc_region_options *o, struct diskalloc_region **ret)
{
    const struct source source = {.kind = CALLERS_FILE, .fd = fd};
    struct diskalloc_region_options checked;
    int r;

    if (!ret)
        return error_why(-EINVAL, "ret is NULL");
    r = options_check_region(o, DISKALLOC_REGION_SPARSE | DISKALLOC_REGION_READ_ONLY, &checked);
    if (r < 0)
        return r;
    checked.size = 0;
    return get_region(NULL, &source, &checked, true, ret);
}

int diskalloc_region_from_fd(int fd, const struct diskalloc_region_options *o, struct diskalloc_region **ret)
{
    error_begin("diskalloc_region_from_fd");
    return error_end(region_from_fd(fd, o, ret));
}
