// Giving a part of a region back, and granting it again. What is discarded is a set of whole blocks, kept in the table and
// found again at start as the file's holes: nothing more is written down but that there are some.
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/log.h"
#include "daemon/op.h"
#include "daemon/store.h"
#include "daemon/user.h"
#include "proto/checked.h"

enum { BRIEF_BYTES = 64 << 20 };

static int copy_ranges(const struct ranges *from, struct ranges *ret)
{
    struct ranges copy = *from;

    copy.n_allocated = from->n;
    copy.items = from->n ? malloc(from->n * sizeof *copy.items) : NULL;
    if (from->n && !copy.items)
        return -ENOMEM;
    if (from->n)
        memcpy(copy.items, from->items, from->n * sizeof *copy.items);
    *ret = copy;
    return 0;
}

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
    result = copy_ranges(&r->discarded, &op->discarded);
    if (result == 0)
        result = ranges_add(&op->discarded, op->offset, op->length);
    op->record = r->record;
    op->record.flags |= RECORD_HAS_HOLES;
    op->brief = op->extra <= BRIEF_BYTES;
    return explain_pieces(op, result);
}

static enum work_status run_discard(struct op *op)
{
    const struct record *record = &op->record;
    struct store *store = op->env->store;
    int r = 0;

    op->file = store_open_file(store, record->owner_uid, &record->handle, O_RDWR);
    if (op->file < 0)
        return op_finish_run(op, op->file);
    // First: from here on holes are looked for at start.
    if (!(op->region->record.flags & RECORD_HAS_HOLES))
        r = store_write_record(store, op->file, record);
    if (r < 0)
        return op_finish_run(op, r);
    r = store_punch(store, op->file, op->offset, op->length);
    // What it did before it failed must not leave granted bytes without blocks.
    for (uint64_t at = op->offset; r < 0 && at < op->offset + op->length;)
        if (store_allocate_piece(store, op->file, &at, op->offset + op->length) < 0) {
            log_error("a discard failed and cannot be undone: bytes of a region of uid %u are granted without blocks",
                      record->owner_uid);
            break;
        }
    return op_finish_run(op, r);
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

const struct op_type op_discard = {prepare_discard, NULL, run_discard, conclude_discard, false, true};

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
    result = copy_ranges(&r->discarded, &op->discarded);
    if (result == 0)
        result = ranges_remove(&op->discarded, op->offset, op->length);
    if (result == 0)
        result = quota_charge_add(&r->charge, QUOTA_BYTES, op->extra, &op->refusal);
    op->at = op->offset;
    op->brief = op->extra <= BRIEF_BYTES;
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

static enum work_status undo_restore(struct op *op, int error)
{
    uint64_t reached = op->at, from, end;

    if (error == -ENOSPC && !op->refusal.limit_name[0])
        op_explain_full_disk(op, op->extra);
    // A piece that failed may have been done in part: it goes too.
    for (op->at = op->offset; next_hole(op, &from, &end) && from <= reached; op->at = end)
        store_punch(op->env->store, op->file, from, end - from);
    return op_finish_run(op, error);
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

const struct op_type op_restore = {prepare_restore, NULL, run_restore, conclude_restore, true, false};
