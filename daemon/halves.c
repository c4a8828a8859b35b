// What a daemon that was killed in the middle of a move has left (daemon/op/move.c): two files with one handle, on two
// disks, whose records say which of them is the region.
//
//   new file    old file    then
//   INCOMING    plain       the region is the old file, and the new one is removed
//   INCOMING    MOVED       the region is the new file: INCOMING is taken away, then the old file is removed
//   plain       MOVED       the region is the new file, and the old one is removed
//   INCOMING    not found   nobody knows: it stays as it is until the other disk is back
//   not found   MOVED       the same
//
// A killed daemon may have written a record that is not on the disk yet.  So before a file is changed because of what
// the record of the other one says, that one is written out: else a power failure could leave the former record beside
// the change, and two files would be the region, or none.
//
// A disk that is added while the daemon runs may bring the other half.
#include "daemon/halves.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/log.h"
#include "proto/util/cleanup.h"

bool half_is(const struct record *record)
{
    return record->flags & (RECORD_INCOMING | RECORD_MOVED);
}

int halves_add(struct half **list, struct daemon_disk *x, struct store_found *found)
{
    struct half *h = malloc(sizeof *h);

    if (!h)
        return -ENOMEM;
    *h = (struct half){.next = *list, .x = x, .found = *found, .is_new = !(found->record.flags & RECORD_MOVED)};
    found->discarded = (struct ranges){0};
    *list = h;
    return 0;
}

void half_free(struct half *h)
{
    ranges_deinit(&h->found.discarded);
    free(h);
}

void halves_forget(struct half **list, const struct daemon_disk *x)
{
    while (*list) {
        struct half *h = *list;

        if (x && h->x != x) {
            list = &h->next;
            continue;
        }
        *list = h->next;
        half_free(h);
    }
}

static void complain(const struct half *h, const char *what, int error)
{
    log_error("spill directory %s: a file of uid %u that a move has left cannot be %s: %s", store_dir(h->x->disk.store),
              h->found.record.owner_uid, what, strerror(-error));
}

static int write_out(struct store *store, const struct record *record)
{
    _cleanup_close_ int fd = store_open_file(store, record->owner_uid, &record->handle, O_RDONLY);

    return fd < 0 ? fd : store_sync(store, fd, record->owner_uid);
}

void half_remove(const struct half *h)
{
    const struct record *record = &h->found.record;
    struct store *store = h->x->disk.store;
    _cleanup_close_ int fd = store_open_file(store, record->owner_uid, &record->handle, O_RDWR);
    int r = fd < 0 ? fd : 0;

    if (r == 0 && h->region) {
        r = write_out(h->region, record);
        if (r == -ENOENT) // the region was removed, or has moved on, meanwhile
            r = 0;
    }
    if (r == 0)
        r = store_truncate(store, fd, 0);
    if (r == 0)
        r = store_unlink(store, record->owner_uid, &record->handle);
    if (r < 0 && r != -ENOENT)
        complain(h, "removed", r);
}

static int write_out_moved(const struct half *old)
{
    int r = write_out(old->x->disk.store, &old->found.record);

    if (r < 0)
        complain(old, "written out", r);
    return r;
}

// The new file is the region from now on, also for the next daemon.
static int complete(struct half *h)
{
    struct record *record = &h->found.record;
    struct store *store = h->x->disk.store;
    _cleanup_close_ int fd = store_open_file(store, record->owner_uid, &record->handle, O_RDWR);
    uint32_t flags = record->flags;
    int r = fd < 0 ? fd : 0;

    record->flags &= ~(uint32_t)RECORD_INCOMING;
    if (r == 0)
        r = store_write_record(store, fd, record);
    if (r == 0)
        r = store_sync(store, fd, record->owner_uid);
    if (r < 0) {
        record->flags = flags;
        complain(h, "completed", r);
    }
    return r;
}

// Clients choose the handles of their regions, and may choose one a second time.
static bool is_same_region(const struct record *a, const struct record *b)
{
    return handle_equal(&a->handle, &b->handle) && a->owner_uid == b->owner_uid && a->created == b->created;
}

// Takes the old file of the new one H out of the list.
static struct half *take_other(struct half **list, const struct half *h)
{
    for (struct half **at = list; *at; at = &(*at)->next) {
        struct half *other = *at;

        if (other->is_new || !is_same_region(&other->found.record, &h->found.record))
            continue;
        *at = other->next;
        return other;
    }
    return NULL;
}

void halves_join(struct half **list)
{
    for (struct half *h = *list; h; h = h->next) {
        struct half *old = h->is_new ? take_other(list, h) : NULL;

        if (!old)
            continue;
        if (write_out_moved(old) == 0 && complete(h) == 0)
            half_remove(old);
        half_free(old);
    }
}

struct half *halves_take_whole(struct half **list)
{
    for (struct half **at = list; *at; at = &(*at)->next) {
        struct half *h = *at;

        if (half_is(&h->found.record))
            continue;
        *at = h->next;
        return h;
    }
    return NULL;
}

struct half *halves_take_rest(struct half **list, struct region_table *regions)
{
    for (struct half **at = list; *at; at = &(*at)->next) {
        struct half *h = *at;
        const struct region *r = region_find(regions, &h->found.record.handle);

        if (!r || !is_same_region(&r->record, &h->found.record))
            continue;
        *at = h->next;
        h->region = r->disk->store;
        return h;
    }
    return NULL;
}

void halves_tell(const struct half *list)
{
    for (; list; list = list->next)
        log_warning("spill directory %s: uid %u has half of a region that was being moved: it is unavailable until the "
                    "other disk is in use too",
                    store_dir(list->x->disk.store), list->found.record.owner_uid);
}
