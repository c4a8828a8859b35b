// The file of a region that grows is kept open for a moment.
//
// A vector that grows sends one grow after another.  Opening the file anew for each costs more than the grow itself:
// without this mechanism a grow of 1 MiB takes 36.5 us instead of 32.7 us (24.0 instead of 21.1 with one CPU; 1000
// busy clients: 51 instead of 47 us in the median).
//
// region->file holds the descriptor between two operations; run takes it from there, and may put it back.  prepare
// decides on the loop whether that is allowed: for creations and instant operations only, and for 64 regions at most.
// The loop reads region->file only while no operation of the region is at work, so that no lock is needed.
//
// The descriptor by which a file was made has another advantage: it was opened without a name.  The tripwire reports
// none of its changes (IN_EXCL_UNLINK), so that a grow costs no event and no look at the file.
//
// All other types of operations close the file before they run (queue.c).  So a program that asks the kernel who has
// the file open, and op_reap's own lease, never find the daemon.
//
// A timer calls op_close_unused_files every two seconds: a file that no operation has used between two calls is closed.
// That is an operation too, since closing can block, and must not meet another operation on the same region.
#include "daemon/op/kept_file.h"

#include <stdlib.h>

#include "daemon/op/bound.h"
#include "daemon/op/op_internal.h"

enum { MOST_FILES = 64 };

static bool has_room(const struct op *op)
{
    return op->region->file_is_listed || op->env->regions->n_files < MOST_FILES;
}

void op_prepare_new_file(struct op *op)
{
    op->may_keep_file = has_room(op);
}

void op_prepare_file(struct op *op)
{
    op->may_keep_file = op->instant && has_room(op);
}

int op_take_file(struct op *op)
{
    if (op->region->file < 0)
        return op_open_file(op);
    op->file = op->region->file;
    op->region->file = -1;
    return 0;
}

enum work_status op_keep_file(struct op *op)
{
    if (op->may_keep_file) {
        op->region->file = op->file;
        op->file = -1;
    }
    return op_finish_run(op, 0);
}

static int prepare_close(struct op *op)
{
    op->instant = true;
    op->bound = op->region->charge.amount[QUOTA_BYTES];
    return 0;
}

// The queue has closed the file before this, as for any type that does not keep it.
static enum work_status run_close(struct op *op)
{
    op_bound(op, -1);
    return op_finish_run(op, 0);
}

static const struct op_type op_close = {
    .prepare = prepare_close,
    .run = run_close,
};

static void close_done(struct op *op)
{
    free(op);
}

static void submit_close(struct op_env *env, struct region *r)
{
    struct op *op = malloc(sizeof *op);

    if (!op)
        return;
    op_init(op, env, &op_close, r);
    op->done = close_done;
    op_submit(op);
}

void op_close_unused_files(struct op_env *env)
{
    struct region *r, *next;

    for (r = TAILQ_FIRST(&env->regions->with_file); r; r = next) {
        next = TAILQ_NEXT(r, with_file);
        if (!r->file_was_used && TAILQ_EMPTY(&r->ops))
            submit_close(env, r);
        r->file_was_used = false;
    }
}
