// The backend that asks a daemon: how a client gets backings, and the calls that concern no region.
#include "client/remote/remote_internal.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "client/link/post.h"
#include "client/util/error.h"
#include "proto/field.h"
#include "proto/util/cleanup.h"

enum { OPEN_ATTEMPTS = 100 }; // other processes may make and unlink the same name meanwhile

// Sends a request whose reply is a region with a descriptor, and makes the backing.  MADE: see remote_take_answer.
static int ask_for_region(struct remote *remote, WireRequest *q, const struct handle *made, uint32_t flags,
                          struct backing **ret)
{
    bool discarded = false;
    int r;

    do {
        struct answer a = {.fd = -1};

        r = link_call(remote->link, q, 0, &a);
        if (r < 0)
            return r;
        r = remote_take_answer(remote, &a, made, flags, &discarded, ret);
    } while (r == -EAGAIN);
    return r == 0 && discarded ? remote_complete(ret) : r;
}

// Neither makes a connection nor repeats the request on another one: the region is not needed yet, or the caller must
// not wait.
static int ask_at_once(struct remote *remote, WireRequest *q, struct backing **ret)
{
    struct answer a = {.fd = -1};
    bool discarded;
    struct call c;
    int r;

    if (q->create_region->early && !link_has_feature(remote->link, DISKALLOC__V1__FEATURE__FEATURE_EARLY_CREATE))
        return -EAGAIN;
    r = link_post(remote->link, q, &c);
    if (r == 0)
        r = link_collect(remote->link, &c, true, &a);
    return r < 0 ? r : remote_take_answer(remote, &a, NULL, 0, &discarded, ret);
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
    if (request->early || request->at_once)
        return ask_at_once((struct remote *)backend, &q, ret);
    return ask_for_region((struct remote *)backend, &q, NULL, request->flags, ret);
}

static int open_once(struct backend *backend, const struct region_name *name, const struct backing_request *request,
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
    return ask_for_region((struct remote *)backend, &q, &handle, request->flags, ret);
}

// The region was unlinked while the daemon opened it: to this call it does not exist.
static int remote_open(struct backend *backend, const struct region_name *name, const struct backing_request *request,
                       struct backing **ret)
{
    int r = -ESTALE;

    for (int i = 0; r == -ESTALE && i < OPEN_ATTEMPTS; i++) {
        error_forget();
        r = open_once(backend, name, request, ret);
    }
    return r == -ESTALE ? error_why(-EAGAIN, "others unlink %s as soon as it is there", name->name) : r;
}

static int remote_attach(struct backend *backend, const struct handle *handle, uint32_t flags, struct backing **ret)
{
    Diskalloc__V1__AttachRegion attach = DISKALLOC__V1__ATTACH_REGION__INIT;
    WireRequest q = WIRE_REQUEST_INIT;

    attach.handle = field_handle(handle);
    attach.flags = flags;
    q.body_case = DISKALLOC__V1__REQUEST__BODY_ATTACH_REGION;
    q.attach_region = &attach;
    return ask_for_region((struct remote *)backend, &q, NULL, flags, ret);
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
    .clone = remote_clone,
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
