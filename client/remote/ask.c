// Requests about an attached region, and what their replies tell about it.  The other files of this folder are built
// on these.
#include <assert.h>
#include <errno.h>

#include "client/remote/remote_internal.h"
#include "client/util/error.h"
#include "proto/util/checked.h"
#include "proto/util/cleanup.h"

void remote_take_region(struct backing *b, const WireRegion *region)
{
    b->unsure = false;
    b->size = region->size;
    b->used = region->committed ? region->used : 0;
    b->element_size = region->element_size;
    b->committed = region->committed;
    b->sparse = region->flags & DISKALLOC__V1__REGION_FLAG__REGION_SPARSE;
    b->named = region->name.len > 0;
    ((struct remote_backing *)b)->discarded = region->discarded;
    ((struct remote_backing *)b)->watched = region->watched;
}

int remote_check_region(const struct answer *a, bool with_fd)
{
    int r;

    assert(a->reply);
    r = wire_refusal(a->reply);
    if (r < 0)
        return r;
    if (with_fd && a->fd < 0 && a->reply->has_fd)
        return error_why(-EMFILE, "this process may not have more descriptors");
    if (a->reply->body_case != DISKALLOC__V1__REPLY__BODY_REGION || (with_fd && a->fd < 0))
        return error_why(-EPROTO, "the daemon's reply has no region, or no descriptor");
    return 0;
}

bool remote_is_of_disk(int r)
{
    return r == -EIO || r == -ENOSPC;
}

// Attaches the region again.  The daemon may have refused that when the connection was made
// (client/link/reconnect.c).  And it knows one attachment of a connection, however many regions of the client stand
// for it: the close of another one may have detached it while this region was being attached.
static int attach_anew(struct remote_backing *remote)
{
    Diskalloc__V1__AttachRegion attach = DISKALLOC__V1__ATTACH_REGION__INIT;
    WireRequest q = WIRE_REQUEST_INIT;
    struct answer a = {.fd = -1};
    int r;

    attach.handle = field_handle(&remote->base.handle);
    attach.flags = link_attach_flags(remote->attachment);
    attach.held = true;
    q.body_case = DISKALLOC__V1__REQUEST__BODY_ATTACH_REGION;
    q.attach_region = &attach;
    r = link_call(remote->link, &q, 0, &a);
    if (r == 0)
        r = wire_refusal(a.reply);
    if (r == 0)
        link_check_owner(remote->attachment, a.reply);
    answer_deinit(&a);
    return r == 0 && remote->attachment->stale ? -ENOENT : r;
}

static bool is_not_attached(const struct answer *a)
{
    return a->reply->error && a->reply->error->code == DISKALLOC__V1__ERROR_CODE__NOT_ATTACHED;
}

static int call_once(struct remote_backing *remote, WireRequest *q, unsigned flags, uint64_t until, struct answer *ret)
{
    return until ? link_call_until(remote->link, q, until, ret) : link_call(remote->link, q, flags, ret);
}

int remote_call(struct remote_backing *remote, WireRequest *q, unsigned flags, uint64_t until, struct answer *ret)
{
    bool repeated;
    int r;

    if (remote->attachment->stale)
        return error_why(-ESTALE, "the daemon does not know the region any more");
    r = call_once(remote, q, flags, until, ret);
    if (r < 0 || !is_not_attached(ret))
        return r;
    repeated = ret->repeated;
    answer_deinit(ret);
    r = attach_anew(remote);
    if (r == -EACCES && link_renew(remote->link)) {
        error_forget();
        r = attach_anew(remote);
    }
    if (r == 0) {
        error_forget();
        r = call_once(remote, q, flags, until, ret);
    } else if (r == -ENOENT) {
        r = -ESTALE;
    }
    ret->repeated |= repeated;
    return r;
}

int remote_ask(struct backing *b, WireRequest *q, unsigned flags, int *ret_fd)
{
    struct remote_backing *remote = (struct remote_backing *)b;
    struct answer a = {.fd = -1};
    int r;

    assert(!remote->early_asked);
    r = remote_call(remote, q, flags, 0, &a);
    if (r < 0) {
        b->unsure |= r == -EINTR || r == -EPROTO || a.repeated;
        return r;
    }
    r = remote_check_region(&a, ret_fd != NULL);
    // The first attempt may have been carried out, whatever the daemon says about the second.
    if (r < 0 && (r == -EPROTO || a.repeated))
        b->unsure = true;
    if (r == -ENOENT)
        r = -ESTALE;
    if (r == 0)
        remote_take_region(b, a.reply->region);
    if (r == 0)
        ranges_cut(&b->discarded, align_up(b->size, DISCARD_BLOCK));
    if (r == 0 && ret_fd)
        *ret_fd = steal_fd(&a.fd);
    answer_deinit(&a);
    return r;
}
