// How a region comes to be and how it goes.
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "daemon/log.h"
#include "daemon/op/op_internal.h"
#include "daemon/store/store.h"
#include "daemon/user.h"

// The caller has put the region into the tables as REGION_BEING_MADE.
static int prepare_create(struct op *op)
{
    struct region *r = op->region;
    uint64_t charge;
    int result = region_charge_of(op->env->regions, op->size, &charge);

    if (result == 0)
        result = quota_check_region_size(r->owner->quota, 0, op->size, &op->refusal);
    if (result == 0)
        result = quota_charge_add(&r->charge, QUOTA_REGIONS, 1, &op->refusal);
    if (result < 0)
        return result;
    result = quota_charge_add(&r->charge, QUOTA_BYTES, charge, &op->refusal);
    if (result < 0) {
        quota_charge_sub(&r->charge, QUOTA_REGIONS, 1);
        return result;
    }
    op->extra = charge;
    op->at = 0;
    op_estimate(op, OP_ALLOCATES, charge);
    // The first one of a user may need their directory.
    op->instant = op->instant && quota_account_used(quota_user_account(r->owner->quota), QUOTA_REGIONS) > 1;
    return 0;
}

static void refused_create(struct op *op)
{
    region_remove(op->env->regions, op->region);
}

static int start_create(struct op *op)
{
    const struct record *record = &op->region->record;
    int r = op_check_space(op, record->flags & RECORD_SPARSE ? 0 : op->extra);

    return r < 0 ? r : store_create(op->env->store, record, &op->file);
}

// From here on it is a region. Opened anew: the fd that is sent has the file's name, and this one's offset is nobody else's.
static int finish_create(struct op *op)
{
    const struct record *record = &op->region->record;
    int r = op->at > 0 ? op_check_kept(op) : 0;

    if (r == 0 && op->size > 0)
        r = store_truncate(op->env->store, op->file, op->size);
    if (r == 0)
        r = store_link(op->env->store, op->file, record);
    if (r < 0)
        return r;
    op->fd = store_open_file(op->env->store, record->owner_uid, &record->handle, O_RDWR);
    if (op->fd >= 0)
        return 0;
    store_unlink(op->env->store, record->owner_uid, &record->handle);
    return op->fd;
}

static enum work_status run_create(struct op *op)
{
    int r = 0;

    if (op->file < 0)
        r = start_create(op);
    if (r == 0 && op->cancelled)
        r = -ECANCELED;
    if (r == 0 && op->at < op->size && !(op->region->record.flags & RECORD_SPARSE)) {
        r = store_allocate_piece(op->env->store, op->file, &op->at, op->size);
        if (r == 0 && op->at < op->size)
            return WORK_AGAIN;
    }
    if (r == 0)
        r = finish_create(op);
    op_explain_full_disk(op, r);
    return op_finish_run(op, r);
}

static void conclude_create(struct op *op)
{
    if (op->result < 0) {
        quota_charge_sub(&op->region->charge, QUOTA_BYTES, op->extra);
        quota_charge_sub(&op->region->charge, QUOTA_REGIONS, 1);
        return;
    }
    op->region->size = op->size;
    op->region->state = REGION_LIVE;
}

const struct op_type op_create = {
    .prepare = prepare_create,
    .refused = refused_create,
    .run = run_create,
    .conclude = conclude_create,
    .charges = true,
};

static int prepare_unlink(struct op *op)
{
    if (op->region->record.flags & RECORD_UNLINKED)
        return OP_NOTHING_TO_DO;
    op->record = op->region->record;
    op->record.flags |= RECORD_UNLINKED;
    op->record.name_length = 0;
    op->record.name[0] = '\0';
    op->instant = true;
    return 0;
}

static enum work_status run_unlink(struct op *op)
{
    struct store *store = op->env->store;
    const struct record *record = &op->record;

    op->file = store_open_file(store, record->owner_uid, &record->handle, O_RDWR);
    if (op->file < 0)
        return op_finish_run(op, op->file);
    return op_finish_run(op, store_write_record(store, op->file, record));
}

static void conclude_unlink(struct op *op)
{
    // A file that somebody removed by hand is gone all the same: reaping finds out.
    if (op->result == -ENOENT)
        op->result = 0;
    if (op->result < 0)
        return;
    region_set_name(op->env->regions, op->region, "", 0);
    op->region->record.flags |= RECORD_UNLINKED;
}

const struct op_type op_unlink = {
    .prepare = prepare_unlink,
    .run = run_unlink,
    .conclude = conclude_unlink,
    .releases = true,
};
