// Opening a region's file for a client, and writing its record.
#include <errno.h>
#include <fcntl.h>

#include "daemon/op.h"
#include "daemon/store.h"

static int prepare_open(struct op *op)
{
    return op->region->record.flags & RECORD_UNLINKED ? -ESTALE : 0;
}

static enum work_status run_open(struct op *op)
{
    const struct record *record = &op->region->record;

    op->fd = store_open_file(op->env->store, record->owner_uid, &record->handle, op->read_only ? O_RDONLY : O_RDWR);
    return op_finish_run(op, op->fd < 0 ? op->fd : 0);
}

static void conclude_open(struct op *op)
{
    (void)op;
}

const struct op_type op_open = {prepare_open, NULL, run_open, conclude_open, false, false};

static int prepare_commit(struct op *op)
{
    const struct region *r = op->region;

    if (r->record.flags & RECORD_UNLINKED)
        return -ESTALE;
    if (op->size > r->size)
        return -EINVAL;
    op->record = r->record;
    op->record.used = op->size;
    op->record.element_size = op->element_size;
    op->record.flags |= RECORD_COMMITTED;
    return 0;
}

static enum work_status run_commit(struct op *op)
{
    const struct record *record = &op->record;
    struct store *store = op->env->store;
    int r;

    op->file = store_open_file(store, record->owner_uid, &record->handle, O_RDWR);
    if (op->file < 0)
        return op_finish_run(op, op->file);
    r = store_write_record(store, op->file, record);
    if (r == 0 && op->durable)
        r = store_sync(store, op->file, record->owner_uid);
    return op_finish_run(op, r);
}

static void conclude_commit(struct op *op)
{
    if (op->result == 0)
        op->region->record = op->record;
}

const struct op_type op_commit = {prepare_commit, NULL, run_commit, conclude_commit, false, false};
