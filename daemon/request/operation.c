// Requests that name a region, and those that become an operation on one: see operation.h.
//
// The operation is embedded in its request and runs on a worker; op.done is called on the loop's thread.  By then the
// peer may have gone: request->peer is NULL, the reply is left out, and a file that the operation opened is closed
// here.
#include "daemon/request/operation.h"

#include <errno.h>

#include "daemon/policy.h"
#include "daemon/request/audit.h"
#include "daemon/request/changes.h"
#include "daemon/request/message.h"
#include "daemon/user.h"
#include "proto/field.h"
#include "proto/util/cleanup.h"

static void reply_region(struct request *request, int fd)
{
    Diskalloc__V1__Reply reply = DISKALLOC__V1__REPLY__INIT;
    Diskalloc__V1__Region region;

    message_region(request->op.region, request->peer, &region);
    reply.body_case = DISKALLOC__V1__REPLY__BODY_REGION;
    reply.region = &region;
    request_reply(request->peer, request->id, &reply, fd);
}

static void reply_failure(struct request *request)
{
    Diskalloc__V1__Reply reply = DISKALLOC__V1__REPLY__INIT;
    Diskalloc__V1__Error e;

    message_error(request->op.result, &request->op.refusal, &e);
    if (request->op.why)
        e.message = (char *)request->op.why;
    // A Shrink is refused when the client does not know the present size: the refusal tells it.
    if (request->op.type == &op_shrink && request->op.region->state == REGION_LIVE)
        e.size = request->op.region->size;
    reply.error = &e;
    request_reply(request->peer, request->id, &reply, -1);
}

void request_op_done(struct op *op)
{
    struct request *request = op->owner;

    if (op->changed)
        changes_note(request->env, op->region, request->peer);
    if (op->result == 0)
        audit_done(request->audit, request->env->op.reports, REPORT_ADMINISTERED);
    if (request->peer && op->result < 0)
        reply_failure(request);
    else if (request->peer)
        reply_region(request, steal_fd(&op->fd));
    cleanup_close(&op->fd);
    request_end(request);
}

static void unlink_done(struct op *op)
{
    struct request *request = op->owner;

    if (op->changed)
        changes_note(request->env, op->region, request->peer);
    if (op->result == 0)
        audit_done(request->audit, request->env->op.reports, REPORT_ADMINISTERED);
    if (request->peer && op->result < 0)
        reply_failure(request);
    else if (request->peer)
        request_reply_done(request->peer, request->id);
    request_end(request);
}

// Operations that wait for a limit do not count against the requests in flight of their connection and user.  The
// queue of waiting operations has a bound of its own.
static void op_waits(struct op *op, bool waits)
{
    struct request *request = op->owner;

    if (waits)
        budget_give_back(&request->env->budget, request->user, 1);
    else
        budget_take(&request->env->budget, request->user);
    if (!request->peer)
        return;
    request->peer->n_waiting += waits ? 1 : -1U;
    request->peer->resume(request->peer);
}

// The client is told now, and the operation is undone when it goes on.
static void op_is_late(struct op *op)
{
    struct request *request = op->owner;

    if (!request->peer)
        return;
    // Without op->refusal: a worker may be writing it at this moment.
    request_reply_sentence(request->peer, request->id, -ETIMEDOUT, op->why);
    request_leave_peer(request);
}

void request_tell_progress(struct op *op, Diskalloc__V1__EventKind kind, const struct handle *handle, uint64_t done,
                           uint64_t all)
{
    struct request *request = op->owner;
    Diskalloc__V1__Reply reply = DISKALLOC__V1__REPLY__INIT;
    Diskalloc__V1__Event event = DISKALLOC__V1__EVENT__INIT;

    if (!request->peer)
        return;
    event.kind = kind;
    event.handle = field_handle(handle);
    event.used = done;
    event.limit = all;
    reply.body_case = DISKALLOC__V1__REPLY__BODY_EVENT;
    reply.event = &event;
    request_reply(request->peer, 0, &reply, -1);
}

int request_refuse_moving(const struct call *c)
{
    request_reply_sentence(c->peer, c->id, -EBUSY,
                           "the region is being moved to another disk: try again when that has ended");
    return 0;
}

struct request *request_new_op(const struct call *c, const struct op_type *type, struct region *r)
{
    struct request *request = request_new(c);

    if (!request)
        return NULL;
    op_init(&request->op, &c->env->op, type, r);
    request->op.done = request_op_done;
    request->op.waits = op_waits;
    request->op.late = op_is_late;
    request->op.owner = request;
    request->op.pid = c->peer->holder.pid;
    request->op.identity = holder_identity(&c->peer->holder);
    request->op.asker = user_ref(c->env->users, c->peer->user->uid);
    return request;
}

int request_unlink(const struct call *c, struct region *r, struct audit *audit)
{
    struct request *request = request_new_op(c, &op_unlink, r);

    if (!request) {
        audit_free(audit);
        return -ENOMEM;
    }
    request->audit = audit;
    request->op.done = unlink_done;
    if (r->mover) // whoever gives the region up does not want it elsewhere
        op_cancel(r->mover);
    op_submit(&request->op);
    return 0;
}

int request_find_attached(const struct call *c, const ProtobufCBinaryData *field, struct attachment **ret)
{
    struct handle handle;
    struct region *r;

    if (message_take_handle(field, &handle) < 0)
        return -EINVAL;
    r = region_find(c->env->op.regions, &handle);
    *ret = r ? holders_find(&r->holders, c->peer) : NULL;
    return *ret ? 0 : -ENOTCONN;
}

int request_find_writable(const struct call *c, const ProtobufCBinaryData *field, struct attachment **ret)
{
    int r = request_find_attached(c, field, ret);

    return r == 0 && (*ret)->read_only ? -EROFS : r;
}

struct user *request_name_space(const struct call *c, const ProtobufCBinaryData *field)
{
    char name[USER_NAME_MAX];

    if (field->len == 0)
        return c->peer->user;
    return message_take_text(field, name, sizeof name) < 0 ? NULL : user_find_by_name(c->env->users, name);
}

bool request_is_others_business(const struct call *c, const ProtobufCBinaryData *user)
{
    const struct user *owner = request_name_space(c, user);

    return owner != c->peer->user && !policy_is_admin(c->env->config, c->peer->user);
}

int request_find_named(const struct call *c, const ProtobufCBinaryData *user, const ProtobufCBinaryData *name,
                       struct region **ret)
{
    const struct user *owner = request_name_space(c, user);
    int r = name_check((const char *)name->data, name->len);

    if (r < 0)
        return r;
    *ret = owner ? region_find_name(c->env->op.regions, owner->uid, (const char *)name->data, name->len) : NULL;
    return *ret ? 0 : -ENOENT;
}

int request_find_target(const struct call *c, const ProtobufCBinaryData *handle, const ProtobufCBinaryData *user,
                        const ProtobufCBinaryData *name, struct region **ret)
{
    struct handle wanted;

    if ((name->len > 0) == (handle->len > 0))
        return -EINVAL;
    if (name->len > 0)
        return request_find_named(c, user, name, ret);
    if (message_take_handle(handle, &wanted) < 0)
        return -EINVAL;
    *ret = region_find(c->env->op.regions, &wanted);
    return *ret ? 0 : -ENOENT;
}

int request_find_own(const struct call *c, const ProtobufCBinaryData *handle, const ProtobufCBinaryData *user,
                     const ProtobufCBinaryData *name, struct region **ret)
{
    int r;

    if (name->len > 0 && request_is_others_business(c, user))
        return -EACCES;
    r = request_find_target(c, handle, user, name, ret);
    // By a handle -EACCES tells that the region exists: a handle is no secret, and cannot be guessed.
    return r == 0 && !policy_may_remove(c->env->config, c->peer->user, *ret) ? -EACCES : r;
}

struct audit *request_audit_region(const struct call *c, const struct region *r, bool force, const char *action)
{
    struct audit *a = NULL;

    if (policy_is_admin(c->env->config, c->peer->user) && (force || r->owner != c->peer->user))
        a = audit_new(c->peer, action);
    audit_region(a, r);
    return a;
}
