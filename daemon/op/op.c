// The parts that all types of operations need: a beginning, an estimate of the effort, the region's file, and an end.
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "daemon/op/op_internal.h"
#include "daemon/store/store.h"

void op_init(struct op *op, struct op_env *env, const struct op_type *type, struct region *region)
{
    memset(op, 0, sizeof *op);
    op->type = type;
    op->env = env;
    op->region = region;
    op->fd = op->file = -1;
    op->brief = true; // most types take no time; the others say otherwise in prepare
}

void op_estimate(struct op *op, enum op_effort effort, uint64_t bytes)
{
    // Allocating up to 16 MiB takes as long as allocating one block.  Freeing stored pages takes some 50 µs a MiB.
    static const uint64_t instant[] = {[OP_ALLOCATES] = 16 << 20, [OP_FREES] = 2 << 20};

    // On a healthy disk 64 MiB take a few milliseconds, allocated or freed.
    op->brief = bytes <= 64 << 20;
    op->instant = bytes <= instant[effort];
}

bool op_takes_blocks(const struct op *op)
{
    return !(op->region->record.flags & RECORD_SPARSE);
}

int op_open_fd(const struct op *op, int flags)
{
    const struct record *record = &op->region->record;

    return store_open_file(op->env->store, record->owner_uid, &record->handle, flags);
}

int op_open_file(struct op *op)
{
    op->file = op_open_fd(op, O_RDWR);
    return op->file < 0 ? op->file : 0;
}

enum work_status op_finish_run(struct op *op, int result)
{
    op->result = result;
    if (op->file >= 0)
        close(op->file);
    op->file = -1;
    return WORK_DONE;
}
