// Discarding a part of a region, and restoring it.
//
// A discard gives whole blocks in the middle of a region back: it punches a hole into the file and returns the
// charge.  A restore charges the blocks and allocates them again, empty.  region->discarded is the set of blocks that
// are not granted. prepare makes the new set in op->discarded, so that conclude cannot run out of memory.
//
// The set is not written to the disk.  A daemon that starts anew finds it again as the holes of the file, for which
// it looks if the record says RECORD_HAS_HOLES; that flag is written before the first hole is made.
//
// Both work piece by piece.  An operation that fails is undone: blocks that a failed discard has punched are allocated
// again, blocks that a failed restore has allocated are punched.  If the disk refuses even that, the part that has no
// blocks any more is discarded, and the client asks which part that is: a byte without blocks is never a granted one.
#include <errno.h>

#include "daemon/op/bound.h"
#include "daemon/op/consent.h"
#include "daemon/op/op_internal.h"
#include "daemon/quota/charge.h"
#include "daemon/store/store.h"
#include "proto/spill/spillfile.h"
#include "proto/util/checked.h"

// A region in too many pieces is refused as by a limit, with the limit's name and numbers.
static int explain_pieces(struct op *op, int result)
{
    if (result == -EMFILE)
        op->refusal = (struct quota_refusal){
            .limit_name = "discarded ranges", .limit = RANGES_MAX, .used = op->region->discarded.n, .asked = 1};
    if (result < 0)
        ranges_deinit(&op->discarded);
    return result == -EMFILE ? -EUSERS : result;
}

// Whether the range is valid and ends at MOST or before.
static int check_range(const struct op *op, uint64_t most)
{
    const struct region *r = op->region;
    uint64_t end, mask = op->env->regions->block_size - 1;

    if (r->record.flags & RECORD_UNLINKED)
        return -ESTALE;
    if (!checked_add(op->offset, op->length, &end) || end > most || (op->offset | op->length) & mask)
        return -EINVAL;
    if (r->record.flags & RECORD_SPARSE || !store_guarantee(op_store(op))->can_discard)
        return -EOPNOTSUPP;
    return 0;
}

static int prepare_discard(struct op *op)
{
    struct region *r = op->region;
    int result = check_range(op, r->size);

    if (result < 0)
        return result;
    result = op_prepare_alone(op);
    if (result < 0)
        return result;
    op->extra = op->length - ranges_overlap(&r->discarded, op->offset, op->length);
    if (op->extra == 0)
        return OP_NOTHING_TO_DO;
    result = ranges_copy(&r->discarded, &op->discarded);
    if (result == 0)
        result = ranges_add(&op->discarded, op->offset, op->length);
    op->at = op->offset;
    record_copy(&op->record, &r->record);
    op->record.flags |= RECORD_HAS_HOLES;
    // Never instant: punching writes neighbouring pages to the disk, and waits for that.
    op_estimate(op, OP_FREES, op->extra);
    op->instant = false;
    return explain_pieces(op, result);
}

static int start_discard(struct op *op)
{
    int r = op_open_file(op);

    if (r == 0)
        r = op_check_alone(op);
    if (r < 0 || op->region->record.flags & RECORD_HAS_HOLES)
        return r;
    return store_write_record(op_store(op), op->file, &op->record);
}

// Moves *AT to the next byte that was granted before this operation.  Returns where those granted bytes end, END at
// most.
static uint64_t granted_until(const struct ranges *holes, uint64_t *at, uint64_t end)
{
    size_t i = ranges_find(holes, *at);

    if (i < holes->n && holes->items[i].offset <= *at) {
        *at = holes->items[i].offset + holes->items[i].length;
        i++;
    }
    return i < holes->n && holes->items[i].offset < end ? holes->items[i].offset : end;
}

// Adds what has no blocks between AT and END.
static int add_lost(const struct op *op, uint64_t at, uint64_t end, struct ranges *ret)
{
    struct ranges holes = {0};
    int r = spillfile_read_holes(op->file, op->region->size, op->env->regions->block_size, &holes);

    if (r < 0)
        r = ranges_add(ret, at, end - at);
    for (size_t i = ranges_find(&holes, at); r == 0 && i < holes.n && holes.items[i].offset < end; i++) {
        uint64_t from = u64_max(holes.items[i].offset, at);

        r = ranges_add(ret, from, u64_min(holes.items[i].offset + holes.items[i].length, end) - from);
    }
    ranges_deinit(&holes);
    return r;
}

// Blocks between AT and END can't be had again: they are what this operation discards.
static void keep_discarded(struct op *op, uint64_t at, uint64_t end)
{
    const struct ranges *before = &op->region->discarded;
    int r;

    ranges_deinit(&op->discarded);
    r = ranges_copy(before, &op->discarded);
    if (r == 0)
        r = add_lost(op, at, end, &op->discarded);
    if (r < 0) {
        op_report_missing_blocks(op, "discard");
        return;
    }
    op->extra = op->discarded.sum - before->sum;
    op->is_partial = true;
}

// Allocates again the blocks that were punched before END, but not those that had been discarded before.
static void undo_discard(struct op *op, uint64_t end)
{
    uint64_t at = op->offset, until;

    while ((until = granted_until(&op->region->discarded, &at, end)) > at)
        if (store_allocate_piece(op_store(op), op->file, &at, until) < 0) {
            keep_discarded(op, at, end);
            return;
        }
}

static enum work_status run_discard(struct op *op)
{
    uint64_t end = op->offset + op->length, to;
    int r = op->file < 0 ? start_discard(op) : 0;

    if (r < 0)
        return op_finish_run(op, r);
    // Pieces end at multiples of their size, which no large page crosses: so none has to be written out for its other
    // half.
    to = u64_min((op->at | (SPILLFILE_PIECE - 1)) + 1, end);
    r = store_punch(op_store(op), op->file, op->at, to - op->at);
    if (r < 0)
        undo_discard(op, to);
    op->at = to;
    return r < 0 || to == end ? op_finish_run(op, r) : WORK_AGAIN;
}

static void take_ranges(struct op *op)
{
    ranges_deinit(&op->region->discarded);
    op->region->discarded = op->discarded;
    op->discarded = (struct ranges){0};
}

static void conclude_discard(struct op *op)
{
    op_conclude_alone(op);
    if (op->result == 0 || op->is_partial) {
        take_ranges(op);
        record_copy(&op->region->record, &op->record);
        quota_charge_sub(&op->region->charge, QUOTA_BYTES, op->extra);
    }
    ranges_deinit(&op->discarded);
}

const struct op_type op_discard = {
    .tally = TALLY_DISCARD,
    .changes_file = true,
    .prepare = prepare_discard,
    .run = run_discard,
    .conclude = conclude_discard,
    .releases = true,
    .asks_consent = true,
    .is_news = true,
};

static int prepare_restore(struct op *op)
{
    struct region *r = op->region;
    uint64_t most;
    // The last block may be discarded though the size ends inside it: a shrink leaves it so.
    int result = region_charge_of(op->env->regions, r->size, &most);

    if (result == 0)
        result = check_range(op, most);
    if (result < 0)
        return result;
    op->extra = ranges_overlap(&r->discarded, op->offset, op->length);
    if (op->extra == 0)
        return OP_NOTHING_TO_DO;
    result = op_check_frozen(op);
    if (result == 0)
        result = ranges_copy(&r->discarded, &op->discarded);
    if (result == 0)
        result = ranges_remove(&op->discarded, op->offset, op->length);
    if (result == 0)
        result = quota_charge_add(&r->charge, QUOTA_BYTES, op->extra, &op->refusal);
    op->bound = r->charge.amount[QUOTA_BYTES];
    op->at = op->offset;
    op_estimate(op, OP_ALLOCATES, op->extra);
    return explain_pieces(op, result);
}

// The next bytes of the range from op->at on that had no blocks before this operation.
static bool next_hole(const struct op *op, uint64_t *ret_from, uint64_t *ret_end)
{
    const struct ranges *holes = &op->region->discarded;
    uint64_t end = op->offset + op->length, from, to;
    size_t i = ranges_find(holes, op->at);

    if (i == holes->n || holes->items[i].offset >= end)
        return false;
    from = holes->items[i].offset;
    to = from + holes->items[i].length;
    *ret_from = u64_max(from, op->at);
    *ret_end = u64_min(to, end);
    return *ret_from < *ret_end;
}

static enum work_status undo_piece(struct op *op)
{
    uint64_t from, end;

    // The piece that failed may have been allocated in part: it is punched too.
    if (!next_hole(op, &from, &end) || from > op->reached)
        return op_finish_run(op, op->undo);
    end = u64_min(end, from + SPILLFILE_PIECE);
    // A second try may succeed.  If it fails too, these blocks stay in the file, and the next start charges them.
    if (store_punch(op_store(op), op->file, from, end - from) < 0)
        store_punch(op_store(op), op->file, from, end - from);
    op->at = end;
    return WORK_AGAIN;
}

static enum work_status undo_restore(struct op *op, int error)
{
    op->undo = error;
    op->reached = op->at;
    op->at = op->offset;
    return undo_piece(op);
}

static int start_restore(struct op *op)
{
    int r = op_open_file(op);

    if (r == 0)
        r = op_check_space(op, op->extra);
    if (r == 0)
        op_bound(op, op->file);
    return r;
}

static enum work_status run_restore(struct op *op)
{
    uint64_t from, end;
    int r = op->file < 0 ? start_restore(op) : 0;

    if (r < 0)
        return op_finish_run(op, r);
    if (op->undo)
        return undo_piece(op);
    if (op->cancelled)
        return undo_restore(op, -ECANCELED);
    if (!next_hole(op, &from, &end)) {
        r = op_check_kept(op);
        if (r == 0 && !op_seal(op))
            r = -ECANCELED;
        return r < 0 ? undo_restore(op, r) : op_finish_run(op, 0);
    }
    op->at = from;
    r = store_allocate_piece(op_store(op), op->file, &op->at, end);
    return r < 0 ? undo_restore(op, r) : WORK_AGAIN;
}

static void conclude_restore(struct op *op)
{
    if (op->result == 0) {
        take_ranges(op);
        quota_charge_tell(&op->region->charge);
    } else
        quota_charge_sub(&op->region->charge, QUOTA_BYTES, op->extra);
    ranges_deinit(&op->discarded);
}

const struct op_type op_restore = {
    .tally = TALLY_RESTORE,
    .changes_file = true,
    .prepare = prepare_restore,
    .run = run_restore,
    .conclude = conclude_restore,
    .charges = true,
    .undoes = true,
    .is_news = true,
};
