// Making a region that is a copy of another one, the source.
//
// The operation is in the queue of the new region, which others find as one that is being made, and not in the
// source's: a copy may take minutes, and others go on using, growing and cutting the source meanwhile.  Prepare notes
// what the source is at that moment (size, discarded parts, record), and charges it to the new region's owner.  Run
// makes a file without a name, as op_create does, gives it blocks, copies the content piece by piece, and links the
// file last: a daemon that ends before that leaves nothing.  What is cut or punched from the source meanwhile is zero
// in the copy.
//
// Blocks.  A granted byte must never need a new block.  So where the guarantee is hard, the copy gets blocks of its own
// before the content is copied into them.  Where it is soft, and of a sparse region, the two files share blocks if they
// are on one file system that can do that (FICLONE), which takes milliseconds; else they are copied too.  The file
// system shares what is on the disk, so the source is written out before it is shared.  That may take minutes, and
// needs no lock of the source; sharing needs the lock, writes out what was stored meanwhile, and is soon done unless
// somebody holds the lock.  A source that is stored to as fast as the disk writes is never written out: it is copied.
//
// The submitter keeps the source from being removed (region.n_readers).  Whoever has the source's file open may hold
// its lock, cut it, or make it longer: then reading hangs, and stuck.c answers; or it ends early; or what is beyond the
// granted size is not copied.
#include <errno.h>
#include <fcntl.h>

#include "daemon/op/bound.h"
#include "daemon/op/consent.h"
#include "daemon/op/op_internal.h"
#include "daemon/quota/charge.h"
#include "daemon/store/store.h"
#include "daemon/user.h"
#include "proto/util/cleanup.h"
#include "proto/util/clock.h"

enum step { BEGINNING, WRITING_OUT, SHARING, COPYING };

enum {
    SOON_WRITTEN_MS = 2000, // what was stored in such a time is written out within that of stuck.c
    MOST_WRITE_OUTS = 4,
};

// The submitter has entered the region as REGION_BEING_MADE; its record says owner, name, mode and flags.
static void fill_record(struct op *op)
{
    const struct record *source = &op->source->record;

    record_copy(&op->record, &op->region->record);
    op->record.granted = op->size;
    op->record.used = source->used;
    op->record.element_size = source->element_size;
    op->record.flags |= source->flags & RECORD_COMMITTED;
    if (op->discarded.n > 0)
        op->record.flags |= RECORD_HAS_HOLES;
    op_note_unused(op);
}

// Prepare may follow a try that was refused.
static int prepare_clone(struct op *op)
{
    const struct region *source = op->source;
    int result;

    if (source->state != REGION_LIVE || source->record.flags & RECORD_UNLINKED)
        return -ESTALE;
    ranges_deinit(&op->discarded);
    op->size = source->size;
    op->source_owner = source->record.owner_uid;
    op->source_handle = source->record.handle;
    op->source_disk = source->disk;
    op->step = BEGINNING;
    op->at = 0;
    op->copied = 0;
    op->shares = op->source_lost = false;
    op->n_write_outs = 0;
    result = region_charge_of(op->env->regions, op->size, &op->extra);
    if (result == 0)
        result = ranges_copy(&source->discarded, &op->discarded);
    if (result < 0)
        return result;
    op->extra -= op->discarded.sum;
    result = op_charge_creation(op);
    if (result < 0)
        return result;
    op_note_cgroup(op);
    op->bound = op->extra;
    fill_record(op);
    op_estimate(op, OP_ALLOCATES, op->extra);
    op->brief = op->instant = false;
    return 0;
}

static void refused_clone(struct op *op)
{
    ranges_deinit(&op->discarded);
    region_remove(op->env->regions, op->region);
}

// The file of the source may be longer than what is granted, and may have blocks where parts are discarded.
static int share(struct op *op)
{
    struct store *store = op_store(op);
    int r;

    r = store_share(store, op->file, op->from);
    if (r == 0)
        r = store_truncate(store, op->file, op->size);
    for (size_t i = 0; r == 0 && i < op->discarded.n; i++)
        r = store_punch(store, op->file, op->discarded.items[i].offset, op->discarded.items[i].length);
    op->shares = r == 0;
    if (r < 0)
        store_truncate(store, op->file, 0); // it is copied then
    return r == 0;
}

static int start_clone(struct op *op)
{
    struct store *store = op_store(op);
    int r;

    op->from = store_open_file(op->source_disk->store, op->source_owner, &op->source_handle, O_RDONLY);
    if (op->from < 0)
        return op->from == -ENOENT ? -ESTALE : op->from; // an administrator has removed it by hand
    r = store_create(store, op->record.owner_uid, &op->file);
    if (r == 0)
        op_bound(op, op->file);
    return r;
}

static int begin_copying(struct op *op)
{
    op->step = COPYING;
    return op_check_space(op, op_takes_blocks(op) ? op->extra : 0);
}

static int write_out(struct op *op)
{
    uint64_t began = clock_now();
    int r;

    op->work.slow = true;
    r = store_write_out(op->source_disk->store, op->from);
    // The kernel tells of an error once: sharing would succeed now, without what did not come to the disk, and so
    // would the owner's next durable commit.
    op->source_lost = r < 0;
    if (r == 0 && clock_now() - began <= SOON_WRITTEN_MS) {
        op->step = SHARING;
        return 0;
    }
    return r == 0 && ++op->n_write_outs < MOST_WRITE_OUTS ? 0 : begin_copying(op);
}

// A piece.  1: there is more; 0: the file has its content.
static int run_step(struct op *op)
{
    int r = 0;

    switch ((enum step)op->step) {
    case BEGINNING:
        r = start_clone(op);
        if (r == 0 && op_may_share(op, op->source_disk, op->region->disk)) {
            op->step = WRITING_OUT;
            return 1;
        }
        r = r == 0 ? begin_copying(op) : r;
        break;
    case WRITING_OUT:
        r = write_out(op);
        return r == 0 ? 1 : r;
    case SHARING:
        if (share(op))
            return 0;
        r = begin_copying(op);
        break;
    case COPYING:
        break;
    }
    return r == 0 ? op_copy_piece(op) : r;
}

// The same as the end of op_create.
static int finish_clone(struct op *op)
{
    struct record *record = &op->record;
    struct store *store = op_store(op);
    int r = op_check_kept(op);

    if (r == 0 && !op->shares)
        r = store_truncate(store, op->file, op->size);
    if (r == 0 && !op_seal(op))
        r = -ECANCELED;
    if (r == 0)
        r = op_link(op);
    if (r < 0)
        return r;
    r = op_open_for_client(op, op->read_only ? O_RDONLY : O_RDWR, true);
    if (r < 0)
        store_unlink(store, record->owner_uid, &record->handle);
    return r;
}

static enum work_status run_clone(struct op *op)
{
    int r = op->cancelled ? -ECANCELED : run_step(op);

    if (r > 0)
        return WORK_AGAIN;
    if (r == 0)
        r = finish_clone(op);
    cleanup_close(&op->from);
    op->from = -1;
    // A failure needs no undoing on the disk: the file has no name, and closing it frees its blocks.
    op_finish_run(op, r);
    if (r < 0)
        op_unbound(op);
    return WORK_DONE;
}

static void conclude_clone(struct op *op)
{
    struct region *r = op->region;

    op->source->lost_content |= op->source_lost;
    if (op->result < 0) {
        op_give_back_creation(op);
        return;
    }
    r->size = op->size;
    ranges_deinit(&r->discarded);
    r->discarded = op->discarded;
    op->discarded = (struct ranges){0};
    record_copy(&r->record, &op->record);
    r->generation = op->generation;
    r->state = REGION_LIVE;
    op_report(op, REPORT_CREATED, "a copy");
    quota_charge_tell(&r->charge);
}

const struct op_type op_clone = {
    .tally = TALLY_CLONE,
    .prepare = prepare_clone,
    .refused = refused_clone,
    .run = run_clone,
    .conclude = conclude_clone,
    .charges = true,
    .undoes = true,
    .makes_region = true,
};

void op_tell_progress(struct op_env *env)
{
    struct op *op;

    LIST_FOREACH (op, &env->at_work, at_work) {
        uint64_t copied = op->copied;

        if (!op->tell || copied == op->told)
            continue;
        op->told = copied;
        op->tell(op, copied, op->size);
    }
}
