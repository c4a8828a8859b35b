// The tables of regions.
//
// Two trees hold the same regions: all by their handle, which clients send, and those with a name by owner and name.
// A region is in the tables from region_add, before its file exists, until region_remove: so its handle and name are
// taken while it is being made.  The struct outlives that until no operation on it is queued (op/queue.c).
#include "daemon/region.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "daemon/disk.h"
#include "daemon/quota/charge.h"
#include "daemon/user.h"
#include "proto/util/checked.h"

static int compare_handles(const struct region *a, const struct region *b)
{
    return memcmp(a->record.handle.bytes, b->record.handle.bytes, sizeof a->record.handle.bytes);
}

static int compare_names(const struct region *a, const struct region *b)
{
    if (a->record.owner_uid != b->record.owner_uid)
        return a->record.owner_uid > b->record.owner_uid ? 1 : -1;
    return strcmp(a->record.name, b->record.name);
}

TREE_GENERATE(region_by_handle, region, by_handle, compare_handles)
TREE_GENERATE(region_by_name, region, by_name, compare_names)

void region_table_init(struct region_table *t, uint32_t block_size)
{
    *t = (struct region_table){.block_size = block_size};
    RB_INIT(&t->by_handle);
    RB_INIT(&t->by_name);
    TAILQ_INIT(&t->with_file);
}

struct region *region_find(struct region_table *t, const struct handle *handle)
{
    struct region wanted = {.record.handle = *handle}; // the tree compares handles only

    return RB_FIND(region_by_handle, &t->by_handle, &wanted);
}

struct region *region_next(struct region_table *t, const struct handle *after)
{
    struct region wanted, *r;

    if (!after)
        return RB_MIN(region_by_handle, &t->by_handle);
    wanted.record.handle = *after;
    r = RB_NFIND(region_by_handle, &t->by_handle, &wanted);
    // AFTER itself may have been removed, so the first handle that is not smaller can be the next already.
    if (r && handle_equal(&r->record.handle, after))
        r = RB_NEXT(region_by_handle, &t->by_handle, r);
    return r;
}

struct region *region_find_name(struct region_table *t, uid_t owner, const char *name, size_t n)
{
    struct region wanted = {.record.owner_uid = owner};

    if (n > NAME_MAX_LENGTH)
        return NULL;
    memcpy(wanted.record.name, name, n);
    wanted.record.name[n] = '\0';
    return RB_FIND(region_by_name, &t->by_name, &wanted);
}

struct region *region_add(struct region_table *t, const struct record *record, struct user *owner)
{
    struct region *r = calloc(1, offsetof(struct region, record.name) + record->name_length + 1);

    if (!r)
        return NULL;
    record_copy(&r->record, record);
    r->owner = owner;
    r->file = -1;
    owner->n_refs++;
    holders_init(&r->holders);
    TAILQ_INIT(&r->ops);
    quota_charge_init(&r->charge, owner->quota);
    RB_INSERT(region_by_handle, &t->by_handle, r);
    if (record->name_length > 0)
        RB_INSERT(region_by_name, &t->by_name, r);
    t->n_regions++;
    return r;
}

void region_remove(struct region_table *t, struct region *r)
{
    assert(r->state != REGION_GONE);
    RB_REMOVE(region_by_handle, &t->by_handle, r);
    if (r->record.name_length > 0)
        RB_REMOVE(region_by_name, &t->by_name, r);
    t->n_regions--;
    // The daemon may end while the file is kept open; op_reap has closed it.
    region_close_file(r);
    region_note_file(t, r);
    region_set_releasing(t, r, false);
    r->state = REGION_GONE;
    quota_charge_deinit(&r->charge);
}

void region_free(struct region *r)
{
    assert(r->state == REGION_GONE && !region_is_busy(r) && r->holders.n_attached == 0 && !r->orphaned &&
           !r->suspicion);
    user_unref(r->owner);
    holders_deinit(&r->holders);
    ranges_deinit(&r->discarded);
    free(r);
}

void region_set_disk(struct region *r, struct disk *disk)
{
    r->disk = disk;
    quota_charge_set_tally(&r->charge, r->record.flags & RECORD_SPARSE ? &disk->sparse : &disk->granted);
}

void region_drop_name(struct region_table *t, struct region *r)
{
    if (r->record.name_length > 0)
        RB_REMOVE(region_by_name, &t->by_name, r);
    r->record.name[0] = '\0';
    r->record.name_length = 0;
}

int region_charge_of(const struct region_table *t, uint64_t size, uint64_t *ret)
{
    // Files end at INT64_MAX.
    return size <= INT64_MAX && checked_align_up(size, t->block_size, ret) ? 0 : -EOVERFLOW;
}

bool region_is_shared(struct region *r)
{
    return r->holders.n_attached > 1 || holders_are_lost(&r->holders);
}

// The owner counts too: what waits for a user's own limit is helped by that user's regions only.
void region_set_releasing(struct region_table *t, struct region *r, bool releasing)
{
    if (r->releasing == releasing)
        return;
    r->releasing = releasing;
    t->n_releasing += releasing ? 1 : UINT64_MAX; // adding UINT64_MAX subtracts one
    r->owner->n_releasing += releasing ? 1 : UINT64_MAX;
}

void region_close_file(struct region *r)
{
    if (r->file >= 0)
        close(r->file);
    r->file = -1;
}

void region_note_file(struct region_table *t, struct region *r)
{
    bool listed = r->file >= 0;

    r->file_was_used = true;
    if (r->file_is_listed == listed)
        return;
    r->file_is_listed = listed;
    t->n_files += listed ? 1 : -1U;
    if (listed)
        TAILQ_INSERT_TAIL(&t->with_file, r, with_file);
    else
        TAILQ_REMOVE(&t->with_file, r, with_file);
}

bool region_is_busy(const struct region *r)
{
    return !TAILQ_EMPTY(&r->ops) || r->n_parked > 0 || r->n_readers > 0;
}

bool region_is_transient(const struct region *r)
{
    return r->record.name_length == 0;
}
