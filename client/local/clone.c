// A copy of a region of a directory, made as the daemon makes one (daemon/op/clone.c): a file without a name gets
// blocks of its own, then the content, and its name last.  Where the file system promises nothing, and of a sparse
// region, the two files share their blocks if they can.
//
// No lock of the region's file is held meanwhile: other processes go on changing the region.
#include <errno.h>
#include <fcntl.h>

#include "client/local/blocks.h"
#include "client/local/local_internal.h"
#include "client/util/error.h"
#include "proto/spill/copy.h"
#include "proto/spill/holes.h"
#include "proto/util/checked.h"
#include "proto/util/cleanup.h"
#include "proto/util/clock.h"

enum { TELL_MS = 1000 }; // between two events

static bool share(const struct local *l, const struct clone_source *source, int fd)
{
    int r;

    if (!source->sparse && local_is_hard(l))
        return false;
    r = file_ops_system.share(fd, source->fd);
    if (r == 0)
        r = file_ops_system.truncate(fd, source->size);
    for (size_t i = 0; r == 0 && i < source->discarded.n; i++)
        r = spillfile_punch(&file_ops_system, fd, source->discarded.items[i].offset, source->discarded.items[i].length);
    if (r < 0)
        file_ops_system.truncate(fd, 0);
    return r == 0;
}

static int allocate(const struct clone_source *source, int fd)
{
    int r = source->sparse ? 0 : holes_allocate(&file_ops_system, fd, 0, source->size, &source->discarded);

    if (r == 0 || r == -EOPNOTSUPP)
        r = file_ops_system.truncate(fd, source->size);
    return r < 0 ? spill_refused(fd, r, source->size - source->discarded.sum) : 0;
}

static void tell(struct local *l, const struct clone_source *source, uint64_t done, uint64_t *last)
{
    struct diskalloc_event event = {.kind = DISKALLOC_EVENT_CLONE_PROGRESS, .limit = source->size, .used = done};

    if (done == source->size || clock_now() - *last < TELL_MS)
        return;
    *last = clock_now();
    handle_format(&source->backing->handle, event.handle);
    local_add_event(l, &event);
}

// The next granted bytes from *AT on: moves *AT there, and returns where they end.  *AT: there are none.
static uint64_t granted_until(const struct clone_source *source, uint64_t *at)
{
    const struct ranges *discarded = &source->discarded;
    size_t i = ranges_find(discarded, *at);

    if (i < discarded->n && discarded->items[i].offset <= *at) {
        *at = u64_min(discarded->items[i].offset + discarded->items[i].length, source->size);
        i++;
    }
    return i < discarded->n ? u64_min(discarded->items[i].offset, source->size) : source->size;
}

static int copy(struct local *l, const struct clone_source *source, int fd)
{
    uint64_t at = 0, end, told = 0;
    int r = 0;

    while (r == 0 && (end = granted_until(source, &at)) > at) {
        r = copy_piece(&file_ops_system, source->fd, fd, &at, end);
        tell(l, source, at, &told);
    }
    return r < 0 ? spill_refused(fd, r, source->size - at) : 0;
}

// An anonymous region has a record only if there is something to say; where the file system has no place for it, this
// process knows.
static int write_record(const struct local *l, int fd, const struct record *record)
{
    int r;

    if (record->name_length > 0) {
        r = local_name_file(l, fd, record);
        return r == -EEXIST ? error_why(r, "%s is there", record->name) : r;
    }
    if (!(record->flags & (RECORD_COMMITTED | RECORD_HAS_HOLES)))
        return 0;
    r = record_store(&file_ops_system, fd, record);
    return r == -EOPNOTSUPP ? 0 : r;
}

static int make_copy(struct local *l, const struct clone_source *source, const char *name,
                     const struct backing_request *q, struct record *record)
{
    const struct backing_request empty = {.mode = q->mode};
    _cleanup_close_ int fd = local_make_file(l, &empty, name[0] ? 0 : O_EXCL);
    int r = fd < 0 ? fd : local_new_record(name, q, source->sparse, record);

    if (r == 0 && !share(l, source, fd)) {
        r = allocate(source, fd);
        if (r == 0)
            r = copy(l, source, fd);
    }
    if (r < 0)
        return r;
    record->used = source->used;
    record->element_size = source->element_size;
    record->flags |= source->committed ? RECORD_COMMITTED : 0;
    if (source->discarded.n > 0) {
        record->flags |= RECORD_HAS_HOLES;
        record->file_id = local_file_id(fd);
    }
    r = write_record(l, fd, record);
    return r < 0 ? r : steal_fd(&fd);
}

int local_clone(struct backend *backend, const struct clone_source *source, const struct region_name *name,
                const struct backing_request *q, struct backing **ret)
{
    struct local *l = (struct local *)backend;
    bool read_only = q->flags & DISKALLOC_REGION_READ_ONLY;
    struct record record;
    int r = local_hold_directory(l), fd, again;

    if (r == 0 && name)
        r = local_check_absent(l, name->name);
    fd = r < 0 ? r : make_copy(l, source, name ? name->name : "", q, &record);
    if (fd < 0)
        return fd;
    if (read_only) {
        again = local_open_again(fd, true);
        cleanup_close(&fd);
        fd = again;
    }
    r = fd < 0 ? fd
               : local_backing_new(l, fd, &record,
                                   q->flags & (DISKALLOC_REGION_READ_ONLY | DISKALLOC_REGION_SOLE_WRITER), ret);
    if (r < 0 && name)
        local_remove_name(l, &record);
    else if (r == 0)
        (*ret)->made = true;
    return r;
}
