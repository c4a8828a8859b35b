// Growing: charge, blocks, size, answer.  Shrinking: (the client has taken the access away) size, release, answer.
#include <errno.h>
#include <fcntl.h>

#include "daemon/op.h"
#include "daemon/store.h"
#include "daemon/user.h"

enum { BRIEF_BYTES = 64 << 20 };

// A last block that is partly behind the size and discarded is granted again by a grow: its rest is new.
static uint64_t discarded_tail(const struct op *op)
{
    const struct region *r = op->region;
    uint64_t block = op->env->regions->block_size;

    return r->size % block ? ranges_overlap(&r->discarded, r->size - r->size % block, block) : 0;
}

static int prepare_grow(struct op *op)
{
    struct region *r = op->region;
    uint64_t charge;
    int result = region_charge_of(op->env->regions, op->size, &charge);

    if (result < 0)
        return result;
    if (r->record.flags & RECORD_UNLINKED)
        return -ESTALE;
    if (op->size <= r->size)
        return OP_NOTHING_TO_DO;
    result = quota_check_region_size(r->owner->quota, r->size, op->size, &op->refusal);
    if (result < 0)
        return result;
    op->extra = charge - r->charge.amount[QUOTA_BYTES] - r->discarded.sum + discarded_tail(op);
    result = quota_charge_add(&r->charge, QUOTA_BYTES, op->extra, &op->refusal);
    if (result < 0)
        return result;
    op->at = r->size;
    op->brief = op->extra <= BRIEF_BYTES;
    return 0;
}

static bool is_sparse(const struct op *op)
{
    return op->region->record.flags & RECORD_SPARSE;
}

// All pieces are granted: the size makes it true.  What others took of the disk meanwhile may have come out of keep_free.
static int commit_growth(struct op *op)
{
    int r = is_sparse(op) ? 0 : op_check_kept(op);

    return r < 0 ? r : store_truncate(op->env->store, op->file, op->size);
}

static enum work_status undo_growth(struct op *op, int error)
{
    if (error == -ENOSPC && !op->refusal.limit_name[0])
        op_explain_full_disk(op, op->extra);
    // Best effort: blocks that stay behind the end are dropped at the next start.
    store_truncate(op->env->store, op->file, op->region->size);
    if (discarded_tail(op) > 0)
        store_punch(op->env->store, op->file, op->region->size - op->region->size % op->env->regions->block_size,
                    op->env->regions->block_size);
    return op_finish_run(op, error);
}

static enum work_status run_grow(struct op *op)
{
    struct region *region = op->region;
    int r;

    if (op->file < 0) {
        op->file = store_open_file(op->env->store, region->record.owner_uid, &region->record.handle, O_RDWR);
        if (op->file < 0)
            return op_finish_run(op, op->file);
        r = op_check_space(op, is_sparse(op) ? 0 : op->extra);
        if (r < 0)
            return op_finish_run(op, r);
    }
    if (op->cancelled)
        return undo_growth(op, -ECANCELED);
    if (!is_sparse(op) && op->at < op->size) {
        r = store_allocate_piece(op->env->store, op->file, &op->at, op->size);
        if (r < 0)
            return undo_growth(op, r);
        if (op->at < op->size)
            return WORK_AGAIN;
    }
    r = op->cancelled ? -ECANCELED : commit_growth(op);
    return r < 0 ? undo_growth(op, r) : op_finish_run(op, 0);
}

static void conclude_grow(struct op *op)
{
    struct region *r = op->region;

    if (op->result < 0) {
        quota_charge_sub(&r->charge, QUOTA_BYTES, op->extra);
        return;
    }
    if (discarded_tail(op) > 0)
        ranges_cut(&r->discarded, r->size - r->size % op->env->regions->block_size);
    r->size = op->size;
}

const struct op_type op_grow = {prepare_grow, NULL, run_grow, conclude_grow, true, false};

static int prepare_shrink(struct op *op)
{
    struct region *r = op->region;

    if (r->record.flags & RECORD_UNLINKED)
        return -ESTALE;
    if (op->known_size != r->size)
        return -ESTALE;
    if (op->size > r->size)
        return -EINVAL;
    if (op->size == r->size)
        return OP_NOTHING_TO_DO;
    // Nothing that a live process maps is cut without its consent.
    if (region_is_shared(r))
        return -EBUSY;
    op->brief = r->size - op->size <= BRIEF_BYTES;
    return 0;
}

static enum work_status run_shrink(struct op *op)
{
    const struct record *record = &op->region->record;

    op->file = store_open_file(op->env->store, record->owner_uid, &record->handle, O_RDWR);
    if (op->file < 0)
        return op_finish_run(op, op->file);
    return op_finish_run(op, store_truncate(op->env->store, op->file, op->size));
}

static void conclude_shrink(struct op *op)
{
    struct region *r = op->region;
    uint64_t charge;

    if (op->result < 0 || region_charge_of(op->env->regions, op->size, &charge) < 0)
        return;
    ranges_cut(&r->discarded, charge);
    if (r->record.used > op->size)
        r->record.used = op->size;
    quota_charge_sub(&r->charge, QUOTA_BYTES, r->charge.amount[QUOTA_BYTES] - (charge - r->discarded.sum));
    r->size = op->size;
}

const struct op_type op_shrink = {prepare_shrink, NULL, run_shrink, conclude_shrink, false, true};
