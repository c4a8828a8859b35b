// Growing and shrinking a region.
//
// A grow charges in prepare.  run then allocates blocks piece by piece at the end of the file, and writes the new
// size to the record last.  So a granted size always means bytes with blocks, and a client that maps them cannot run
// out of blocks.  A grow that fails or is cancelled frees the blocks again, piece by piece too, and conclude gives
// the charge back.
//
// A shrink writes the new size to the record, then cuts the file piece by piece, from its end.  Before, the client
// has unmapped the part, and the submitter has checked that the client knows the size.  conclude gives the charge
// back when the blocks are free.  A shrink that fails half-way allocates again what it cut: the content is gone,
// which the client had given up, but the bytes are granted still.  If the disk refuses even that, the region ends where
// its blocks end, and the client asks for its size: a byte without blocks is never a granted one.
//
// The record alone says what is granted.  Clients can change the size of their file, so that size is never believed.
// After a crash in the middle, the next start makes the file as long as the record says (store/scan.c).
#include <errno.h>
#include <string.h>

#include "daemon/log.h"
#include "daemon/op/ask.h"
#include "daemon/op/bound.h"
#include "daemon/op/consent.h"
#include "daemon/op/kept_file.h"
#include "daemon/op/op_internal.h"
#include "daemon/op/wait.h"
#include "daemon/quota/charge.h"
#include "daemon/store/store.h"
#include "daemon/user.h"
#include "proto/util/checked.h"

// The bytes of the last block, if the size ends inside it and it is discarded.  A grow grants that block again.
static uint64_t discarded_tail(const struct op *op)
{
    const struct region *r = op->region;
    uint64_t block = op->env->regions->block_size;

    return r->size % block ? ranges_overlap(&r->discarded, align_down(r->size, block), block) : 0;
}

static int charge_growth(struct op *op)
{
    struct region *r = op->region;
    int result = quota_check_region_size(&r->charge, r->size, op->size, &op->refusal);

    return result < 0 ? result : quota_charge_add(&r->charge, QUOTA_BYTES, op->extra, &op->refusal);
}

static int charge_early(struct op *op)
{
    if (wait_wants(op->env->wait, op))
        return -EXFULL;
    return quota_charge_add_early(&op->region->charge, QUOTA_BYTES, op->extra, op->size);
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
    result = op_check_frozen(op);
    if (result < 0)
        return result;
    op->extra = charge - r->charge.amount[QUOTA_BYTES] - r->discarded.sum + discarded_tail(op);
    result = op->early ? charge_early(op) : charge_growth(op);
    if (result < 0)
        return result;
    op->at = r->size;
    record_copy(&op->record, &r->record);
    op->record.granted = op->size;
    op->bound = r->charge.amount[QUOTA_BYTES];
    op_estimate(op, OP_ALLOCATES, op->extra);
    op_prepare_file(op);
    return 0;
}

// All blocks are allocated: commits the grow, if other programs have left enough of keep_free.
static int commit_growth(struct op *op)
{
    int r = op_takes_blocks(op) ? op_check_kept(op) : store_truncate(op_store(op), op->file, op->size);

    return r < 0 ? r : store_write_record(op_store(op), op->file, &op->record);
}

// Frees the last block again that the grow has granted.
static void discard_tail(struct op *op)
{
    struct store *store = op_store(op);
    uint64_t block = op->env->regions->block_size, size = op->region->size, from = align_down(size, block);

    // If the block cannot be punched, cut it off and set the size again: it was discarded and has no content to lose.
    if (store_punch(store, op->file, from, block) < 0 && store_truncate(store, op->file, from) == 0)
        store_truncate(store, op->file, size);
}

// Frees one piece of what was allocated.  If that fails, blocks that nobody is charged for stay until the next start.
static enum work_status undo_piece(struct op *op)
{
    uint64_t size = op->region->size;

    if (op->at - size > SPILLFILE_PIECE && store_truncate(op_store(op), op->file, op->at - SPILLFILE_PIECE) == 0) {
        op->at -= SPILLFILE_PIECE;
        return WORK_AGAIN;
    }
    store_truncate(op_store(op), op->file, size);
    if (discarded_tail(op) > 0)
        discard_tail(op);
    return op_finish_run(op, op->undo);
}

static enum work_status undo_growth(struct op *op, int error)
{
    op->undo = error;
    return undo_piece(op);
}

static enum work_status run_grow(struct op *op)
{
    int r;

    if (op->file < 0) {
        r = op_take_file(op);
        if (r < 0)
            return op_finish_run(op, r);
        r = op_check_space(op, op_takes_blocks(op) ? op->extra : 0);
        if (r < 0)
            return op_finish_run(op, r);
        op_bound(op, op->file);
    }
    if (op->undo)
        return undo_piece(op);
    if (op->cancelled)
        return undo_growth(op, -ECANCELED);
    if (op_takes_blocks(op) && op->at < op->size) {
        r = op_extend_piece(op, op->size);
        if (r < 0)
            return undo_growth(op, r);
        if (op->at < op->size)
            return WORK_AGAIN;
    }
    r = op->cancelled ? -ECANCELED : commit_growth(op);
    if (r == 0 && !op_seal(op))
        r = op_restore_record(op);
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
        ranges_cut(&r->discarded, align_down(r->size, op->env->regions->block_size));
    r->size = op->size;
    r->record.granted = op->size;
    quota_charge_tell(&r->charge);
}

const struct op_type op_grow = {
    .tally = TALLY_GROW,
    .changes_file = true,
    .prepare = prepare_grow,
    .run = run_grow,
    .conclude = conclude_grow,
    .charges = true,
    .undoes = true,
    .is_news = true,
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
    record_copy(&op->record, &r->record);
    op->record.granted = op->size;
    op->record.used = u64_min(r->record.used, op->size);
    op_estimate(op, OP_FREES, r->size - op->size);
    return op_prepare_alone(op);
}

// Allocates again what was cut, but for what was discarded before.
static int grant_again(struct op *op)
{
    struct store *store = op_store(op);
    const struct region *region = op->region;
    int r = 0;

    if (!op_takes_blocks(op))
        return store_truncate(store, op->file, region->size);
    for (uint64_t at = op->at; r == 0 && at < region->size;)
        r = store_extend_piece(store, op->file, &at, region->size);
    for (size_t i = ranges_find(&region->discarded, op->at); r == 0 && i < region->discarded.n; i++)
        r = store_punch(store, op->file, region->discarded.items[i].offset, region->discarded.items[i].length);
    return r;
}

// A truncate that fails may have cut the file all the same: op->at becomes where the file ends, new size at least.
static void find_end(struct op *op)
{
    static const struct ranges none;
    const struct store_grant grant = {.size = op->at, .discarded = &none, .sparse = true};
    struct store_deviation d;

    if (store_compare(op_store(op), op->file, &grant, false, &d) == 0)
        op->at -= u64_min(d.shorter, op->at - op->size);
}

// The blocks from op->at on can't be had again.
static void keep_cut(struct op *op)
{
    op->size = op->at;
    op->record.granted = op->size;
    op->record.used = u64_min(op->region->record.used, op->size);
    op->is_partial = true;
}

// The record may say too little then, or too much: the next start makes the file what its record says.
static void report_wrong_record(const struct op *op, int error)
{
    log_error("a shrink of a region of uid %u failed, and its record cannot be written: %s",
              op->region->record.owner_uid, strerror(-error));
}

static enum work_status undo_shrink(struct op *op, int error)
{
    struct store *store = op_store(op);
    int r;

    find_end(op);
    if (op->at < op->region->size && grant_again(op) < 0) {
        store_truncate(store, op->file, op->at);
        keep_cut(op);
    }
    r = store_write_record(store, op->file, op->is_partial ? &op->record : &op->region->record);
    if (r < 0)
        report_wrong_record(op, r);
    return op_finish_run(op, error);
}

static enum work_status run_shrink(struct op *op)
{
    uint64_t to;
    int r;

    if (op->file < 0) {
        r = op_open_file(op);
        if (r < 0)
            return op_finish_run(op, r);
        op->at = op->region->size;
        r = op_check_alone(op);
        if (r == 0)
            r = store_write_record(op_store(op), op->file, &op->record);
        if (r < 0)
            return op_finish_run(op, r);
    }
    to = op->at - op->size > SPILLFILE_PIECE ? op->at - SPILLFILE_PIECE : op->size;
    r = store_truncate(op_store(op), op->file, to);
    if (r < 0)
        return undo_shrink(op, r);
    op->at = to;
    return to > op->size ? WORK_AGAIN : op_finish_run(op, 0);
}

static void conclude_shrink(struct op *op)
{
    struct region *r = op->region;
    uint64_t charge;

    op_conclude_alone(op);
    if (op->result == 0)
        op_ask_end(op);
    if ((op->result < 0 && !op->is_partial) || region_charge_of(op->env->regions, op->size, &charge) < 0)
        return;
    ranges_cut(&r->discarded, charge);
    record_copy(&r->record, &op->record);
    quota_charge_sub(&r->charge, QUOTA_BYTES, r->charge.amount[QUOTA_BYTES] - (charge - r->discarded.sum));
    r->size = op->size;
}

const struct op_type op_shrink = {
    .tally = TALLY_SHRINK,
    .changes_file = true,
    .prepare = prepare_shrink,
    .refused = op_ask_failed,
    .run = run_shrink,
    .conclude = conclude_shrink,
    .releases = true,
    .asks_consent = true,
    .is_news = true,
};
