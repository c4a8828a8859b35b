// MoveRegion: a region moves to another disk.
#include <errno.h>
#include <string.h>

#include "daemon/disk.h"
#include "daemon/policy.h"
#include "daemon/request/audit.h"
#include "daemon/request/handlers.h"
#include "daemon/request/message.h"
#include "daemon/request/operation.h"
#include "daemon/user.h"
#include "proto/field.h"

static void move_done(struct op *op)
{
    op->region->mover = NULL;
    op_move_forget(op); // of a daemon that ends
    request_op_done(op);
}

static void tell(struct op *op, uint64_t done, uint64_t all)
{
    request_tell_progress(op, DISKALLOC__V1__EVENT_KIND__EVENT_MOVE_PROGRESS, &op->region->record.handle, done, all);
}

static struct disk *find_disk(const struct call *c, const ProtobufCBinaryData *dir)
{
    struct disk *disk = c->env->op.disks;

    while (disk &&
           !(strlen(store_dir(disk->store)) == dir->len && memcmp(store_dir(disk->store), dir->data, dir->len) == 0))
        disk = disk->next;
    return disk;
}

// A disk that is leaving has to become empty.
static int refuse_disk(const struct call *c, const struct disk *disk)
{
    request_reply_sentence(c->peer, c->id, -ENOENT,
                           disk ? "that spill directory is not in the configuration any more: nothing moves there"
                                : "the daemon has no such disk: name it by its spill directory, as the status does");
    return 0;
}

// An administrator may move any region to any disk.
static bool is_open(const struct call *c, const struct region *r, const struct disk *disk)
{
    const struct disk_wish wish = {.owner = r->record.owner_uid, .owner_name = user_name(r->owner)};

    return policy_is_admin(c->env->config, c->peer->user) || disk_is_open_to(c->env->op.disks, disk, &wish);
}

static int refuse_closed(const struct call *c)
{
    request_reply_sentence(c->peer, c->id, -EACCES,
                           "that spill directory takes no new regions of this user: see [disk PATH] in "
                           "diskallocd.conf(5); an administrator may move the region there");
    return 0;
}

static int move(const struct call *c, struct region *r, struct disk *to)
{
    struct request *request = request_new_op(c, &op_move, r);

    if (!request)
        return -ENOMEM;
    request->op.to = to;
    request->op.is_forced = policy_is_admin(c->env->config, c->peer->user);
    request->op.done = move_done;
    request->audit = request_audit_region(c, r, false, "move");
    audit_say(request->audit, AUDIT_BEFORE, "%s", store_dir(r->disk->store));
    audit_say(request->audit, AUDIT_AFTER, "%s", store_dir(to->store));
    if (c->peer->features & DISKALLOC__V1__FEATURE__FEATURE_MOVE)
        request->op.tell = tell;
    r->mover = &request->op;
    op_submit(&request->op);
    return 0;
}

int request_move_region(const struct call *c)
{
    const Diskalloc__V1__MoveRegion *m = c->message->move_region;
    struct region *region;
    struct disk *disk;
    int r = request_find_own(c, &m->handle, &m->user, &m->name, &region);

    if (r == -EACCES)
        return request_refuse_others(c);
    if (r < 0)
        return r;
    disk = find_disk(c, &m->disk);
    if (!disk || disk->is_leaving)
        return refuse_disk(c, disk);
    if (!is_open(c, region, disk))
        return refuse_closed(c);
    if (region->mover)
        return request_refuse_moving(c);
    return move(c, region, disk);
}
