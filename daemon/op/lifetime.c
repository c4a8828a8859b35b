// Making a region, and taking its name away.  op/reap.c removes regions.
//
// op_create charges, makes a file without a name, allocates its blocks, writes the record and links the file into the
// owner's directory last.  Should the daemon end before that, nothing is left on the disk.
//
// op_unlink only writes to the record that the region has lost its name; from then on nobody can open it.  The region
// stays, charged, as long as a client has it attached.  Then it is an orphan as any region without a name.
#include <errno.h>
#include <fcntl.h>

#include "daemon/op/bound.h"
#include "daemon/op/consent.h"
#include "daemon/op/kept_file.h"
#include "daemon/op/op_internal.h"
#include "daemon/op/wait.h"
#include "daemon/quota/charge.h"
#include "daemon/store/store.h"
#include "daemon/user.h"

int op_charge_creation(struct op *op)
{
    struct quota_charge *c = &op->region->charge;
    int result = quota_check_region_size(c, 0, op->size, &op->refusal);

    if (result == 0)
        result = quota_charge_add(c, QUOTA_REGIONS, 1, &op->refusal);
    if (result < 0)
        return result;
    result = quota_charge_add(c, QUOTA_BYTES, op->extra, &op->refusal);
    if (result < 0)
        quota_charge_sub(c, QUOTA_REGIONS, 1);
    return result;
}

void op_note_cgroup(struct op *op)
{
    const struct quota_job *job = op->region->charge.job;

    op->cgroup = quota_job_is_counted(job) ? quota_job_path(job) : NULL;
}

// On a worker: gives the new file its name, which makes it a region.
int op_link(struct op *op)
{
    int r = op->cgroup ? store_write_cgroup(op_store(op), op->file, op->cgroup) : 0;

    return r < 0 ? r : store_link(op_store(op), op->file, &op->record);
}

void op_give_back_creation(struct op *op)
{
    quota_charge_sub(&op->region->charge, QUOTA_BYTES, op->extra);
    quota_charge_sub(&op->region->charge, QUOTA_REGIONS, 1);
}

static int charge_early(struct op *op)
{
    struct quota_charge *c = &op->region->charge;
    int result = wait_wants(op->env->wait, op) ? -EXFULL : quota_charge_add_early(c, QUOTA_REGIONS, 1, op->size);

    if (result < 0)
        return result;
    result = quota_charge_add_early(c, QUOTA_BYTES, op->extra, op->size);
    if (result < 0)
        quota_charge_sub(c, QUOTA_REGIONS, 1);
    return result;
}

// The submitter has entered the region into the tables as REGION_BEING_MADE, so that its handle and name are taken.
static int prepare_create(struct op *op)
{
    struct region *r = op->region;
    int result = region_charge_of(op->env->regions, op->size, &op->extra);

    if (result == 0)
        result = op->early ? charge_early(op) : op_charge_creation(op);
    if (result < 0)
        return result;
    op_note_cgroup(op);
    op->at = 0; // prepare may follow a try that had allocated something
    record_copy(&op->record, &r->record);
    op->record.granted = op->size;
    op->bound = op->extra;
    op_note_unused(op);
    op_estimate(op, OP_ALLOCATES, op->extra);
    // A user's first region may need the user's directory, which takes longer.
    op->instant = op->instant && quota_user_used(r->owner->quota, QUOTA_REGIONS) > 1 && op_may_open_instantly(op);
    op_prepare_new_file(op);
    return 0;
}

static void refused_create(struct op *op)
{
    region_remove(op->env->regions, op->region);
}

static int start_create(struct op *op)
{
    int r = op_check_space(op, op_takes_blocks(op) ? op->extra : 0);

    if (r == 0)
        r = store_create(op_store(op), op->region->record.owner_uid, &op->file);
    if (r == 0)
        op_bound(op, op->file);
    return r;
}

// Gives the file its name, which makes it a region, and opens the file by that name for the client: so /proc shows the
// name, and no other descriptor shares the offset.
static int finish_create(struct op *op)
{
    struct record *record = &op->record;
    struct store *store = op_store(op);
    int r = op->at > 0 ? op_check_kept(op) : 0;

    if (r == 0 && op->at < op->size)
        r = store_truncate(store, op->file, op->size);
    if (r == 0)
        r = op_link(op);
    if (r < 0)
        return r;
    r = op_open_for_client(op, O_RDWR, true);
    if (r < 0)
        store_unlink(store, record->owner_uid, &record->handle);
    return r;
}

static enum work_status run_create(struct op *op)
{
    int r = 0;

    if (op->cancelled)
        r = -ECANCELED;
    else if (op->file < 0)
        r = start_create(op);
    if (r == 0 && op_takes_blocks(op) && op->at < op->size) {
        r = op_extend_piece(op, op->size);
        if (r == 0 && op->at < op->size)
            return WORK_AGAIN;
    }
    if (r == 0)
        r = finish_create(op);
    if (r == 0)
        return op_keep_file(op);
    // A failure needs no undoing on the disk: the file has no name, and closing it frees its blocks.
    op_finish_run(op, r);
    op_unbound(op);
    return WORK_DONE;
}

static void conclude_create(struct op *op)
{
    if (op->result < 0) {
        op_give_back_creation(op);
        return;
    }
    op->region->size = op->size;
    record_copy(&op->region->record, &op->record);
    op->region->generation = op->generation;
    op->region->state = REGION_LIVE;
    op_report(op, REPORT_CREATED, NULL);
    quota_charge_tell(&op->region->charge);
}

const struct op_type op_create = {
    .tally = TALLY_CREATE,
    .prepare = prepare_create,
    .refused = refused_create,
    .run = run_create,
    .conclude = conclude_create,
    .charges = true,
    .makes_region = true,
};

static int prepare_unlink(struct op *op)
{
    if (op->region->record.flags & RECORD_UNLINKED)
        return OP_NOTHING_TO_DO;
    record_copy(&op->record, &op->region->record);
    op->record.flags |= RECORD_UNLINKED;
    op->record.name_length = 0;
    op->record.name[0] = '\0';
    op->instant = true;
    return 0;
}

static enum work_status run_unlink(struct op *op)
{
    int r = op_open_file(op);

    if (r == 0)
        r = store_write_record(op_store(op), op->file, &op->record);
    if (r == 0 && !op_seal(op))
        r = op_restore_record(op);
    return op_finish_run(op, r);
}

static void conclude_unlink(struct op *op)
{
    // An administrator may have removed the file by hand: the region loses its name all the same, and op_reap does
    // the rest.
    if (op->result == -ENOENT)
        op->result = 0;
    if (op->result < 0)
        return;
    op_report(op, REPORT_UNLINKED, NULL);
    region_drop_name(op->env->regions, op->region);
    op->region->record.flags |= RECORD_UNLINKED;
}

const struct op_type op_unlink = {
    .tally = TALLY_UNLINK,
    .prepare = prepare_unlink,
    .run = run_unlink,
    .conclude = conclude_unlink,
    .releases = true,
    .undoes = true,
    .is_news = true,
};
