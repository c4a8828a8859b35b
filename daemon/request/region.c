// Requests on a region that exists: change it, look at it, remove it.
//
// To change or look at a region the peer must have attached it, and for writing to change it; the right to do so was
// checked when it attached.  Unlinking and removing need no attachment, so that policy is asked here.
#include <errno.h>

#include "daemon/op/ask.h"
#include "daemon/policy.h"
#include "daemon/request/audit.h"
#include "daemon/request/changes.h"
#include "daemon/request/handlers.h"
#include "daemon/request/message.h"
#include "daemon/request/operation.h"
#include "daemon/user.h"
#include "proto/util/checked.h"
#include "proto/util/clock.h"
#include "proto/util/duration.h"
#include "proto/util/size.h"

// In ms, monotonic.  A deadline that is centuries away means "for ever".
static uint64_t wait_deadline(uint64_t wait_ms)
{
    uint64_t deadline;

    return checked_add(clock_now(), wait_ms, &deadline) && deadline < INT64_MAX ? deadline : UINT64_MAX;
}

int request_grow_region(const struct call *c)
{
    const Diskalloc__V1__GrowRegion *m = c->message->grow_region;
    struct attachment *a;
    struct request *request;
    int r = request_find_writable(c, &m->handle, &a);

    if (r < 0)
        return r;
    if (m->early && m->wait_ms > 0)
        return -EINVAL;
    request = request_new_op(c, &op_grow, a->region);
    if (!request)
        return -ENOMEM;
    request->op.size = m->size;
    request->op.early = m->early;
    if (m->wait_ms > 0)
        request->op.wait_deadline = wait_deadline(m->wait_ms);
    op_ask_object(&c->env->op, a, m->size);
    op_submit(&request->op);
    return 0;
}

int request_shrink_region(const struct call *c)
{
    const Diskalloc__V1__ShrinkRegion *m = c->message->shrink_region;
    struct attachment *a;
    struct request *request;
    int r = request_find_writable(c, &m->handle, &a);

    if (r < 0)
        return r;
    request = request_new_op(c, &op_shrink, a->region);
    if (!request)
        return -ENOMEM;
    request->op.size = m->size;
    request->op.known_size = m->known_size;
    request->op.by = c->peer;
    if (m->wait_ms > 0)
        request->op.agree_until = wait_deadline(m->wait_ms);
    op_submit(&request->op);
    return 0;
}

int request_agree_shrink(const struct call *c)
{
    const Diskalloc__V1__AgreeShrink *m = c->message->agree_shrink;
    struct attachment *a;
    int r = request_find_attached(c, &m->handle, &a);

    if (r < 0)
        return r;
    if (op_ask_agree(&c->env->op, a, m->ask) < 0)
        request_reply_sentence(c->peer, c->id, -ESTALE, "nobody waits for this agreement, any more or at all");
    else
        request_reply_done(c->peer, c->id);
    return 0;
}

int request_stat_region(const struct call *c)
{
    Diskalloc__V1__Reply reply = DISKALLOC__V1__REPLY__INIT;
    Diskalloc__V1__Region region;
    struct attachment *a;
    int r = request_find_attached(c, &c->message->stat_region->handle, &a);

    if (r < 0)
        return r;
    if (a->region->record.flags & RECORD_UNLINKED)
        return -ESTALE;
    message_region(a->region, c->peer, &region);
    region.watched = c->message->stat_region->watch && changes_watch(a);
    reply.body_case = DISKALLOC__V1__REPLY__BODY_REGION;
    reply.region = &region;
    return request_answer(c, &reply);
}

int request_commit_region(const struct call *c)
{
    const Diskalloc__V1__CommitRegion *m = c->message->commit_region;
    struct attachment *a;
    struct request *request;
    int r = request_find_writable(c, &m->handle, &a);

    if (r < 0)
        return r;
    if (m->flags & ~(uint32_t)DISKALLOC__V1__COMMIT_FLAG__COMMIT_DURABLE)
        return -EOPNOTSUPP;
    request = request_new_op(c, &op_commit, a->region);
    if (!request)
        return -ENOMEM;
    request->op.size = m->used;
    request->op.element_size = m->element_size;
    request->op.durable = m->flags & DISKALLOC__V1__COMMIT_FLAG__COMMIT_DURABLE;
    request->op.brief = !request->op.durable; // fsync(2) may take seconds
    op_submit(&request->op);
    return 0;
}

// Discard and restore differ in the type of their operation only.
static int change_range(const struct call *c, const struct op_type *type, const ProtobufCBinaryData *handle,
                        uint64_t offset, uint64_t length)
{
    struct attachment *a;
    struct request *request;
    int r = request_find_writable(c, handle, &a);

    if (r < 0)
        return r;
    request = request_new_op(c, type, a->region);
    if (!request)
        return -ENOMEM;
    request->op.offset = offset;
    request->op.length = length;
    op_submit(&request->op);
    return 0;
}

int request_discard_region(const struct call *c)
{
    const Diskalloc__V1__DiscardRegion *m = c->message->discard_region;

    return change_range(c, &op_discard, &m->handle, m->offset, m->length);
}

int request_restore_region(const struct call *c)
{
    const Diskalloc__V1__RestoreRegion *m = c->message->restore_region;

    return change_range(c, &op_restore, &m->handle, m->offset, m->length);
}

int request_list_discarded(const struct call *c)
{
    const Diskalloc__V1__ListDiscarded *m = c->message->list_discarded;
    Diskalloc__V1__Reply reply = DISKALLOC__V1__REPLY__INIT;
    Diskalloc__V1__RangeList list;
    struct attachment *a;
    int r = request_find_attached(c, &m->handle, &a);

    if (r < 0)
        return r;
    arena_reset(c->env->reply_arena);
    message_ranges(&a->region->discarded, m->from, c->env->reply_arena, &list);
    reply.body_case = DISKALLOC__V1__REPLY__BODY_RANGE_LIST;
    reply.range_list = &list;
    return request_answer(c, &reply);
}

int request_unlink_region(const struct call *c)
{
    const Diskalloc__V1__UnlinkRegion *m = c->message->unlink_region;
    struct region *region;
    int r = request_is_others_business(c, &m->user) ? -EACCES : request_find_named(c, &m->user, &m->name, &region);

    if (r < 0)
        return r;
    return policy_may_unlink(c->peer->user, region) ? request_unlink(c, region, NULL) : -EACCES;
}

// The region is in use: the error comes with the list of its holders.
static int reply_held(const struct call *c, const struct region *r)
{
    Diskalloc__V1__Reply reply = DISKALLOC__V1__REPLY__INIT;
    Diskalloc__V1__Region region;
    Diskalloc__V1__Error e;

    arena_reset(c->env->reply_arena);
    message_error(-EBUSY, NULL, &e);
    message_region(r, NULL, &region);
    message_holders(r, c->env->reply_arena, &region);
    reply.error = &e;
    reply.body_case = DISKALLOC__V1__REPLY__BODY_REGION;
    reply.region = &region;
    return request_answer(c, &reply);
}

static int remove_region(const struct call *c, struct region *r)
{
    bool force = c->message->remove_region->force;
    struct audit *audit = request_audit_region(c, r, force, force ? "rm --force" : "rm");
    char size[SIZE_TEXT_MAX];

    audit_say(audit, AUDIT_BEFORE, "%s, attached by %u", size_format(r->size, size), r->holders.n_attached);
    return request_unlink(c, r, audit);
}

int request_remove_region(const struct call *c)
{
    const Diskalloc__V1__RemoveRegion *m = c->message->remove_region;
    struct region *region;
    int r = request_find_own(c, &m->handle, &m->user, &m->name, &region);

    if (r == -EACCES)
        return request_refuse_others(c);
    if (r < 0)
        return r;
    if (region->holders.n_attached == 0 || c->message->remove_region->force)
        return remove_region(c, region);
    return reply_held(c, region);
}

static const char *expiry_text(uint64_t seconds, char ret[static DURATION_TEXT_MAX])
{
    return seconds > 0 ? duration_format(seconds, ret) : "never";
}

int request_set_expiry(const struct call *c)
{
    const Diskalloc__V1__SetExpiry *m = c->message->set_expiry;
    char before[DURATION_TEXT_MAX], after[DURATION_TEXT_MAX];
    struct request *request;
    struct region *region;
    int r = request_is_others_business(c, &m->user) ? -EACCES : request_find_named(c, &m->user, &m->name, &region);

    if (r == -EACCES)
        return request_refuse_others(c);
    if (r < 0)
        return r;
    if (m->expires > UINT32_MAX)
        return -EINVAL;
    request = request_new_op(c, &op_set_expiry, region);
    if (!request)
        return -ENOMEM;
    request->op.expires = m->expires;
    request->audit = request_audit_region(c, region, false, "set-expiry");
    audit_say(request->audit, AUDIT_BEFORE, "%s",
              expiry_text(region->record.flags & RECORD_EXPIRES ? region->record.expires : 0, before));
    audit_say(request->audit, AUDIT_AFTER, "%s", expiry_text(m->expires, after));
    op_submit(&request->op);
    return 0;
}
