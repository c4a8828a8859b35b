// Requests that change or look at a region that is attached.
#include <errno.h>

#include "daemon/policy.h"
#include "daemon/request/message.h"
#include "daemon/request/request.h"
#include "daemon/user.h"
#include "proto/util/checked.h"
#include "proto/util/clock.h"

// The disk hangs. Whoever asked is told; what was begun is undone when it comes back.
static void grow_is_late(struct op *op)
{
    struct request *request = op->owner;

    if (!request->peer)
        return;
    // Without numbers: a worker may be about to write them.
    request_reply_error(request->peer, request->id, -ETIMEDOUT, NULL);
    request_leave_peer(request);
}

static uint64_t wait_deadline(uint64_t wait_ms)
{
    uint64_t deadline;

    // What nobody lives to see is for ever.
    return checked_add(clock_now(), wait_ms, &deadline) && deadline < INT64_MAX ? deadline : UINT64_MAX;
}

void request_grow_region(struct request_env *env, struct peer *peer, uint64_t id, const Diskalloc__V1__GrowRegion *m)
{
    struct attachment *a = request_attached_for_writing(env, peer, id, &m->handle);
    struct request *request;

    if (a && m->early && m->wait_ms > 0) {
        request_reply_error(peer, id, -EINVAL, NULL);
        return;
    }
    request = a ? request_new_op(env, peer, id, &op_grow, a->region) : NULL;
    if (!request)
        return;
    request->op.size = m->size;
    request->op.early = m->early;
    if (m->wait_ms > 0) {
        request->op.wait_deadline = wait_deadline(m->wait_ms);
        request->op.late = grow_is_late;
    }
    op_submit(&request->op);
}

void request_shrink_region(struct request_env *env, struct peer *peer, uint64_t id,
                           const Diskalloc__V1__ShrinkRegion *m)
{
    struct attachment *a = request_attached_for_writing(env, peer, id, &m->handle);
    struct request *request = a ? request_new_op(env, peer, id, &op_shrink, a->region) : NULL;

    if (!request)
        return;
    request->op.size = m->size;
    request->op.known_size = m->known_size;
    op_submit(&request->op);
}

void request_stat_region(struct request_env *env, struct peer *peer, uint64_t id, const Diskalloc__V1__StatRegion *m)
{
    struct attachment *a = request_attached(env, peer, id, &m->handle);
    Diskalloc__V1__Reply reply = DISKALLOC__V1__REPLY__INIT;
    Diskalloc__V1__Region region;

    if (!a)
        return;
    if (a->region->record.flags & RECORD_UNLINKED) {
        request_reply_error(peer, id, -ESTALE, NULL);
        return;
    }
    message_region(a->region, peer, &region);
    reply.id = id;
    reply.body_case = DISKALLOC__V1__REPLY__BODY_REGION;
    reply.region = &region;
    peer->reply(peer, &reply, -1);
}

void request_commit_region(struct request_env *env, struct peer *peer, uint64_t id,
                           const Diskalloc__V1__CommitRegion *m)
{
    struct attachment *a = request_attached_for_writing(env, peer, id, &m->handle);
    struct request *request;

    if (!a)
        return;
    if (m->flags & ~(uint32_t)DISKALLOC__V1__COMMIT_FLAG__COMMIT_DURABLE) {
        request_reply_error(peer, id, -EOPNOTSUPP, NULL);
        return;
    }
    request = request_new_op(env, peer, id, &op_commit, a->region);
    if (!request)
        return;
    request->op.size = m->used;
    request->op.element_size = m->element_size;
    request->op.durable = m->flags & DISKALLOC__V1__COMMIT_FLAG__COMMIT_DURABLE;
    request->op.brief = !request->op.durable;
    op_submit(&request->op);
}

void request_discard_region(struct request_env *env, struct peer *peer, uint64_t id,
                            const Diskalloc__V1__DiscardRegion *m)
{
    struct attachment *a = request_attached_for_writing(env, peer, id, &m->handle);
    struct request *request = a ? request_new_op(env, peer, id, &op_discard, a->region) : NULL;

    if (!request)
        return;
    request->op.offset = m->offset;
    request->op.length = m->length;
    op_submit(&request->op);
}

void request_restore_region(struct request_env *env, struct peer *peer, uint64_t id,
                            const Diskalloc__V1__RestoreRegion *m)
{
    struct attachment *a = request_attached_for_writing(env, peer, id, &m->handle);
    struct request *request = a ? request_new_op(env, peer, id, &op_restore, a->region) : NULL;

    if (!request)
        return;
    request->op.offset = m->offset;
    request->op.length = m->length;
    op_submit(&request->op);
}

void request_list_discarded(struct request_env *env, struct peer *peer, uint64_t id,
                            const Diskalloc__V1__ListDiscarded *m)
{
    struct attachment *a = request_attached(env, peer, id, &m->handle);
    Diskalloc__V1__Reply reply = DISKALLOC__V1__REPLY__INIT;
    Diskalloc__V1__RangeList list;

    if (!a)
        return;
    arena_reset(env->reply_arena);
    message_ranges(&a->region->discarded, m->from, env->reply_arena, &list);
    reply.id = id;
    reply.body_case = DISKALLOC__V1__REPLY__BODY_RANGE_LIST;
    reply.range_list = &list;
    peer->reply(peer, &reply, -1);
}

static void unlink_done(struct op *op)
{
    struct request *request = op->owner;

    if (request->peer && op->result < 0)
        request_reply_failure(request);
    else if (request->peer)
        request_reply_done(request->peer, request->id);
    request_end(request);
}

void request_unlink_region(struct request_env *env, struct peer *peer, uint64_t id,
                           const Diskalloc__V1__UnlinkRegion *m)
{
    struct user *owner = request_name_space(env, peer, &m->user);
    struct request *request;
    struct region *r = NULL;
    int result = name_check((const char *)m->name.data, m->name.len);

    if (result == 0 && owner)
        r = region_find_name(env->op.regions, owner->uid, (const char *)m->name.data, m->name.len);
    if (result == 0 && !r)
        result = -ENOENT;
    if (result == 0 && !policy_may_unlink(peer->user, r))
        result = -EACCES;
    if (result < 0) {
        request_reply_error(peer, id, result, NULL);
        return;
    }
    request = request_new_op(env, peer, id, &op_unlink, r);
    if (!request)
        return;
    request->op.done = unlink_done;
    op_submit(&request->op);
}
