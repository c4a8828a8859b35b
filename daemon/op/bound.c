// The limit of a region's project follows what is granted of the region: see the essay in fence/projects.c.
//
// An operation that takes blocks raises the limit before, on its worker.  Lowering it is an operation of its own,
// which is queued when another one has ended and the limit is higher than it should be: after a shrink or a discard,
// and after a grow that has failed.  So no type of operation has to remember to lower it, on any of its ways.
#include "daemon/op/bound.h"

#include <errno.h>
#include <stdlib.h>

#include "daemon/fence/projects.h"
#include "daemon/op/op_internal.h"
#include "daemon/store/store.h"

void op_bound(struct op *op, int fd)
{
    projects_bound(op_disk(op)->projects, fd, op_project(op), op->bound, op->may_keep_file);
}

bool op_needs_project(const struct op *op)
{
    return op->region->disk->projects && !op->read_only && op->region->project.id == 0;
}

void op_unbound(struct op *op)
{
    projects_release(op_disk(op)->projects, op_project(op));
}

int op_extend_piece(struct op *op, uint64_t to)
{
    struct store *store = op_store(op);
    struct project_usage u;
    int r = store_extend_piece(store, op->file, &op->at, to);

    if ((r == -EDQUOT || r == -ENOSPC) && projects_refuses(op_disk(op)->projects, op_project(op), op->extra, &u) &&
        store_truncate(store, op->file, op->at) == 0)
        r = store_extend_piece(store, op->file, &op->at, to);
    return r;
}

static int prepare_tighten(struct op *op)
{
    const struct region *r = op->region;

    if (r->state != REGION_LIVE)
        return OP_NOTHING_TO_DO;
    op->bound = r->charge.amount[QUOTA_BYTES];
    op->may_keep_file = r->file_is_listed;
    op->instant = true;
    return 0;
}

static enum work_status run_tighten(struct op *op)
{
    op_bound(op, -1);
    return op_finish_run(op, 0);
}

static const struct op_type op_lower = {
    .prepare = prepare_tighten,
    .run = run_tighten,
    .keeps_file = true,
};

static void tighten_done(struct op *op)
{
    free(op);
}

void op_tighten(struct op *op)
{
    struct region *r = op->region;
    struct op *lower;

    if (op->type == &op_lower || r->state != REGION_LIVE ||
        !projects_is_loose(op->region->disk->projects, &r->project, r->charge.amount[QUOTA_BYTES], r->file_is_listed))
        return;
    lower = malloc(sizeof *lower);
    if (!lower) // the next operation tries again
        return;
    op_init(lower, op->env, &op_lower, r);
    lower->done = tighten_done;
    TAILQ_INSERT_AFTER(&r->ops, op, lower, entry);
}
