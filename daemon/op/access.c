// Opening a region's file for a client, and committing a region.
//
// op_open makes a descriptor that the submitter sends to the client; the client maps the file by it.  Each client
// gets a file description of its own, read-only if it attaches for reading.
//
// op_commit writes to the record how many bytes of the region are in use, and their element size: so a program that
// opens the region by name, or after a restart, finds out.  A durable commit waits until the disk has content and
// record.
#include <errno.h>
#include <fcntl.h>

#include "daemon/op/bound.h"
#include "daemon/op/consent.h"
#include "daemon/op/op_internal.h"
#include "daemon/store/store.h"
#include "proto/util/cleanup.h"

// Prepares the open of a client that wants to write.  The table is asked first; an attachment may also be without any
// mapping.  If the region has had a sole writer, or this client wants to be one, the kernel is asked too (run_open).
static int prepare_writer(struct op *op)
{
    const struct region *r = op->region;

    op->asks_writers = op->asks_return = false;
    if (!op->peer || op->read_only)
        return 0;
    if (holders_keep_out(&r->holders, op->peer, op->returns ? &op->opener : NULL, op->sole_writer))
        return -EBUSY;
    op->asks_writers = !op->returns && (op->sole_writer || r->record.flags & RECORD_SOLE_WRITER);
    op->asks_return = op->returns && r->record.flags & RECORD_MARKED && r->generation == 0;
    if (op->sole_writer)
        op->record.flags |= RECORD_SOLE_WRITER;
    else
        op->record.flags &= ~(uint32_t)RECORD_SOLE_WRITER;
    return 0;
}

static int prepare_open(struct op *op)
{
    struct region *r = op->region;
    struct holders *h = &r->holders;

    if (r->record.flags & RECORD_UNLINKED)
        return -ESTALE;
    record_copy(&op->record, &r->record);
    if (op->attaches)
        op->record.flags &= ~(uint32_t)RECORD_UNUSED;
    op->record_is_written = false;
    op->bound = r->charge.amount[QUOTA_BYTES];
    op->instant = op_may_open_instantly(op) && !op_needs_project(op);
    op->n_others = op->attaches ? holders_count(h, &op->opener, op->claim, r->record.owner_uid) : 0;
    if (h->unknown && op->n_others > 0)
        op->n_others = RECORD_HOLDERS_MOST;
    op->asks_lease = op->attaches && h->n_attached == 0 &&
                     (op->n_others > 0 || r->record.flags & RECORD_SHARED || op_has_unknown_children(op));
    if (!op->read_only) {
        int result = op_check_frozen(op);

        if (result < 0)
            return result;
    }
    return prepare_writer(op);
}

// Whether the kernel says that no process has the region's file open or maps it.
static bool is_unused(const struct op *op)
{
    _cleanup_close_ int fd = op_open_fd(op, O_RDONLY);

    return fd >= 0 && store_is_unused(fd) == 1;
}

// 0; -EBUSY: a process has the region's file open for writing, or maps it so.
static int check_writers(const struct op *op)
{
    _cleanup_close_ int fd = op_open_fd(op, O_RDONLY);
    int r = fd < 0 ? fd : store_is_unwritten(fd);

    return r == 0 ? -EBUSY : r < 0 ? r : 0;
}

// A client says that it maps the region since it was the sole writer.  Only marks tell it from one that lies; without
// its mark it may be what it says if nobody writes.
static int check_return(const struct op *op)
{
    _cleanup_close_ int fd = op_open_fd(op, O_RDONLY);
    int r = fd < 0 ? fd : store_may_be_writer(fd, op->identity);

    return r == 0 ? check_writers(op) : r < 0 ? r : 0;
}

static void set_holders(struct record *record, unsigned n)
{
    record->flags &= ~((uint32_t)RECORD_SHARED | (uint32_t)RECORD_HOLDERS_MOST << RECORD_HOLDERS_AT);
    if (n > 1)
        record->flags |= RECORD_SHARED | (uint32_t)(n < RECORD_HOLDERS_MOST ? n : RECORD_HOLDERS_MOST)
                                             << RECORD_HOLDERS_AT;
}

static int write_record(struct op *op)
{
    int r = op_open_file(op);

    if (r == 0)
        r = store_write_record(op_store(op), op->file, &op->record);
    op->record_is_written |= r == 0;
    cleanup_close(&op->file);
    op->file = -1;
    return r;
}

// Writes down whether the region is shared or has a sole writer, before this client can map it.  A daemon that starts
// anew does not know who maps a region, and must not cut a region that others map, nor let a second writer in.
static int note_sharing(struct op *op)
{
    if (op->asks_lease && is_unused(op)) {
        op->n_others = 0;
        set_holders(&op->record, 1);
        op_note_unused(op);
    } else {
        op_note_used(op);
        if (op->asks_lease && op->n_others == 0 && !(op->record.flags & RECORD_SHARED))
            op->n_others = 1; // a child of a process that has left
        op->asks_lease = false;
    }
    if (op->n_others > 0)
        set_holders(&op->record, op->n_others + 1);
    return op->record.flags == op->region->record.flags ? 0 : write_record(op);
}

// A client that has the region can lock the byte of the mark.  That must not keep others from the region: from now on
// the region is one whose descriptors have no marks.
static int open_marked(struct op *op)
{
    int r = op_open_for_client(op, op->read_only ? O_RDONLY : O_RDWR, true);

    if (op->fd < 0 || (r != -EAGAIN && r != -EACCES))
        return r;
    op->record.flags &= ~(uint32_t)RECORD_MARKED;
    r = write_record(op);
    if (r < 0)
        op->record.flags |= op->region->record.flags & RECORD_MARKED;
    return r;
}

// A region from before the fence of project quotas, or from a copy of the spill directory.
static void enter_project(struct op *op)
{
    if (op_open_file(op) == 0)
        op_bound(op, op->file);
    cleanup_close(&op->file);
    op->file = -1;
}

static enum work_status run_open(struct op *op)
{
    int r = op->asks_writers ? check_writers(op) : op->asks_return ? check_return(op) : 0;

    if (r == 0)
        r = note_sharing(op);
    if (r < 0)
        return op_finish_run(op, r);
    if (!op_seal(op)) // the record stays: it says what was true before this client could map the file, or more
        return op_finish_run(op, -ECANCELED);
    if (op_needs_project(op))
        enter_project(op);
    // A further descriptor of an attachment (OpenFile) needs no mark: the library maps the region by the first one.
    if (op->peer)
        r = open_marked(op);
    else
        r = op_open_for_client(op, op->read_only ? O_RDONLY : O_RDWR, false);
    return op_finish_run(op, r);
}

// The submitter attaches the region.  A record that was written stays when the operation fails, so the table says the
// same: otherwise the next one to attach would find in the table what it wants to note, and not write it.
static void conclude_open(struct op *op)
{
    if (op->result < 0 && !op->record_is_written)
        return;
    record_copy(&op->region->record, &op->record);
    if (op->asks_lease) {
        holders_forget(&op->region->holders);
        op->region->generation = op->generation;
    }
}

const struct op_type op_open = {
    .tally = TALLY_OPEN,
    .prepare = prepare_open,
    .run = run_open,
    .conclude = conclude_open,
    .asks_consent = true,
    .undoes = true,
};

// The steps of a commit; one that is not durable has the second only.
enum { COMMITS_CONTENT, COMMITS_RECORD, COMMITS_DISK };

static int prepare_commit(struct op *op)
{
    struct region *r = op->region;

    if (r->record.flags & RECORD_UNLINKED)
        return -ESTALE;
    if (op->size > r->size)
        return -EINVAL;
    if (op->durable && r->lost_content) { // once, as fsync(2)
        r->lost_content = false;
        return -EIO;
    }
    record_copy(&op->record, &r->record);
    op->record.used = op->size;
    op->record.element_size = op->element_size;
    op->record.flags |= RECORD_COMMITTED;
    op->instant = !op->durable; // fsync takes as long as the disk takes
    op->step = op->durable ? COMMITS_CONTENT : COMMITS_RECORD;
    return 0;
}

// A piece.  1: there is more.  The content goes to the disk before the record that counts it: power may fail between
// the two.  Writing the record is a piece of its own: whoever has the file open can hold it up.
static int run_step(struct op *op)
{
    int r;

    if (op->step != COMMITS_RECORD) {
        op->work.slow = true; // a slow disk takes minutes for what the client has stored
        r = store_sync(op_store(op), op->file, op->record.owner_uid);
        if (r < 0 || op->step == COMMITS_DISK)
            return r;
        op->step = COMMITS_RECORD;
        return 1;
    }
    r = store_write_record(op_store(op), op->file, &op->record);
    if (r == 0)
        op->step = COMMITS_DISK;
    return r == 0 && op->durable ? 1 : r;
}

static enum work_status run_commit(struct op *op)
{
    int r = op->file < 0 ? op_open_file(op) : 0;

    if (r == 0)
        r = op->cancelled ? -ECANCELED : run_step(op);
    if (r > 0)
        return WORK_AGAIN;
    if (r == 0 && !op_seal(op))
        r = -ECANCELED;
    if (r < 0 && op->step == COMMITS_DISK) { // the record was written
        op->work.slow = false;
        op_restore_record(op);
    }
    return op_finish_run(op, r);
}

static void conclude_commit(struct op *op)
{
    if (op->result == 0)
        record_copy(&op->region->record, &op->record);
}

const struct op_type op_commit = {
    .tally = TALLY_COMMIT,
    .prepare = prepare_commit,
    .run = run_commit,
    .conclude = conclude_commit,
    .undoes = true,
    .is_news = true,
};
