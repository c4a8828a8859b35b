// On which disk a new region is made: the one that disk_choose says, and while disks refuse the region the next one.
#include <errno.h>
#include <stdlib.h>

#include "daemon/disk.h"
#include "daemon/op/op_internal.h"
#include "daemon/user.h"

static struct disk *choose_disk(const struct op *op)
{
    struct region *r = op->region, *source = op->source;
    const struct disk_wish wish = {.owner = r->record.owner_uid,
                                   .owner_name = user_name(r->owner),
                                   .size = source ? source->size : op->size,
                                   .tried = op->tried,
                                   .favourite =
                                       source && op_may_share(op, source->disk, source->disk) ? source->disk : NULL};

    return disk_choose(op->env->disks, &wish);
}

bool op_place(struct op *op)
{
    struct disk *disk = choose_disk(op);

    if (disk)
        region_set_disk(op->region, disk);
    return disk;
}

static uint64_t left(const struct quota_refusal *r)
{
    return r->limit > r->used ? r->limit - r->used : 0;
}

// Without memory the client is told of the disk that was asked last.
static void note_refusal(struct op *op)
{
    if (op->by_disk && left(op->by_disk) >= left(&op->refusal))
        return;
    if (!op->by_disk)
        op->by_disk = malloc(sizeof *op->by_disk);
    if (op->by_disk)
        *op->by_disk = op->refusal;
}

bool op_tries_elsewhere(struct op *op)
{
    bool by_disk = op->result == -ENOSPC || op->result == -EXFULL || op->result == -EIO;

    if (!op->type->makes_region || !by_disk || op->cancelled)
        return false;
    if (op->result == -ENOSPC)
        note_refusal(op);
    op->tried |= UINT64_C(1) << op->region->disk->number;
    return choose_disk(op);
}

void op_place_anew(struct op *op)
{
    op->tried = 0;
    free(op->by_disk);
    op->by_disk = NULL;
}

void op_end_placing(struct op *op, int result)
{
    if (op->by_disk && result == -ENOSPC)
        op->refusal = *op->by_disk;
    op_place_anew(op);
}
