// The parts that all types of operations need: a beginning, an estimate of the effort, the region's file, and an end.
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "daemon/fence/fence.h"
#include "daemon/fence/projects.h"
#include "daemon/log.h"
#include "daemon/op/op_internal.h"
#include "daemon/store/store.h"
#include "daemon/user.h"

void op_init(struct op *op, struct op_env *env, const struct op_type *type, struct region *region)
{
    memset(op, 0, sizeof *op);
    op->type = type;
    op->env = env;
    op->region = region;
    op->fd = op->file = op->from = op->old_file = -1;
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

bool op_may_share(const struct op *op, const struct disk *from, const struct disk *disk)
{
    return (!op_takes_blocks(op) || !store_guarantee(disk->store)->hard) && store_may_share(from->store, disk->store);
}

int op_open_fd(const struct op *op, int flags)
{
    const struct record *record = &op->region->record;

    return store_open_file(op->region->disk->store, record->owner_uid, &record->handle, flags);
}

int op_open_for_client(struct op *op, int flags, bool is_mark)
{
    const struct record *record = &op->region->record;
    const struct fence_order order = {.user = op->asker ? op->asker->uid : record->owner_uid,
                                      .owner = record->owner_uid,
                                      .handle = &record->handle,
                                      .flags = flags,
                                      .identity = op->identity,
                                      .is_mark = is_mark};

    op->generation = 0;
    op->fd =
        op->region->disk->fence ? fence_open(op->region->disk->fence, &order, &op->generation) : op_open_fd(op, flags);
    if (op->fd == -ETIMEDOUT)
        op->why = "no descriptor of the region can be opened now: the daemon's FUSE server does not answer, and is "
                  "started again; try again later";
    if (op->fd < 0)
        return op->fd;
    return is_mark && op->generation == 0 ? store_mark(op->fd, op->identity) : 0;
}

bool op_may_open_instantly(const struct op *op)
{
    return !op->region->disk->fence || !fence_waits(op->region->disk->fence);
}

int op_open_file(struct op *op)
{
    op->file = op_open_fd(op, O_RDWR);
    return op->file < 0 ? op->file : 0;
}

// Whether the limit of the region's project has refused.
static bool name_project(struct op *op)
{
    struct project_usage u;

    if (!projects_refuses(op_disk(op)->projects, op_project(op), op->extra, &u))
        return false;
    snprintf(op->refusal.limit_name, sizeof op->refusal.limit_name, "project quota of the region");
    op->refusal.limit = u.limit;
    op->refusal.used = u.bytes;
    op->refusal.asked = op->extra;
    return true;
}

static void name_limit(struct op *op, int error)
{
    struct full_limit why;

    if (name_project(op))
        return;
    store_explain_full(op_store(op), error, op->extra, &why);
    snprintf(op->refusal.limit_name, sizeof op->refusal.limit_name, "%s", why.name);
    op->refusal.limit = why.limit;
    op->refusal.used = why.used;
    op->refusal.asked = why.counts_files ? 1 : op->extra;
    // No bytes of this region stand in the way.
    if (why.counts_files || why.limit == 0)
        op->refusal.resource = QUOTA_REGIONS;
}

int op_explain_failure(struct op *op, int error)
{
    // To the client -EROFS is a region that was attached for reading only.
    if (error == -EROFS || error == -EIO) {
        store_suspect(op_store(op));
        store_suspect(op->region->disk->store);
    }
    if (error == -EROFS)
        return -EIO;
    if (error != -ENOSPC && error != -EDQUOT)
        return error;
    if (!op->refusal.limit_name[0])
        name_limit(op, error);
    return -ENOSPC;
}

// The other side of this is op_cancel, which sets one flag and then looks at the other.
bool op_seal(struct op *op)
{
    op->sealed = true;
    if (op->cancelled)
        op->sealed = false;
    return op->sealed;
}

int op_restore_record(struct op *op)
{
    int r = store_write_record(op_store(op), op->file, &op->region->record);

    if (r < 0)
        log_error("an operation on a region of uid %u was cancelled, and its record cannot be written: %s",
                  op->region->record.owner_uid, strerror(-r));
    return -ECANCELED;
}

enum work_status op_finish_run(struct op *op, int result)
{
    op->result = op_explain_failure(op, result);
    if (op->file >= 0)
        close(op->file);
    op->file = -1;
    return WORK_DONE;
}
