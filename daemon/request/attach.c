// Requests that make a region, attach it, or end that: find it, ask policy, queue the operation.
#include <errno.h>
#include <string.h>
#include <time.h>

#include "daemon/orphans.h"
#include "daemon/policy.h"
#include "daemon/request/request.h"
#include "daemon/user.h"

// Of those that attach: create, open. A peer that has gone meanwhile leaves the region to orphans.c.
static void attach_op_done(struct op *op)
{
    struct request *request = op->owner;

    if (op->result == 0 && request->peer)
        op->result = peer_attach(request->peer, op->region, op->read_only);
    request_op_done(op);
}

static void attach_with(struct request_env *env, struct peer *peer, uint64_t id, struct region *r, bool read_only,
                        uint64_t size, void (*done)(struct op *op))
{
    struct request *request;

    if (!policy_may_attach(peer->user, r, read_only)) {
        request_reply_error(peer, id, -EACCES, NULL);
        return;
    }
    // Repeated while its first try is at work, whose connection has gone: that shall not be given up then.
    if (r->state == REGION_BEING_MADE && !TAILQ_EMPTY(&r->ops))
        TAILQ_FIRST(&r->ops)->cancelled = false;
    request = request_new_op(env, peer, id, &op_open, r);
    if (!request)
        return;
    request->op.read_only = read_only;
    request->op.attaches = !region_attachment(r, peer);
    request->op.size = size;
    request->op.done = done;
    op_submit(&request->op);
}

static void attach(struct request_env *env, struct peer *peer, uint64_t id, struct region *r, bool read_only)
{
    attach_with(env, peer, id, r, read_only, 0, attach_op_done);
}

// RECORD without what is the same for all.
static void create(struct request_env *env, struct peer *peer, uint64_t id, struct record *record, uint64_t size)
{
    struct request *request;
    struct region *r;

    if (size > INT64_MAX) {
        request_reply_error(peer, id, -EOVERFLOW, NULL);
        return;
    }
    record->owner_uid = peer->user->uid;
    record->owner_gid = peer->user->entry.gid;
    record->boot = env->boot;
    record->created = (uint64_t)time(NULL);
    r = region_add(env->op.regions, record, peer->user);
    if (!r) {
        request_reply_error(peer, id, -ENOMEM, NULL);
        return;
    }
    request = request_new_op(env, peer, id, &op_create, r);
    if (!request) {
        region_remove(env->op.regions, r);
        region_free(r);
        return;
    }
    request->op.size = size;
    request->op.done = attach_op_done;
    op_submit(&request->op);
}

static void create_or_find(struct request_env *env, struct peer *peer, uint64_t id, struct record *record,
                           uint64_t size);

// What an earlier try made was nobody's in between, and may have been removed as such while this one waited for its turn.
static void find_op_done(struct op *op)
{
    struct request *request = op->owner;
    struct request_env *env = request->env;
    struct peer *peer = request->peer;
    struct record record = {
        .handle = op->region->record.handle, .mode = 0600, .flags = op->region->record.flags & RECORD_SPARSE};
    uint64_t id = request->id, size = op->size;

    if (op->result != -ENOENT || op->region->state != REGION_GONE || !peer) {
        attach_op_done(op);
        return;
    }
    request_end(request);
    create_or_find(env, peer, id, &record, size);
}

// Repeated after a reconnect, it finds what it made.
static void create_or_find(struct request_env *env, struct peer *peer, uint64_t id, struct record *record,
                           uint64_t size)
{
    struct region *r = region_find(env->op.regions, &record->handle);

    if (r && r->record.owner_uid == peer->user->uid && region_is_transient(r))
        attach_with(env, peer, id, r, false, size, find_op_done);
    else if (r)
        request_reply_error(peer, id, -EEXIST, NULL);
    else
        create(env, peer, id, record, size);
}

void request_create_region(struct request_env *env, struct peer *peer, uint64_t id,
                           const Diskalloc__V1__CreateRegion *m)
{
    struct record record = {.mode = 0600};
    int result = request_take_handle(&m->handle, &record.handle);

    if (result == 0 && m->flags & ~(uint32_t)DISKALLOC__V1__REGION_FLAG__REGION_SPARSE)
        result = -EOPNOTSUPP;
    if (result < 0) {
        request_reply_error(peer, id, result, NULL);
        return;
    }
    if (m->flags)
        record.flags = RECORD_SPARSE;
    create_or_find(env, peer, id, &record, m->size);
}

struct user *request_name_space(struct request_env *env, struct peer *peer, const ProtobufCBinaryData *field)
{
    char name[USER_NAME_MAX];

    if (field->len == 0)
        return peer->user;
    if (field->len >= sizeof name || memchr(field->data, '\0', field->len))
        return NULL;
    memcpy(name, field->data, field->len);
    name[field->len] = '\0';
    return user_find_by_name(env->users, name);
}

static int check_open(const Diskalloc__V1__OpenRegion *m)
{
    const uint32_t known = DISKALLOC__V1__REGION_FLAG__REGION_SPARSE | DISKALLOC__V1__REGION_FLAG__REGION_READ_ONLY |
                           DISKALLOC__V1__REGION_FLAG__REGION_CREATE | DISKALLOC__V1__REGION_FLAG__REGION_EXCLUSIVE;
    bool creates = m->flags & DISKALLOC__V1__REGION_FLAG__REGION_CREATE;

    if (m->flags & ~known)
        return -EOPNOTSUPP;
    if (m->mode & ~0777u || (!creates && m->flags & DISKALLOC__V1__REGION_FLAG__REGION_EXCLUSIVE))
        return -EINVAL;
    return name_check((const char *)m->name.data, m->name.len);
}

void request_open_region(struct request_env *env, struct peer *peer, uint64_t id, const Diskalloc__V1__OpenRegion *m)
{
    struct user *owner = request_name_space(env, peer, &m->user);
    bool creates = m->flags & DISKALLOC__V1__REGION_FLAG__REGION_CREATE;
    bool exclusive = m->flags & DISKALLOC__V1__REGION_FLAG__REGION_EXCLUSIVE;
    struct record record = {.mode = m->mode};
    struct region *r;
    int result = check_open(m);

    if (result == 0 && creates)
        result = request_take_handle(&m->handle, &record.handle);
    if (result < 0) {
        request_reply_error(peer, id, result, NULL);
        return;
    }
    r = owner ? region_find_name(env->op.regions, owner->uid, (const char *)m->name.data, m->name.len) : NULL;
    if (r && exclusive && !handle_equal(&r->record.handle, &record.handle))
        request_reply_error(peer, id, -EEXIST, NULL);
    else if (r)
        attach(env, peer, id, r, m->flags & DISKALLOC__V1__REGION_FLAG__REGION_READ_ONLY);
    else if (!creates || !owner)
        request_reply_error(peer, id, -ENOENT, NULL);
    else if (owner != peer->user)
        request_reply_error(peer, id, -EACCES, NULL);
    else if (region_find(env->op.regions, &record.handle))
        request_reply_error(peer, id, -EEXIST, NULL);
    else {
        memcpy(record.name, m->name.data, m->name.len);
        record.name_length = (uint8_t)m->name.len;
        if (m->flags & DISKALLOC__V1__REGION_FLAG__REGION_SPARSE)
            record.flags = RECORD_SPARSE;
        create(env, peer, id, &record, m->size);
    }
}

void request_attach_region(struct request_env *env, struct peer *peer, uint64_t id,
                           const Diskalloc__V1__AttachRegion *m)
{
    struct handle handle;
    struct region *r;
    int result = request_take_handle(&m->handle, &handle);

    if (result == 0 && m->flags & ~(uint32_t)DISKALLOC__V1__REGION_FLAG__REGION_READ_ONLY)
        result = -EOPNOTSUPP;
    r = result == 0 ? region_find(env->op.regions, &handle) : NULL;
    if (result == 0 && !r)
        result = -ENOENT;
    if (result < 0)
        request_reply_error(peer, id, result, NULL);
    else
        attach(env, peer, id, r, m->flags & DISKALLOC__V1__REGION_FLAG__REGION_READ_ONLY);
}

void request_detach_region(struct request_env *env, struct peer *peer, uint64_t id,
                           const Diskalloc__V1__DetachRegion *m)
{
    struct handle handle;
    struct region *r = request_take_handle(&m->handle, &handle) == 0 ? region_find(env->op.regions, &handle) : NULL;
    struct attachment *a = r ? region_attachment(r, peer) : NULL;

    if (a) {
        peer_detach(peer, a);
        orphans_consider(env->op.orphans, r);
    }
    if (m->handle.len == sizeof handle.bytes)
        request_reply_done(peer, id);
    else
        request_reply_error(peer, id, -EINVAL, NULL);
}

void request_open_file(struct request_env *env, struct peer *peer, uint64_t id, const Diskalloc__V1__OpenFile *m)
{
    struct attachment *a = request_attached(env, peer, id, &m->handle);
    struct request *request = a ? request_new_op(env, peer, id, &op_open, a->region) : NULL;

    if (!request)
        return;
    request->op.read_only = a->read_only;
    op_submit(&request->op);
}
