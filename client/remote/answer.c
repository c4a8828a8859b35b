// Answers that tell of a region which the daemon has attached: a backing is made of them.
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "client/remote/remote_internal.h"
#include "client/util/error.h"
#include "proto/util/cleanup.h"

// Makes a backing of the region that the reply describes; the daemon has attached the region.  -EAGAIN: the
// connection was lost since, and the caller asks again.
static int take_backing(struct remote *remote, struct answer *a, bool made, uint32_t flags, struct backing **ret)
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
    attachment->owner = region->owner_uid;
    b->base = (struct backing){
        .ops = &remote_backing_ops,
        .handle = attachment->handle,
        .file = DESCRIPTOR_NONE,
        .made = made,
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

int remote_complete(struct backing **b)
{
    int r = remote_list_discarded(*b);

    if (r < 0) {
        if ((*b)->made && (*b)->named)
            (*b)->ops->abandon(*b);
        else
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

static bool tells_of_region(const struct answer *a)
{
    return !a->reply->error && a->reply->body_case == DISKALLOC__V1__REPLY__BODY_REGION;
}

static bool tells_of_handle(const struct answer *a, const struct handle *handle)
{
    const ProtobufCBinaryData *told = &a->reply->region->handle;

    return told->len == sizeof handle->bytes && memcmp(told->data, handle->bytes, sizeof handle->bytes) == 0;
}

int remote_take_answer(struct remote *remote, struct answer *a, const struct handle *made, uint32_t flags,
                       bool *ret_discarded, struct backing **ret)
{
    int r = remote_check_region(a, true);
    bool was_made = made && tells_of_region(a) && tells_of_handle(a, made);

    if (r == -EBUSY)
        error_why(r, flags & DISKALLOC_REGION_SOLE_WRITER ? "another process may write to the region"
                                                          : "another process is the region's sole writer");
    if (r == 0)
        r = take_backing(remote, a, was_made, flags, ret);
    *ret_discarded = r == 0 && a->reply->region->discarded > 0;
    if (r < 0 && tells_of_region(a))
        give_back(remote, a);
    if (r < 0 && r != -EAGAIN && was_made && a->reply->region->name.len > 0)
        remote_remove_made(remote->link, made);
    answer_deinit(a);
    return r;
}
