// What requests that become operations on a region have in common.
#include <errno.h>
#include <string.h>

#include "daemon/request/message.h"
#include "daemon/request/request.h"
#include "proto/util/cleanup.h"

static void reply_region(struct request *request, const struct region *r, int fd)
{
    Diskalloc__V1__Reply reply = DISKALLOC__V1__REPLY__INIT;
    Diskalloc__V1__Region region;

    message_region(r, request->peer, &region);
    reply.id = request->id;
    reply.body_case = DISKALLOC__V1__REPLY__BODY_REGION;
    reply.region = &region;
    request->peer->reply(request->peer, &reply, fd);
}

// The refusal of a Shrink names the present size.
void request_reply_failure(struct request *request)
{
    Diskalloc__V1__Reply reply = DISKALLOC__V1__REPLY__INIT;
    Diskalloc__V1__Error e;

    message_error(request->op.result, &request->op.refusal, &e);
    if (request->op.type == &op_shrink && request->op.region->state == REGION_LIVE)
        e.size = request->op.region->size;
    reply.id = request->id;
    reply.error = &e;
    request->peer->reply(request->peer, &reply, -1);
}

void request_op_done(struct op *op)
{
    struct request *request = op->owner;

    if (request->peer && op->result < 0)
        request_reply_failure(request);
    else if (request->peer)
        reply_region(request, op->region, steal_fd(&op->fd));
    cleanup_close(&op->fd);
    request_end(request);
}

// Those that wait do not keep their connection from asking for more: they are bounded on their own, in wait.c.
static void op_waits(struct op *op, bool waits)
{
    struct request *request = op->owner;

    if (!request->peer)
        return;
    request->peer->n_waiting += waits ? 1 : -1U;
    request->peer->resume(request->peer);
}

struct request *request_new_op(struct request_env *env, struct peer *peer, uint64_t id, const struct op_type *type,
                               struct region *r)
{
    struct request *request = request_new(env, peer, id);

    if (!request)
        return NULL;
    op_init(&request->op, &env->op, type, r);
    request->op.done = request_op_done;
    request->op.waits = op_waits;
    request->op.owner = request;
    request->op.pid = peer->pid;
    return request;
}

int request_take_handle(const ProtobufCBinaryData *field, struct handle *ret)
{
    if (field->len != sizeof ret->bytes)
        return -EINVAL;
    memcpy(ret->bytes, field->data, sizeof ret->bytes);
    return 0;
}

// The region of HANDLE as PEER has it request_attached; NULL: told why not.
struct attachment *request_attached(struct request_env *env, struct peer *peer, uint64_t id,
                                    const ProtobufCBinaryData *field)
{
    struct handle handle;
    int result = request_take_handle(field, &handle);
    struct region *r = result == 0 ? region_find(env->op.regions, &handle) : NULL;
    struct attachment *a = r ? region_attachment(r, peer) : NULL;

    if (!a)
        request_reply_error(peer, id, result < 0 ? result : -ENOTCONN, NULL);
    return a;
}

// As request_attached, for what changes the region.
struct attachment *request_attached_for_writing(struct request_env *env, struct peer *peer, uint64_t id,
                                                const ProtobufCBinaryData *field)
{
    struct attachment *a = request_attached(env, peer, id, field);

    if (a && a->read_only) {
        request_reply_error(peer, id, -EROFS, NULL);
        return NULL;
    }
    return a;
}
