// The backend that asks a daemon: how a client gets backings, and the calls that concern no region.
#include "client/remote/remote_internal.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "client/link/post.h"
#include "client/util/error.h"
#include "proto/field.h"
#include "proto/util/cleanup.h"

// Makes a backing of the region that the reply describes; the daemon has attached the region.  -EAGAIN: the
// connection was lost since, and the caller asks again.
static int take_backing(struct remote *remote, struct answer *a, uint32_t flags, struct backing **ret)
{
    const WireRegion *region = a->reply->region;
    _cleanup_free_ struct remote_backing *b = calloc(1, sizeof *b);
    _cleanup_free_ struct attachment *attachment = calloc(1, sizeof *attachment);
    int r;

    if (!b || !attachment)
        return -ENOMEM;
    if (region->handle.len != sizeof attachment->handle.bytes)
        return error_why(-EPROTO, "the daemon's reply has no handle");
    memcpy(attachment->handle.bytes, region->handle.data, sizeof attachment->handle.bytes);
    attachment->read_only = (region->flags | flags) & DISKALLOC__V1__REGION_FLAG__REGION_READ_ONLY;
    attachment->sole_writer = flags & DISKALLOC_REGION_SOLE_WRITER;
    b->base = (struct backing){
        .ops = &remote_backing_ops,
        .handle = attachment->handle,
        .file = DESCRIPTOR_NONE,
        .read_only = attachment->read_only,
        .agreed_to = UINT64_MAX,
    };
    remote_take_region(&b->base, region);
    b->link = remote->link;
    b->attachment = attachment;
    r = descriptor_keep(&b->base.file, steal_fd(&a->fd));
    if (r < 0)
        return r;
    if (!link_attach(remote->link, attachment, a->epoch)) {
        descriptor_close(&b->base.file);
        return -EAGAIN;
    }
    steal(&attachment);
    *ret = &steal(&b)->base;
    return 0;
}

// Asks which parts of a new backing are discarded; closes the backing on failure.
static int list_discarded(struct backing **b)
{
    int r = remote_list_discarded(*b);

    if (r < 0) {
        (*b)->ops->close(*b, false);
        *b = NULL;
    }
    return r;
}

// The daemon has attached the region, and no backing could be made of it: detaches it.
static void give_back(struct remote *remote, const struct answer *a)
{
    struct attachment *attachment = calloc(1, sizeof *attachment);

    if (!attachment || a->reply->region->handle.len != sizeof attachment->handle.bytes) {
        free(attachment);
        return;
    }
    memcpy(attachment->handle.bytes, a->reply->region->handle.data, sizeof attachment->handle.bytes);
    if (link_attach(remote->link, attachment, a->epoch))
        link_detach(remote->link, attachment);
    else
        free(attachment);
}

// Makes the backing that an answer tells of, and frees the answer.  -EAGAIN: the connection was lost since.
static int take_answer(struct remote *remote, struct answer *a, uint32_t flags, bool *ret_discarded,
                       struct backing **ret)
{
    int r = remote_check_region(a, true);

    if (r == -EBUSY)
        error_why(r, flags & DISKALLOC_REGION_SOLE_WRITER ? "another process may write to the region"
                                                          : "another process is the region's sole writer");
    if (r == 0)
        r = take_backing(remote, a, flags, ret);
    *ret_discarded = r == 0 && a->reply->region->discarded > 0;
    if (r < 0 && !a->reply->error && a->reply->body_case == DISKALLOC__V1__REPLY__BODY_REGION)
        give_back(remote, a);
    answer_deinit(a);
    return r;
}

// Sends a request whose reply is a region with a descriptor, and makes the backing.
static int ask_for_region(struct remote *remote, WireRequest *q, uint32_t flags, struct backing **ret)
{
    bool discarded = false;
    int r;

    do {
        struct answer a = {.fd = -1};

        r = link_call(remote->link, q, 0, &a);
        if (r < 0)
            return r;
        r = take_answer(remote, &a, flags, &discarded, ret);
    } while (r == -EAGAIN);
    return r == 0 && discarded ? list_discarded(ret) : r;
}

// Neither makes a connection nor repeats the request on another one: the region is not needed yet.
static int ask_early(struct remote *remote, WireRequest *q, struct backing **ret)
{
    struct answer a = {.fd = -1};
    bool discarded;
    struct call c;
    int r;

    if (!link_has_feature(remote->link, DISKALLOC__V1__FEATURE__FEATURE_EARLY_CREATE))
        return -EAGAIN;
    r = link_post(remote->link, q, &c);
    if (r == 0)
        r = link_collect(remote->link, &c, true, &a);
    return r < 0 ? r : take_answer(remote, &a, 0, &discarded, ret);
}

static int remote_create(struct backend *backend, const struct backing_request *request, struct backing **ret)
{
    Diskalloc__V1__CreateRegion create = DISKALLOC__V1__CREATE_REGION__INIT;
    WireRequest q = WIRE_REQUEST_INIT;
    struct handle handle;
    int r = handle_random(&handle);

    if (r < 0)
        return r;
    create.handle = field_handle(&handle);
    create.size = request->size;
    create.flags = request->flags;
    create.early = request->early;
    q.body_case = DISKALLOC__V1__REQUEST__BODY_CREATE_REGION;
    q.create_region = &create;
    if (request->early)
        return ask_early((struct remote *)backend, &q, ret);
    return ask_for_region((struct remote *)backend, &q, request->flags, ret);
}

static int remote_open(struct backend *backend, const struct region_name *name, const struct backing_request *request,
                       struct backing **ret)
{
    Diskalloc__V1__OpenRegion open = DISKALLOC__V1__OPEN_REGION__INIT;
    WireRequest q = WIRE_REQUEST_INIT;
    struct handle handle;
    int r = handle_random(&handle);

    if (r < 0)
        return r;
    open.name = field_text(name->name);
    open.user = field_text(name->user);
    open.handle = field_handle(&handle);
    open.size = request->size;
    open.flags = request->flags;
    open.mode = request->mode;
    q.body_case = DISKALLOC__V1__REQUEST__BODY_OPEN_REGION;
    q.open_region = &open;
    return ask_for_region((struct remote *)backend, &q, request->flags, ret);
}

static int remote_attach(struct backend *backend, const struct handle *handle, uint32_t flags, struct backing **ret)
{
    Diskalloc__V1__AttachRegion attach = DISKALLOC__V1__ATTACH_REGION__INIT;
    WireRequest q = WIRE_REQUEST_INIT;

    attach.handle = field_handle(handle);
    attach.flags = flags;
    q.body_case = DISKALLOC__V1__REQUEST__BODY_ATTACH_REGION;
    q.attach_region = &attach;
    return ask_for_region((struct remote *)backend, &q, flags, ret);
}

static int remote_unlink(struct backend *backend, const struct region_name *name)
{
    Diskalloc__V1__UnlinkRegion unlink_region = DISKALLOC__V1__UNLINK_REGION__INIT;
    WireRequest q = WIRE_REQUEST_INIT;
    struct answer a = {.fd = -1};
    int r;

    unlink_region.name = field_text(name->name);
    unlink_region.user = field_text(name->user);
    q.body_case = DISKALLOC__V1__REQUEST__BODY_UNLINK_REGION;
    q.unlink_region = &unlink_region;
    r = link_call(((struct remote *)backend)->link, &q, 0, &a);
    if (r < 0)
        return r;
    r = wire_refusal(a.reply);
    if (r == -ENOENT && a.repeated)
        r = 0;
    answer_deinit(&a);
    return r;
}

static int remote_get_usage(struct backend *backend, const char *subject, struct diskalloc_usage *ret)
{
    Diskalloc__V1__GetUsage get_usage = DISKALLOC__V1__GET_USAGE__INIT;
    WireRequest q = WIRE_REQUEST_INIT;
    struct answer a = {.fd = -1};
    const Diskalloc__V1__Usage *u;
    int r;

    get_usage.subject = field_text(subject ? subject : "");
    q.body_case = DISKALLOC__V1__REQUEST__BODY_GET_USAGE;
    q.get_usage = &get_usage;
    r = link_call(((struct remote *)backend)->link, &q, 0, &a);
    if (r < 0)
        return r;
    r = wire_refusal(a.reply);
    if (r == 0 && a.reply->body_case != DISKALLOC__V1__REPLY__BODY_USAGE)
        r = error_why(-EPROTO, "the daemon's reply has no usage");
    if (r == 0) {
        u = a.reply->usage;
        *ret = (struct diskalloc_usage){u->bytes,         u->bytes_limit, u->regions,
                                        u->regions_limit, u->connections, u->connections_limit,
                                        u->warn_bytes,    u->waiters,     u->grantable_bytes};
    }
    answer_deinit(&a);
    return r;
}

static int remote_event_fd(struct backend *backend)
{
    return link_event_fd(((struct remote *)backend)->link);
}

static int remote_next_event(struct backend *backend, struct diskalloc_event *ret)
{
    return link_next_event(((struct remote *)backend)->link, ret);
}

static void remote_forked(struct backend *backend)
{
    link_forked(((struct remote *)backend)->link);
}

static void remote_close(struct backend *backend)
{
    link_leave(((struct remote *)backend)->link);
    link_free(((struct remote *)backend)->link);
    free(backend);
}

static const struct backend_ops remote_backend_ops = {
    .create = remote_create,
    .open = remote_open,
    .attach = remote_attach,
    .unlink = remote_unlink,
    .get_usage = remote_get_usage,
    .list = remote_list,
    .event_fd = remote_event_fd,
    .next_event = remote_next_event,
    .forked = remote_forked,
    .close = remote_close,
};

int remote_backend_new(const char *path, const struct diskalloc_options *options, struct backend **ret)
{
    _cleanup_free_ struct remote *remote = calloc(1, sizeof *remote);
    int r;

    if (!remote)
        return -ENOMEM;
    remote->base.ops = &remote_backend_ops;
    r = link_new(path, options, &remote->link);
    if (r < 0)
        return r;
    *ret = &steal(&remote)->base;
    return 0;
}
