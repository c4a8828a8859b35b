// Opening a region's file for a client, and committing a region.
//
// op_open makes a descriptor that the submitter sends to the client; the client maps the file by it.  Each client gets a
// file description of its own, read-only if it attaches for reading.
//
// op_commit writes to the record how many bytes of the region are in use, and their element size: so a program that opens
// the region by name, or after a restart, finds out.  A durable commit waits until the disk has content and record.
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
    // This client is the second one at least.
    if (op->attaches && r->n_attachments > 0)
        op->record.flags |= RECORD_SHARED;
    return 0;
}

// Writes down that the region is shared, before the second client can map it.  A daemon that starts anew does not know who
// maps a region, and must not cut a region that others map.
static int note_sharing(struct op *op)
{
    int r;

    if (op->record.flags == op->region->record.flags)
        return 0;
    r = op_open_file(op);
    if (r == 0)
        r = store_write_record(op->env->store, op->file, &op->record);
    cleanup_close(&op->file);
    op->file = -1;
    return r;
}

// Whether the kernel says that no process maps a region that was found at start and that nobody has attached since.
static bool is_proven_unshared(const struct op *op)
{
    bool unused;
    int fd;

    if (!op->region->maybe_shared || op->region->n_attachments > 0)
        return false;
    fd = op_open_fd(op, O_RDONLY);
    unused = fd >= 0 && store_is_unused(fd) == 1;
    cleanup_close(&fd);
    return unused;
}

static enum work_status run_open(struct op *op)
{
    int r = note_sharing(op);

    if (r < 0)
        return op_finish_run(op, r);
    op->proven_unshared = is_proven_unshared(op);
    op->fd = op_open_fd(op, op->read_only ? O_RDONLY : O_RDWR);
    return op_finish_run(op, op->fd < 0 ? op->fd : 0);
}

static void conclude_open(struct op *op)
{
    struct region *r = op->region;

    if (op->result < 0)
        return;
    r->record = op->record;
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
    op->instant = !op->durable; // fsync takes as long as the disk takes
    return 0;
}

static enum work_status run_commit(struct op *op)
{
    struct store *store = op->env->store;
    uid_t owner = op->record.owner_uid;
    int r = op_open_file(op);

    // The content goes to the disk before the record that counts it: power may fail between the two.
    if (r == 0 && op->durable)
        r = store_sync(store, op->file, owner);
    if (r == 0)
        r = store_write_record(store, op->file, &op->record);
    if (r == 0 && op->durable)
        r = store_sync(store, op->file, owner);
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
