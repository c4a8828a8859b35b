// Opening a region's file for a client, and writing its record.
#include <errno.h>
#include <fcntl.h>

#include "daemon/op/op_internal.h"
#include "daemon/store/store.h"
#include "proto/util/cleanup.h"

static int prepare_open(struct op *op)
{
    const struct region *r = op->region;

    if (r->record.flags & RECORD_UNLINKED)
        return -ESTALE;
    op->record = r->record;
    op->instant = true;
    if (op->attaches && r->n_attachments > 0)
        op->record.flags |= RECORD_SHARED;
    return 0;
}

// A daemon that starts anew does not know who maps a region: for that it is written down, before the first to share it can.
static int note_sharing(struct op *op)
{
    const struct record *record = &op->record;
    int r;

    if (record->flags == op->region->record.flags)
        return 0;
    op->file = store_open_file(op->env->store, record->owner_uid, &record->handle, O_RDWR);
    r = op->file < 0 ? op->file : store_write_record(op->env->store, op->file, record);
    cleanup_close(&op->file);
    op->file = -1;
    return r;
}

// Nobody is attached: does anybody map it all the same, from before the daemon started?
static bool is_proven_unshared(const struct op *op)
{
    const struct record *record = &op->record;
    bool unused;
    int fd;

    if (!op->region->maybe_shared || op->region->n_attachments > 0)
        return false;
    fd = store_open_file(op->env->store, record->owner_uid, &record->handle, O_RDONLY);
    unused = fd >= 0 && store_is_unused(fd) == 1;
    cleanup_close(&fd);
    return unused;
}

static enum work_status run_open(struct op *op)
{
    const struct record *record = &op->record;
    int r = note_sharing(op);

    if (r < 0)
        return op_finish_run(op, r);
    op->proven_unshared = is_proven_unshared(op);
    op->fd = store_open_file(op->env->store, record->owner_uid, &record->handle, op->read_only ? O_RDONLY : O_RDWR);
    return op_finish_run(op, op->fd < 0 ? op->fd : 0);
}

static void conclude_open(struct op *op)
{
    struct region *r = op->region;

    if (op->result < 0)
        return;
    r->record = op->record;
    r->boot_is_over = false;
    if (op->proven_unshared)
        r->maybe_shared = false;
}

const struct op_type op_open = {
    .prepare = prepare_open,
    .run = run_open,
    .conclude = conclude_open,
};

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
    op->instant = !op->durable;
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
    // First what the record counts, or it might be on disk alone when the power goes.
    r = op->durable ? store_sync(store, op->file, record->owner_uid) : 0;
    if (r == 0)
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

const struct op_type op_commit = {
    .prepare = prepare_commit,
    .run = run_commit,
    .conclude = conclude_commit,
};
