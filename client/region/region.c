// The life of a region, the rules that every call on it checks, and the calls that only read it.
//
// A region owns its address space (mapping), its backing, and helpers that work beside the program: prefetch,
// filling, announced reads, writeback and the early grow.  The helpers run on the client's thread and touch the
// mapping; so region_close stops them first, takes the mapping away next, and tells the backend last: the daemon can
// remove a file only when nobody maps it.
//
// The mapping of an anonymous region of a client is unmapped by the client's thread (client/memory/dispose.c),
// because freeing pages takes long.  An inherited region is the parent's, and a region with a name is other programs'
// too: these are unmapped before the backend is told.
#include "client/region/region_internal.h"

#include <errno.h>
#include <stdlib.h>

#include "client/diskalloc.h"
#include "client/memory/dispose.h"
#include "client/util/children.h"
#include "client/util/error.h"
#include "proto/util/checked.h"
#include "proto/util/container.h"
#include "proto/util/page.h"
#include "proto/util/size.h"

struct small_regions region_all_small = LIST_HEAD_INITIALIZER(region_all_small);

bool region_is_small(const struct diskalloc_region *r)
{
    return r->small.fileless;
}

void region_forget_small(struct diskalloc_region *r)
{
    if (!r->small.fileless)
        return;
    fork_lock();
    LIST_REMOVE(r, small.entry);
    r->small.fileless = false;
    fork_unlock();
}

// The locks may have been held by threads that the child does not have.
static void forked(struct fork_hook *hook)
{
    struct diskalloc_region *r = container_of(hook, struct diskalloc_region, fork);

    pthread_mutex_init(&r->lock, NULL);
    r->early_task = (struct background_task){0};
    prefetch_forked(&r->prefetch);
    filling_forked(&r->filling);
    announce_forked(&r->announced);
    adapt_forked(&r->adapt);
    writeback_forked(&r->writeback);
}

struct diskalloc_region *region_new(struct diskalloc *da)
{
    struct diskalloc_region *r = calloc(1, sizeof *r);

    if (!r)
        return NULL;
    r->da = da ? client_ref(da) : NULL;
    r->generation = fork_generation();
    pthread_mutex_init(&r->lock, NULL);
    prefetch_init(&r->prefetch, da ? &da->background : NULL, &r->mapping);
    filling_init(&r->filling, da ? &da->background : NULL, &r->mapping);
    announce_init(&r->announced, da ? &da->background : NULL, &r->mapping);
    adapt_init(&r->adapt, da ? &da->watch : NULL, &r->lock, &r->mapping);
    writeback_init(&r->writeback, da ? &da->background : NULL);
    r->fork.child = forked;
    fork_lock();
    fork_register(&r->fork, FORK_REGION);
    fork_unlock();
    children_watch(&r->shared);
    return r;
}

// Without the call that has made a region, nobody knows that there is one of this name.
static bool is_unwanted(const struct backing *b)
{
    return b->made && b->named && b->ops->abandon;
}

// LINGERS: the client's thread unmaps the memory.  ABANDONED: the call that was to return R has failed.
static void destroy(struct diskalloc_region *r, bool lingers, bool abandoned)
{
    bool inherited = region_is_inherited(r);

    guard_end(&r->guard);
    region_forget_small(r);
    fork_lock();
    fork_unregister(&r->fork);
    fork_unlock();
    if (r->da && !inherited)
        background_cancel(&r->da->background, &r->early_task);
    adapt_deinit(&r->adapt);
    prefetch_deinit(&r->prefetch);
    filling_deinit(&r->filling);
    announce_deinit(&r->announced);
    writeback_deinit(&r->writeback);
    if (!lingers)
        mapping_deinit(&r->mapping);
    if (r->backing && abandoned && is_unwanted(r->backing))
        r->backing->ops->abandon(r->backing);
    else if (r->backing)
        r->backing->ops->close(r->backing, inherited);
    if (lingers)
        dispose(&r->da->background, &r->mapping);
    client_unref(r->da);
    pthread_mutex_destroy(&r->lock);
    children_forget(&r->shared);
    free(r);
}

void region_abandon(struct diskalloc_region *r)
{
    destroy(r, false, true);
}

void region_close(struct diskalloc_region *r)
{
    destroy(r, r->da && !r->backing->named && !region_is_inherited(r) && !region_is_small(r), false);
}

void diskalloc_region_close(struct diskalloc_region *region)
{
    if (region)
        region_close(region);
}

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

int region_check_alone(const struct diskalloc_region *r)
{
    if (!children_live(&r->shared))
        return 0;
    return error_why(
        -EBUSY, "a child that this process has forked may still use the memory: it has to end first, or run another "
                "program");
}

int region_hold_file(struct diskalloc_region *r)
{
    struct backing *b = r->backing;
    int e = b->ops->hold ? b->ops->hold(b) : 0;

    if (e != 1)
        return e;
    // The memory that children share would be lost.
    if (r->small.head > 0) {
        descriptor_lose(&b->file);
        return error_why(-EBADF, "the program has closed the descriptor of the region's file");
    }
    e = mapping_replace(&r->mapping, b->file.fd, &b->discarded);
    adapt_forget(&r->adapt);
    // The memory still maps the file that was open before: the next call tries again.
    if (e < 0)
        descriptor_lose(&b->file);
    return e;
}

int region_check_size(const struct diskalloc_region *r, uint64_t size)
{
    char asked[SIZE_TEXT_MAX], reserve[SIZE_TEXT_MAX];

    if (size > INT64_MAX)
        return error_why(-EOVERFLOW, "no file can have %llu bytes", (unsigned long long)size);
    if (size <= r->mapping.reserve)
        return 0;
    error_limit(-ENOMEM, "reserve", r->mapping.reserve, r->size, size > r->size ? size - r->size : 0);
    return error_why(-ENOMEM, "%s is more than the region's reserve of %s", size_format(size, asked),
                     size_format(r->mapping.reserve, reserve));
}

int region_check_range(const struct diskalloc_region *r, uint64_t offset, uint64_t length)
{
    char from[SIZE_TEXT_MAX], size[SIZE_TEXT_MAX];

    if (offset <= r->size && length <= r->size - offset)
        return 0;
    return error_why(-EINVAL, "bytes from %s on are not all in a region of %s", size_format(offset, from),
                     size_format(r->size, size));
}

int region_follow_backing(struct diskalloc_region *r)
{
    uint64_t size = u64_min(u64_min(r->backing->size, r->backing->agreed_to), r->mapping.reserve);
    int e = mapping_set_access(&r->mapping, size, &r->backing->discarded);

    if (e < 0)
        return e;
    if (size < r->size)
        guard_zero(&r->guard, size, r->size);
    atomic_store(&r->size, size);
    atomic_store(&r->used, u64_min(r->backing->used, r->backing->agreed_to));
    adapt_note_size(&r->adapt, r->size, &r->backing->discarded);
    return 0;
}

uint64_t region_unit(void)
{
    return u64_max(DISCARD_BLOCK, page_size());
}

uint64_t region_mark(struct diskalloc_region *r)
{
    return r->da ? dispose_mark(&r->da->background) : 0;
}

// In a directory, another region of this process that stood for the same file keeps its lock while it is mapped.
bool region_may_try_again(struct diskalloc_region *r, int e, uint64_t since)
{
    bool wants_space = e == -EDQUOT || e == -ENOSPC, again;

    if (!r->da || (!wants_space && (e != -EBUSY || !r->backing->keeps_fd)))
        return false;
    again = wants_space && client_drop_spare(r->da);
    if (!dispose_await(&r->da->background, since) && !again)
        return false;
    error_forget();
    error_handle(r->handle);
    return true;
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
