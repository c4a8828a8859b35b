// Growing: charge, blocks, size, answer.  Shrinking: (the client has taken the access away) size, release, answer.
#include <errno.h>
#include <fcntl.h>

#include "daemon/log.h"
#include "daemon/op/op_internal.h"
#include "daemon/op/wait.h"
#include "daemon/store/store.h"
#include "daemon/user.h"

// A last block that is partly behind the size and discarded is granted again by a grow: its rest is new.
static uint64_t discarded_tail(const struct op *op)
{
    const struct region *r = op->region;
    uint64_t block = op->env->regions->block_size;

    return r->size % block ? ranges_overlap(&r->discarded, r->size - r->size % block, block) : 0;
}

static int charge_growth(struct op *op)
{
    struct region *r = op->region;
    int result = quota_check_region_size(r->owner->quota, r->size, op->size, &op->refusal);

    return result < 0 ? result : quota_charge_add(&r->charge, QUOTA_BYTES, op->extra, &op->refusal);
}

static int charge_early(struct op *op)
{
    if (wait_wants(op->env->wait, op))
        return -EXFULL;
    return quota_charge_add_early(&op->region->charge, op->extra, op->size);
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
    op->extra = charge - r->charge.amount[QUOTA_BYTES] - r->discarded.sum + discarded_tail(op);
    result = op->early ? charge_early(op) : charge_growth(op);
    if (result < 0)
        return result;
    op->at = r->size;
    op_estimate(op, OP_ALLOCATES, op->extra);
    op_prepare_file(op);
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

static void discard_tail(struct op *op)
{
    struct store *store = op->env->store;
    uint64_t block = op->env->regions->block_size, size = op->region->size, from = size - size % block;

    // What cannot be punched goes with the size, which comes back: there is no content that could be lost.
    if (store_punch(store, op->file, from, block) < 0 && store_truncate(store, op->file, from) == 0)
        store_truncate(store, op->file, size);
}

// A piece of it.  Best effort: blocks that stay behind the end are dropped at the next start.
static enum work_status undo_piece(struct op *op)
{
    uint64_t size = op->region->size;

    if (op->at - size > SPILLFILE_PIECE && store_truncate(op->env->store, op->file, op->at - SPILLFILE_PIECE) == 0) {
        op->at -= SPILLFILE_PIECE;
        return WORK_AGAIN;
    }
    store_truncate(op->env->store, op->file, size);
    if (discarded_tail(op) > 0)
        discard_tail(op);
    return op_finish_run(op, op->undo);
}

static enum work_status undo_growth(struct op *op, int error)
{
    op_explain_full_disk(op, error);
    op->undo = error;
    // Only what is below the size can be freed in pieces. Nobody looks there; and who starts anew meanwhile finds a region that is larger
    // than its client knows, and all of it granted.
    if (op->at - op->region->size > SPILLFILE_PIECE && store_truncate(op->env->store, op->file, op->at) < 0)
        op->at = op->region->size;
    return undo_piece(op);
}

static enum work_status run_grow(struct op *op)
{
    int r;

    if (op->file < 0) {
        r = op_take_file(op);
        if (r < 0)
            return op_finish_run(op, r);
        r = op_check_space(op, is_sparse(op) ? 0 : op->extra);
        if (r < 0)
            return op_finish_run(op, r);
    }
    if (op->undo)
        return undo_piece(op);
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
    return r < 0 ? undo_growth(op, r) : op_keep_file(op);
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
    if (op->early)
        quota_charge_tell(&r->charge);
}

const struct op_type op_grow = {
    .prepare = prepare_grow,
    .run = run_grow,
    .conclude = conclude_grow,
    .charges = true,
    .keeps_file = true,
};

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
    op_estimate(op, OP_FREES, r->size - op->size);
    return 0;
}

static int grant_again(struct op *op)
{
    struct store *store = op->env->store;
    const struct region *region = op->region;
    int r = 0;

    for (uint64_t at = op->at; r == 0 && !is_sparse(op) && at < region->size;)
        r = store_allocate_piece(store, op->file, &at, region->size);
    if (r == 0)
        r = store_truncate(store, op->file, region->size);
    for (size_t i = ranges_find(&region->discarded, op->at); r == 0 && i < region->discarded.n; i++)
        r = store_punch(store, op->file, region->discarded.items[i].offset, region->discarded.items[i].length);
    return r;
}

// It failed on the way: what was cut is granted again. Its content is lost, which the client had given up.
static enum work_status undo_shrink(struct op *op, int error)
{
    if (op->at < op->region->size && grant_again(op) < 0)
        log_error("a shrink failed and cannot be undone: bytes of a region of uid %u are granted without blocks",
                  op->region->record.owner_uid);
    return op_finish_run(op, error);
}

// A crash in between leaves a size in between: its client asks for it, and shrinks from there.
static enum work_status run_shrink(struct op *op)
{
    const struct record *record = &op->region->record;
    uint64_t to;
    int r;

    if (op->file < 0) {
        op->file = store_open_file(op->env->store, record->owner_uid, &record->handle, O_RDWR);
        if (op->file < 0)
            return op_finish_run(op, op->file);
        op->at = op->region->size;
    }
    to = op->at - op->size > SPILLFILE_PIECE ? op->at - SPILLFILE_PIECE : op->size;
    r = store_truncate(op->env->store, op->file, to);
    if (r < 0)
        return undo_shrink(op, r);
    op->at = to;
    return to > op->size ? WORK_AGAIN : op_finish_run(op, 0);
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

const struct op_type op_shrink = {
    .prepare = prepare_shrink,
    .run = run_shrink,
    .conclude = conclude_shrink,
    .releases = true,
    .asks_consent = true,
};
