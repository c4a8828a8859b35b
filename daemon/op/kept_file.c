// The file of a region that grows stays open for a moment: the next grow needs no look-up. Only its operation at work touches it, and
// every other operation than a grow closes it first, so that whoever asks the kernel who holds the file is not told "the daemon".
// What nobody grows any more is closed within two sweeps.
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

#include "daemon/op/op_internal.h"
#include "daemon/store/store.h"

enum { MOST_FILES = 64 };

int op_take_file(struct op *op)
{
    const struct record *record = &op->region->record;

    if (op->region->file >= 0) {
        op->file = op->region->file;
        op->region->file = -1;
    } else
        op->file = store_open_file(op->env->store, record->owner_uid, &record->handle, O_RDWR);
    return op->file < 0 ? op->file : 0;
}

enum work_status op_keep_file(struct op *op)
{
    if (op->may_keep_file) {
        op->region->file = op->file;
        op->file = -1;
    }
    return op_finish_run(op, 0);
}

void op_prepare_file(struct op *op)
{
    op->may_keep_file = op->instant && (op->region->file_is_listed || op->env->regions->n_files < MOST_FILES);
}

void op_conclude_file(struct op *op)
{
    region_list_file(op->env->regions, op->region, op->region->file >= 0);
    op->region->file_was_used = true;
}

void op_close_file(struct region *r)
{
    if (r->file >= 0)
        close(r->file);
    r->file = -1;
}

static int prepare_nothing(struct op *op)
{
    op->instant = true;
    return 0;
}

static enum work_status run_nothing(struct op *op)
{
    return op_finish_run(op, 0);
}

static const struct op_type op_close = {
    .prepare = prepare_nothing,
    .run = run_nothing,
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
