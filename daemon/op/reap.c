// The removal of orphans: regions without a name that nobody has attached.
//
// op_reap_orphans runs on the loop when an orphan is due (orphans.c) and submits one op_reap for it.  The operation asks the
// kernel, on a worker, whether another process still has the region's file open or mapped; the kernel grants a write lease
// on the file only if nobody has.  A region that is in use stays as it is, the operation fails with -EBUSY, and the region
// goes back to the queue of orphans.  Otherwise the file is unlinked and the region leaves the tables with its charge.
//
// A region from before the last reboot has no users, and is removed without asking the kernel.
//
// A large file is unlinked first and then cut piece by piece from its end, so that other work of the same worker comes in
// between.  Should the daemon end in the middle of that, the kernel frees the rest with the last descriptor.
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "daemon/log.h"
#include "daemon/op/op_internal.h"
#include "daemon/orphans.h"
#include "daemon/store/store.h"

static int prepare_reap(struct op *op)
{
    struct region *r = op->region;

    if (r->n_attachments > 0 || !region_is_transient(r))
        return -EBUSY;
    // Never instant: a client that has died may leave very many regions.
    op_estimate(op, OP_FREES, r->size);
    op->instant = false;
    return 0;
}

// Unlinks the file if nobody uses it.  0: it is gone, and op->file holds it if it is too large to be freed in one piece.
static int probe_and_unlink(struct op *op)
{
    const struct record *record = &op->region->record;
    int r = 1, fd = op_open_fd(op, O_RDONLY);

    if (fd == -ENOENT)
        return 0;
    if (fd < 0)
        return fd;
    if (!op->region->boot_is_over)
        r = store_is_unused(fd);
    close(fd);
    if (r <= 0)
        return r < 0 ? r : -EBUSY;
    op->at = op->region->size;
    if (op->at > SPILLFILE_PIECE)
        op->file = op_open_fd(op, O_RDWR);
    return store_unlink(op->env->store, record->owner_uid, &record->handle);
}

static enum work_status run_reap(struct op *op)
{
    if (op->file < 0) {
        int r = probe_and_unlink(op);

        if (r < 0 || op->file < 0)
            return op_finish_run(op, r);
    }
    // An error from here on does no harm: the file has no name any more, and closing it frees the rest.
    op->at = op->at > SPILLFILE_PIECE ? op->at - SPILLFILE_PIECE : 0;
    if (op->at == 0 || store_truncate(op->env->store, op->file, op->at) < 0)
        return op_finish_run(op, 0);
    return WORK_AGAIN;
}

static void conclude_reap(struct op *op)
{
    if (op->result == 0)
        region_remove(op->env->regions, op->region);
}

const struct op_type op_reap = {
    .prepare = prepare_reap,
    .run = run_reap,
    .conclude = conclude_reap,
    .releases = true,
};

// The region's queue goes on after this: it calls orphans_consider, which puts the region back if it is an orphan still.
static void reap_done(struct op *op)
{
    struct region *r = op->region;

    if (op->result < 0 && op->result != -EBUSY && op->result != -ESHUTDOWN && r->n_probes == 0)
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
