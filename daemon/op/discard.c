// Giving a part of a region back, and granting it again. What is discarded is a set of whole blocks, kept in the table and
// found again at start as the file's holes: nothing more is written down but that there are some.
#include <errno.h>
#include <fcntl.h>
#include <string.h>

#include "daemon/log.h"
#include "daemon/op/op_internal.h"
#include "daemon/store/store.h"
#include "daemon/user.h"
#include "proto/util/checked.h"

// Too many pieces is a limit like others, and says which.
static int explain_pieces(struct op *op, int result)
{
    if (result == -EMFILE)
        op->refusal = (struct quota_refusal){
            .limit_name = "discarded ranges", .limit = RANGES_MAX, .used = op->region->discarded.n, .asked = 1};
    if (result < 0)
        ranges_deinit(&op->discarded);
    return result == -EMFILE ? -EUSERS : result;
}

// MOST: where the range must end at the latest.
static int check_range(const struct op *op, uint64_t most)
{
    const struct region *r = op->region;
    uint64_t end, mask = op->env->regions->block_size - 1;

    if (r->record.flags & RECORD_UNLINKED)
        return -ESTALE;
    if (!checked_add(op->offset, op->length, &end) || end > most || (op->offset | op->length) & mask)
        return -EINVAL;
    if (r->record.flags & RECORD_SPARSE || !store_guarantee(op->env->store)->can_discard)
        return -EOPNOTSUPP;
    return 0;
}

static int prepare_discard(struct op *op)
{
    struct region *r = op->region;
    int result = check_range(op, r->size);

    if (result < 0)
        return result;
    // Nothing that a live process maps goes without its consent.
    if (region_is_shared(r))
        return -EBUSY;
    op->extra = op->length - ranges_overlap(&r->discarded, op->offset, op->length);
    if (op->extra == 0)
        return OP_NOTHING_TO_DO;
    result = ranges_copy(&r->discarded, &op->discarded);
    if (result == 0)
        result = ranges_add(&op->discarded, op->offset, op->length);
    op->at = op->offset;
    op->record = r->record;
    op->record.flags |= RECORD_HAS_HOLES;
    // It writes out what is next to it, and waits for that.
    op_estimate(op, OP_FREES, op->extra);
    op->instant = false;
    return explain_pieces(op, result);
}

static int start_discard(struct op *op)
{
    const struct record *record = &op->record;

    op->file = store_open_file(op->env->store, record->owner_uid, &record->handle, O_RDWR);
    if (op->file < 0)
        return op->file;
    // First: from here on holes are looked for at start.
    return op->region->record.flags & RECORD_HAS_HOLES ? 0 : store_write_record(op->env->store, op->file, record);
}

// Where the next hole that was there before begins, from *AT on; *AT moves behind one that it is in.
static uint64_t granted_until(const struct ranges *holes, uint64_t *at, uint64_t end)
{
    size_t i = ranges_find(holes, *at);

    if (i < holes->n && holes->items[i].offset <= *at) {
        *at = holes->items[i].offset + holes->items[i].length;
        i++;
    }
    return i < holes->n && holes->items[i].offset < end ? holes->items[i].offset : end;
}

// What it did before it failed must not leave granted bytes without blocks, nor give some to what was discarded before.
static void undo_discard(struct op *op, uint64_t end)
{
    uint64_t at = op->offset, until;

    while ((until = granted_until(&op->region->discarded, &at, end)) > at)
        if (store_allocate_piece(op->env->store, op->file, &at, until) < 0) {
            log_error("a discard failed and cannot be undone: bytes of a region of uid %u are granted without blocks",
                      op->record.owner_uid);
            return;
        }
}

static enum work_status run_discard(struct op *op)
{
    uint64_t end = op->offset + op->length, to;
    int r = op->file < 0 ? start_discard(op) : 0;

    if (r < 0)
        return op_finish_run(op, r);
    // Pieces end at multiples of their size: next to them no large page has to be written out.
    to = (op->at | (SPILLFILE_PIECE - 1)) + 1;
    to = to < end ? to : end;
    r = store_punch(op->env->store, op->file, op->at, to - op->at);
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
    if (op->result == 0) {
        take_ranges(op);
        op->region->record = op->record;
        quota_charge_sub(&op->region->charge, QUOTA_BYTES, op->extra);
    }
    ranges_deinit(&op->discarded);
}

const struct op_type op_discard = {
    .prepare = prepare_discard,
    .run = run_discard,
    .conclude = conclude_discard,
    .releases = true,
    .asks_consent = true,
};

static int prepare_restore(struct op *op)
{
    struct region *r = op->region;
    uint64_t most;
    // A shrink may have left a last block that is discarded and only partly below the size.
    int result = region_charge_of(op->env->regions, r->size, &most);

    if (result == 0)
        result = check_range(op, most);
    if (result < 0)
        return result;
    op->extra = ranges_overlap(&r->discarded, op->offset, op->length);
    if (op->extra == 0)
        return OP_NOTHING_TO_DO;
    result = ranges_copy(&r->discarded, &op->discarded);
    if (result == 0)
        result = ranges_remove(&op->discarded, op->offset, op->length);
    if (result == 0)
        result = quota_charge_add(&r->charge, QUOTA_BYTES, op->extra, &op->refusal);
    op->at = op->offset;
    op_estimate(op, OP_ALLOCATES, op->extra);
    return explain_pieces(op, result);
}

// The next piece without blocks, from op->at on: what the file owns already is not allocated again.
static bool next_hole(const struct op *op, uint64_t *ret_from, uint64_t *ret_end)
{
    const struct ranges *holes = &op->region->discarded;
    uint64_t end = op->offset + op->length, from, to;
    size_t i = ranges_find(holes, op->at);

    if (i == holes->n || holes->items[i].offset >= end)
        return false;
    from = holes->items[i].offset;
    to = from + holes->items[i].length;
    *ret_from = from > op->at ? from : op->at;
    *ret_end = to < end ? to : end;
    return *ret_from < *ret_end;
}

static enum work_status undo_piece(struct op *op)
{
    uint64_t from, end;

    // A piece that failed may have been done in part: it goes too.
    if (!next_hole(op, &from, &end) || from > op->reached)
        return op_finish_run(op, op->undo);
    end = end - from > SPILLFILE_PIECE ? from + SPILLFILE_PIECE : end;
    // What failed once need not fail again; if it does, a daemon that starts anew finds these bytes granted, and charges them.
    if (store_punch(op->env->store, op->file, from, end - from) < 0)
        store_punch(op->env->store, op->file, from, end - from);
    op->at = end;
    return WORK_AGAIN;
}

static enum work_status undo_restore(struct op *op, int error)
{
    op_explain_full_disk(op, error);
    op->undo = error;
    op->reached = op->at;
    op->at = op->offset;
    return undo_piece(op);
}

static int start_restore(struct op *op)
{
    const struct record *record = &op->region->record;

    op->file = store_open_file(op->env->store, record->owner_uid, &record->handle, O_RDWR);
    return op->file < 0 ? op->file : op_check_space(op, op->extra);
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
        return r < 0 ? undo_restore(op, r) : op_finish_run(op, 0);
    }
    op->at = from;
    r = store_allocate_piece(op->env->store, op->file, &op->at, end);
    return r < 0 ? undo_restore(op, r) : WORK_AGAIN;
}

static void conclude_restore(struct op *op)
{
    if (op->result == 0)
        take_ranges(op);
    else
        quota_charge_sub(&op->region->charge, QUOTA_BYTES, op->extra);
    ranges_deinit(&op->discarded);
}

const struct op_type op_restore = {
    .prepare = prepare_restore,
    .run = run_restore,
    .conclude = conclude_restore,
    .charges = true,
};
