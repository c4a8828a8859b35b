// The removal of orphans: regions without a name that nobody has attached.
//
// op_reap_orphans runs on the loop when an orphan is due (orphans.c) and submits one op_reap for it.  The operation
// asks the kernel, on a worker, whether another process still has the region's file open or mapped; the kernel grants
// a write lease on the file only if nobody has.  A region that is in use stays as it is, the operation fails with
// -EBUSY, and the region goes back to the queue of orphans.  The kernel is asked for every region, whatever else is
// known of its processes.
//
// Otherwise the file is cut to nothing, then unlinked, and the region leaves the tables with its charge.  The cut
// comes first because a descriptor opened with O_PATH does not count for the lease, and keeps the blocks of an
// unlinked file.  A large file is cut piece by piece from its end, so that other work of the same worker comes in
// between.  Should the daemon end in the middle of that, the next one finds the rest and removes it.
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "daemon/log.h"
#include "daemon/op/bound.h"
#include "daemon/op/op_internal.h"
#include "daemon/orphans.h"
#include "daemon/store/store.h"

static int prepare_reap(struct op *op)
{
    struct region *r = op->region;

    if (r->holders.n_attached > 0 || !region_is_transient(r))
        return -EBUSY;
    // Never instant: a client that has died may leave very many regions.
    op_estimate(op, OP_FREES, r->size);
    op->instant = false;
    op->at = r->size;
    return 0;
}

// Opens the file as op->file if nobody uses it.  0; -ENOENT: it is gone already; -EBUSY; another -errno.
static int take_unused_file(struct op *op)
{
    int r, fd = op_open_fd(op, O_RDONLY);

    if (fd < 0)
        return fd;
    r = store_is_unused(fd);
    close(fd);
    if (r <= 0)
        return r < 0 ? r : -EBUSY;
    return op_open_file(op);
}

// -ENOENT: the file is gone, as it should be.
static enum work_status end_reap(struct op *op, int r)
{
    op_finish_run(op, r == -ENOENT ? 0 : r);
    if (op->result == 0)
        op_unbound(op);
    return WORK_DONE;
}

static enum work_status run_reap(struct op *op)
{
    const struct record *record = &op->region->record;
    int r = op->file < 0 ? take_unused_file(op) : 0;

    if (r < 0)
        return end_reap(op, r);
    op->at = op->at > SPILLFILE_PIECE ? op->at - SPILLFILE_PIECE : 0;
    r = store_truncate(op_store(op), op->file, op->at);
    if (r == 0 && op->at > 0)
        return WORK_AGAIN;
    if (r == 0)
        r = store_unlink(op_store(op), record->owner_uid, &record->handle);
    return end_reap(op, r);
}

static void conclude_reap(struct op *op)
{
    struct region *r = op->region;

    if (op->result == 0)
        op_report(op, REPORT_REMOVED, NULL);
    if (op->result == 0)
        region_remove(op->env->regions, r);
    else if (op->at < r->size)
        r->record.flags |= RECORD_UNLINKED; // its content is lost: nobody may attach it any more
}

const struct op_type op_reap = {
    .tally = TALLY_REAP,
    .prepare = prepare_reap,
    .run = run_reap,
    .conclude = conclude_reap,
    .releases = true,
};

// The region's queue goes on after this: it calls orphans_consider, which puts the region back if it is an orphan
// still.
static void reap_done(struct op *op)
{
    struct region *r = op->region;

    if (op->result < 0 && op->result != -EBUSY && op->result != -ESHUTDOWN && r->n_probes == 0 &&
        log_may(LOG_KIND_REMOVAL, r->record.owner_uid))
        log_warning("cannot remove a region of uid %u: %s; the daemon will try again", r->record.owner_uid,
                    strerror(-op->result));
    orphans_probed(op->env->orphans, r);
    free(op);
}

void op_reap_orphans(struct op_env *env, uint64_t now)
{
    struct region *r;

    while ((r = orphans_take_due(env->orphans, now))) {
        struct op *op = malloc(sizeof *op);

        if (!op) {
            orphans_probed(env->orphans, r);
            orphans_consider(env->orphans, r);
            continue;
        }
        op_init(op, env, &op_reap, r);
        op->done = reap_done;
        op_submit(op);
    }
}
