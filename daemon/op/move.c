// Moving a region to another disk.
//
// Nobody has the region attached, no process maps it (the kernel says so), and it has a name: other regions go with
// their holders.  The operation is at work in the region's queue all the time, so nothing else changes the file.  The
// copy is charged as well as the region while both are there.
//
// At each moment exactly one of the two files is the region, whenever the daemon is killed and whichever disk its
// successor finds.  The records say which one:
//
//   1. A new file without a name gets blocks and content.  It is nothing to a successor.
//   2. The new file gets its name, with RECORD_INCOMING: the region is the other file, unless that says otherwise.
//      All of it is written to the disk.
//   3. The record of the old file gets RECORD_MOVED, on the disk: from here on the region is the new file.
//   4. The record of the new file loses RECORD_INCOMING, on the disk.
//   5. The old file is cut, and removed.
//
// A successor that finds two files ends what was begun, and one that finds only one file, with RECORD_INCOMING or
// RECORD_MOVED, waits for the other disk (daemon/halves.c).
//
// Before step 3 the operation can be undone.
#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#include "daemon/log.h"
#include "daemon/op/bound.h"
#include "daemon/op/consent.h"
#include "daemon/op/op_internal.h"
#include "daemon/op/wait.h"
#include "daemon/quota/charge.h"
#include "daemon/store/store.h"
#include "daemon/user.h"
#include "proto/util/cleanup.h"

enum step { COPYING, SWITCHING, CUTTING };

static int refuse(struct op *op, int error, const char *why)
{
    op->why = why;
    return error;
}

// Why the region does not move.
static int check(struct op *op)
{
    const struct region *r = op->region;

    if (r->state != REGION_LIVE || r->record.flags & RECORD_UNLINKED)
        return -ESTALE;
    if (region_is_transient(r))
        return refuse(op, -EINVAL, "an anonymous region goes with its last holder: it does not move");
    if (r->disk == op->to)
        return refuse(op, -EEXIST, "the region is on that disk already");
    if (r->holders.n_attached > 0)
        return refuse(op, -EBUSY, "a program has the region attached: it moves when nobody uses it");
    if (r->n_readers > 0)
        return refuse(op, -EBUSY, "the region is being cloned: try again later");
    if (op->to->problem)
        return refuse(op, -EIO, op->to->problem);
    if (r->discarded.n > 0 && !store_guarantee(op->to->store)->can_discard)
        return refuse(op, -EOPNOTSUPP,
                      "parts of the region are discarded, which the file system of that disk cannot tell");
    return 0;
}

static int charge(struct op *op)
{
    struct region *r = op->region;
    int result;

    quota_charge_init(&op->copy, r->owner->quota);
    quota_charge_set_job(&op->copy, r->charge.job);
    quota_charge_set_tally(&op->copy, op_takes_blocks(op) ? &op->to->granted : &op->to->sparse);
    op->moves = true;
    result = op->is_forced ? quota_charge_force(&op->copy, QUOTA_BYTES, op->extra)
                           : quota_charge_add(&op->copy, QUOTA_BYTES, op->extra, &op->refusal);
    if (result < 0)
        op_move_forget(op);
    return result;
}

void op_move_forget(struct op *op)
{
    if (!op->moves)
        return;
    quota_charge_deinit(&op->copy);
    op->moves = false;
    cleanup_close(&op->from);
    cleanup_close(&op->old_file);
    op->from = op->old_file = -1;
}

static int prepare_move(struct op *op)
{
    const struct region *r = op->region;
    int result = check(op);

    if (result < 0)
        return result;
    ranges_deinit(&op->discarded);
    op->size = r->size;
    op->extra = r->charge.amount[QUOTA_BYTES];
    op->step = COPYING;
    op->at = 0;
    op->copied = 0;
    op->has_moved = op->is_left_behind = false;
    op->project = (struct project){0};
    result = ranges_copy(&r->discarded, &op->discarded);
    if (result == 0)
        result = charge(op);
    if (result < 0)
        return result;
    op_note_cgroup(op);
    op->bound = op->extra;
    record_copy(&op->record, &r->record);
    op->record.flags |= RECORD_INCOMING;
    op->brief = op->instant = false;
    return 0;
}

static void refused_move(struct op *op)
{
    ranges_deinit(&op->discarded);
}

static int check_unused(struct op *op)
{
    int r = store_is_unused(op->from);

    return r == 0 ? refuse(op, -EBUSY, "a process maps the region: it moves when nobody uses it") : r < 0 ? r : 0;
}

static int start(struct op *op)
{
    int r;

    op->from = op_open_fd(op, O_RDONLY);
    if (op->from < 0)
        return op->from;
    r = check_unused(op);
    if (r == 0)
        r = op_check_space(op, op_takes_blocks(op) ? op->extra : 0);
    if (r == 0)
        r = store_create(op_store(op), op->record.owner_uid, &op->file);
    if (r == 0)
        op_bound(op, op->file);
    return r;
}

static void unlink_new_file(struct op *op)
{
    store_unlink(op_store(op), op->record.owner_uid, &op->record.handle);
}

// Step 2: now there are two files.
static int link_new_file(struct op *op)
{
    int r = op_check_kept(op);

    if (r == 0)
        r = store_truncate(op_store(op), op->file, op->size);
    if (r == 0)
        r = op_link(op);
    if (r == -EEXIST) // to a client that would mean that the region is there already
        return refuse(op, -EIO,
                      "an earlier move has left a file of the region in that spill directory: the next start of the "
                      "daemon removes it");
    if (r < 0)
        return r;
    r = store_sync(op_store(op), op->file, op->record.owner_uid);
    if (r == 0)
        r = check_unused(op);
    if (r < 0)
        unlink_new_file(op);
    return r;
}

// Writes to the former file that it is the region, or that it is not any more.  On the disk after sync_old_record only.
static int write_old_record(struct op *op, bool moved)
{
    struct record record;

    record_copy(&record, &op->region->record);
    if (moved)
        record.flags |= RECORD_MOVED;
    return store_write_record(op->region->disk->store, op->old_file, &record);
}

static int sync_old_record(struct op *op)
{
    return store_sync(op->region->disk->store, op->old_file, op->region->record.owner_uid);
}

// Step 4.  If it fails, the region is the new file all the same, as long as the former one is there.
static void complete_new_file(struct op *op)
{
    struct store *store = op_store(op);
    int r;

    op->has_moved = true;
    op->record.flags &= ~(uint32_t)RECORD_INCOMING;
    r = store_write_record(store, op->file, &op->record);
    if (r == 0)
        r = store_sync(store, op->file, op->record.owner_uid);
    op->is_left_behind = r < 0;
}

// The former file says that it is not the region any more, but perhaps not on the disk.
static int go_back(struct op *op, int error)
{
    // A disk that fails like this is about to go, and the new file is whole.  It must not stay INCOMING: the former
    // file may come back as it was, and a successor would then remove what programs have stored since.
    if (write_old_record(op, false) < 0) {
        complete_new_file(op);
        op->is_left_behind = true;
        return 0;
    }
    // Whatever a power failure leaves of the former file's record, the new file is of use only if that is MOVED.
    if (sync_old_record(op) == 0)
        unlink_new_file(op);
    return error;
}

// Steps 3 and 4.
static int switch_files(struct op *op)
{
    int r;

    op->old_file = op_open_fd(op, O_RDWR);
    r = op->old_file < 0 ? op->old_file : 0;
    if (r == 0 && !op_seal(op))
        r = -ECANCELED;
    if (r == 0)
        r = write_old_record(op, true);
    if (r < 0) {
        unlink_new_file(op);
        return r;
    }
    r = sync_old_record(op);
    if (r < 0)
        return go_back(op, r);
    complete_new_file(op);
    return 0;
}

// Step 5.  1: there is more.
static int cut_piece(struct op *op)
{
    const struct record *record = &op->region->record;
    struct store *store = op->region->disk->store;
    int r;

    op->at = op->at > SPILLFILE_PIECE ? op->at - SPILLFILE_PIECE : 0;
    r = store_truncate(store, op->old_file, op->at);
    if (r == 0 && op->at > 0)
        return 1;
    if (r == 0)
        r = store_unlink(store, record->owner_uid, &record->handle);
    op->is_left_behind = r < 0;
    if (r == 0)
        projects_release(op->region->disk->projects, &op->region->project);
    return 0;
}

static int run_step(struct op *op)
{
    int r;

    switch ((enum step)op->step) {
    case COPYING:
        r = op->file < 0 ? start(op) : 0;
        r = r == 0 ? op_copy_piece(op) : r;
        if (r != 0)
            return r;
        op->step = SWITCHING;
        return 1;
    case SWITCHING:
        r = link_new_file(op);
        if (r == 0)
            r = switch_files(op);
        if (r < 0 || op->is_left_behind)
            return r;
        op->step = CUTTING;
        op->at = op->size;
        return 1;
    case CUTTING:
        break;
    }
    return cut_piece(op);
}

static enum work_status run_move(struct op *op)
{
    int r;

    // No process has the files open, so none holds their locks: what takes long is one of the disks.  Writing out what
    // programs have stored in the former file may take minutes.
    op->work.slow = true;
    r = op->cancelled && op->step == COPYING ? -ECANCELED : run_step(op);
    if (r > 0)
        return WORK_AGAIN;
    cleanup_close(&op->from);
    cleanup_close(&op->old_file);
    op->from = op->old_file = -1;
    op_finish_run(op, r);
    if (r < 0)
        op_unbound(op); // a file that was given no name is gone
    return WORK_DONE;
}

static void conclude_move(struct op *op)
{
    struct region *r = op->region;

    // Also when this operation has refused for the sake of others (wait_holds_back).
    if (!op->has_moved) {
        op_move_forget(op);
        return;
    }
    if (op->is_left_behind)
        log_warning(
            "a region of uid %u has moved to %s, and its former file in %s cannot be removed: the next start of "
            "the daemon tries again",
            r->record.owner_uid, store_dir(op->to->store), store_dir(r->disk->store));
    op_move_forget(op);
    region_set_disk(r, op->to);
    record_copy(&r->record, &op->record);
    r->project = op->project;
    r->has_odd_end = false;
    r->generation = 0;
    holders_forget(&r->holders);
    ranges_deinit(&op->discarded);
    wait_poke(op->env->wait);
}

const struct op_type op_move = {
    .tally = TALLY_MOVE,
    .prepare = prepare_move,
    .refused = refused_move,
    .run = run_move,
    .conclude = conclude_move,
    .charges = true,
    .undoes = true,
};
