// The region of a small vector, which has no file.
//
// A program that has ten thousand vectors of a few KiB would wait for ten thousand files, and have them charged.  So
// the region of a vector begins without a file: its first REGION_SMALL bytes are memory (client/memory/small.c) at the
// place where its file will be mapped.  The daemon knows nothing of it, and nothing is charged.  It gets a file when
//   - the vector outgrows that memory: the file is made with the size that the vector asks for;
//   - the program asks for the region's handle or descriptor, commits, discards or clones;
//   - the process forks, if the program has no other threads, so that a child can attach the region by its handle.
// The address stays.  If the file can't be had, the call fails as a grow does, and the memory is as before.
//
// A client whose last vector outgrew the memory makes the next one with a file at once (client/vec.c).
//
// Forks.  The memory is shared with children as a file's is.  Where the program has other threads, it can't be moved
// into a file at a fork: they may write to it meanwhile.  As long as a child lives that shares it, it is not moved
// either: when the vector outgrows it, the file is mapped behind it (`head`), and what needs all bytes in the file is
// -EBUSY.
//
// Threads: moving the memory drops what other threads write to it meanwhile, so all calls on a vector, and those on its
// region that need a file, are for one thread at a time (<diskalloc/vec.h>).
#include <errno.h>
#include <string.h>
#include <sys/stat.h>

#include "client/diskalloc.h"
#include "client/memory/small.h"
#include "client/region/region_internal.h"
#include "client/util/error.h"
#include "proto/util/cleanup.h"

static int refresh_none(struct backing *b)
{
    (void)b;
    return 0;
}

static void close_none(struct backing *b, bool inherited)
{
    (void)b;
    (void)inherited;
}

// Every other call on a region gets a file first.
static const struct backing_ops none_ops = {
    .refresh = refresh_none,
    .close = close_none,
};

// Threads that the library did not start may use the memory now.
static bool has_other_threads(void)
{
    struct stat st;

    // A directory of /proc has two links more than it has directories, here one a thread.
    return stat("/proc/self/task", &st) < 0 || (unsigned)st.st_nlink > 2 + 1 + background_threads();
}

// Before a fork.  The list does not change: this is the only thread of the program.
static void give_files(void)
{
    struct diskalloc_region *r, *next;
    bool none;

    fork_lock();
    none = LIST_EMPTY(&region_all_small);
    fork_unlock();
    if (none || has_other_threads())
        return;
    for (r = LIST_FIRST(&region_all_small); r; r = next) {
        next = LIST_NEXT(r, small.entry);
        if (region_is_inherited(r) || children_were_made(&r->shared) || pthread_mutex_trylock(&r->lock) != 0)
            continue;
        region_make_file(r, r->size, false, true);
        pthread_mutex_unlock(&r->lock);
    }
    error_forget();
}

static int begin(struct diskalloc_region *r)
{
    int e = small_begin(&r->mapping, REGION_SMALL);

    if (e == 0)
        e = guard_begin(&r->guard, r, &r->mapping);
    if (e < 0)
        return e;
    r->small.none =
        (struct backing){.ops = &none_ops, .file = DESCRIPTOR_NONE, .size = REGION_SMALL, .agreed_to = UINT64_MAX};
    r->backing = &r->small.none;
    r->size = REGION_SMALL;
    fork_lock();
    fork_call_before(give_files);
    LIST_INSERT_HEAD(&region_all_small, r, small.entry);
    r->small.fileless = true;
    fork_unlock();
    return 0;
}

int region_create_small(struct diskalloc *da, struct diskalloc_region **ret)
{
    const struct diskalloc_region_options o = DISKALLOC_REGION_OPTIONS_INIT;
    struct diskalloc_region *r;
    int e;

    if (!da)
        return error_why(-EINVAL, "a NULL argument");
    r = region_new(da);
    if (!r)
        return -ENOMEM;
    e = region_reserve_addresses(&r->mapping, &o, true, 0);
    if (e == 0)
        e = begin(r);
    if (e < 0) {
        region_abandon(r);
        return e;
    }
    *ret = r;
    return 0;
}

// A descriptor of the region's file that can be mapped.  *RET_OWNED: the caller closes it.
static int file_to_map(struct diskalloc_region *r, bool *ret_owned)
{
    *ret_owned = !r->backing->keeps_fd;
    return r->backing->keeps_fd ? r->backing->file.fd : r->backing->ops->open_file(r->backing, false);
}

static int move_head(struct diskalloc_region *r)
{
    bool owned;
    int fd, e;

    if (children_live(&r->shared))
        return error_why(-EBUSY, "a child that this process has forked shares the vector's first bytes: it has to end "
                                 "first, or run another program");
    e = region_reconcile(r);
    fd = e < 0 ? e : file_to_map(r, &owned);
    if (fd < 0)
        return fd;
    e = small_move(&r->mapping, fd, r->small.head);
    if (owned)
        cleanup_close(&fd);
    if (e < 0)
        return e;
    r->small.head = 0;
    handle_format(&r->backing->handle, r->handle);
    children_name(&r->shared, r->handle);
    return 0;
}

static int make_file(struct diskalloc_region *r, uint64_t size)
{
    error_handle(r->handle);
    if (region_is_inherited(r))
        return error_why(-EBUSY, "inherited through fork, and it has no file yet");
    return region_make_file(r, size, children_live(&r->shared), false);
}

int region_need_file(struct diskalloc_region *r)
{
    int e = r->small.fileless ? make_file(r, r->size) : 0;

    return e == 0 && r->small.head > 0 ? move_head(r) : e;
}

// What is cut is zero when it is granted again.
static int resize_memory(struct diskalloc_region *r, uint64_t size)
{
    int e = size < r->size ? region_check_alone(r) : 0;

    if (e < 0)
        return e;
    if (size < r->size)
        memset(r->mapping.base + size, 0, r->size - size);
    e = mapping_set_access(&r->mapping, size, &r->backing->discarded);
    if (e < 0)
        return e;
    r->backing->size = size;
    atomic_store(&r->size, size);
    return 0;
}

int region_resize_small(struct diskalloc_region *r, uint64_t size)
{
    int e = region_check_size(r, size);

    if (e < 0)
        return e;
    return size <= REGION_SMALL ? resize_memory(r, size) : make_file(r, size);
}

const char *diskalloc_region_handle(const struct diskalloc_region *r)
{
    struct diskalloc_region *changed = (struct diskalloc_region *)r;

    if (!r->handle[0] && (r->small.fileless || r->small.head > 0)) {
        error_begin("diskalloc_region_handle");
        pthread_mutex_lock(&changed->lock);
        error_end(region_need_file(changed));
        pthread_mutex_unlock(&changed->lock);
    }
    return r->handle;
}
