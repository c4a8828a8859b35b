// Making the file of a region what its record says, after a start of the daemon.
//
// The scan does that itself, but for files that a process uses: whoever has a file open can hold its lock in the kernel
// for ever.  For these op_repair_region submits an operation before any other, so that the region is as its record says
// when the next one begins.  What is discarded is only known afterwards: until then the whole region is charged.
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/log.h"
#include "daemon/op/op_internal.h"
#include "daemon/store/store.h"

struct repair {
    struct op op;
    struct store_found found;
    uint64_t *n_lacking;
};

static int prepare_repair(struct op *op)
{
    struct repair *repair = op->owner;

    repair->found = (struct store_found){.size = op->region->size};
    record_copy(&repair->found.record, &op->region->record);
    return 0;
}

static enum work_status run_repair(struct op *op)
{
    struct repair *repair = op->owner;

    op->result = store_repair(op_store(op), &repair->found);
    return WORK_DONE;
}

static void conclude_repair(struct op *op)
{
    struct repair *repair = op->owner;
    struct region *r = op->region;
    uint64_t charged = r->charge.amount[QUOTA_BYTES], charge;

    if (op->result < 0 || region_charge_of(op->env->regions, repair->found.size, &charge) < 0)
        return;
    record_copy(&r->record, &repair->found.record);
    r->size = repair->found.size; // of a record that does not tell, the scan has guessed
    r->discarded = repair->found.discarded;
    *repair->n_lacking += repair->found.lacks_blocks;
    quota_charge_force(&r->charge, QUOTA_BYTES, charge - r->discarded.sum);
    quota_charge_sub(&r->charge, QUOTA_BYTES, charged);
}

static const struct op_type op_repair = {
    .prepare = prepare_repair,
    .run = run_repair,
    .conclude = conclude_repair,
};

static void repair_done(struct op *op)
{
    // -ENOENT: an administrator has removed the file by hand.
    if (op->result < 0 && op->result != -ENOENT && op->result != -ESHUTDOWN)
        log_warning("cannot make a region of uid %u what its record says: %s", op->region->record.owner_uid,
                    strerror(-op->result));
    op->env->n_repairs--;
    free(op->owner);
}

int op_repair_region(struct op_env *env, struct region *r, uint64_t *n_lacking)
{
    struct repair *repair = malloc(sizeof *repair);

    if (!repair)
        return -ENOMEM;
    op_init(&repair->op, env, &op_repair, r);
    repair->op.done = repair_done;
    repair->op.owner = repair;
    repair->n_lacking = n_lacking;
    env->n_repairs++;
    op_submit(&repair->op);
    return 0;
}
