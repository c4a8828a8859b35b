// A region that a daemon made, attached on the client's connection.  The .proto says of each request why it may be repeated; all but
// Shrink are as they stand.
#include "client/remote/remote.h"

#include <errno.h>
#include <stdlib.h>

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
}

int remote_check_region(const struct answer *a, bool with_fd)
{
    int r = wire_refusal(a->reply);

    if (r < 0)
        return r;
    if (with_fd && a->fd < 0 && a->reply->has_fd)
        return error_why(-EMFILE, "this process may not have more descriptors");
    if (a->reply->body_case != DISKALLOC__V1__REPLY__BODY_REGION || (with_fd && a->fd < 0))
        return error_why(-EPROTO, "the daemon's reply has no region, or no descriptor");
    return 0;
}

// One that another thread's close of the same region has detached while this one was being attached.
static int attach_anew(struct remote_backing *remote)
{
    Diskalloc__V1__AttachRegion attach = DISKALLOC__V1__ATTACH_REGION__INIT;
    WireRequest q = WIRE_REQUEST_INIT;
    struct answer a = {.fd = -1};
    int r;

    attach.handle = field_handle(&remote->base.handle);
    attach.flags = remote->attachment->read_only ? DISKALLOC__V1__REGION_FLAG__REGION_READ_ONLY : 0;
    q.body_case = DISKALLOC__V1__REQUEST__BODY_ATTACH_REGION;
    q.attach_region = &attach;
    r = link_call(remote->link, &q, 0, &a);
    if (r == 0)
        r = wire_refusal(a.reply);
    answer_deinit(&a);
    return r;
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
    int r;

    if (remote->attachment->stale)
        return error_why(-ESTALE, "the daemon does not know the region any more");
    r = call_once(remote, q, flags, until, ret);
    if (r < 0 || !is_not_attached(ret))
        return r;
    answer_deinit(ret);
    r = attach_anew(remote);
    if (r < 0)
        return r == -ENOENT ? -ESTALE : r;
    error_forget();
    return call_once(remote, q, flags, until, ret);
}

int remote_ask(struct backing *b, WireRequest *q, unsigned flags, int *ret_fd)
{
    struct remote_backing *remote = (struct remote_backing *)b;
    struct answer a = {.fd = -1};
    int r;

    remote_settle_early(b, true);
    r = remote_call(remote, q, flags, 0, &a);
    if (r < 0) {
        b->unsure = true;
        return r;
    }
    r = remote_check_region(&a, ret_fd != NULL);
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

static int remote_grow(struct backing *b, uint64_t size)
{
    Diskalloc__V1__GrowRegion grow = DISKALLOC__V1__GROW_REGION__INIT;
    WireRequest q = WIRE_REQUEST_INIT;

    grow.handle = field_handle(&b->handle);
    grow.size = size;
    q.body_case = DISKALLOC__V1__REQUEST__BODY_GROW_REGION;
    q.grow_region = &grow;
    return remote_ask(b, &q, 0, NULL);
}

// The daemon's promise is kept for the grow that follows, which finds the work done.
static int remote_await_room(struct backing *b, uint64_t size, uint64_t until)
{
    Diskalloc__V1__GrowRegion grow = DISKALLOC__V1__GROW_REGION__INIT;
    WireRequest q = WIRE_REQUEST_INIT;
    struct answer a = {.fd = -1};
    int r;

    grow.handle = field_handle(&b->handle);
    grow.size = size;
    q.body_case = DISKALLOC__V1__REQUEST__BODY_GROW_REGION;
    q.grow_region = &grow;
    r = remote_call((struct remote_backing *)b, &q, 0, until, &a);
    if (r < 0)
        return r;
    r = remote_check_region(&a, false);
    answer_deinit(&a);
    if (r == -ENOENT)
        return -ESTALE;
    // After a reconnect there may have been no time left to wait.
    return (r == -EDQUOT || r == -ENOSPC) && grow.wait_ms == 0 ? -ETIMEDOUT : r;
}

static int stat_region(struct backing *b)
{
    Diskalloc__V1__StatRegion stat = DISKALLOC__V1__STAT_REGION__INIT;
    WireRequest q = WIRE_REQUEST_INIT;

    stat.handle = field_handle(&b->handle);
    q.body_case = DISKALLOC__V1__REQUEST__BODY_STAT_REGION;
    q.stat_region = &stat;
    return remote_ask(b, &q, 0, NULL);
}

// Others may have restored what was discarded, and a daemon that was restarted may have been asked for what nobody heard the answer to.
static int remote_refresh(struct backing *b)
{
    int r = stat_region(b);

    return r == 0 && ((struct remote_backing *)b)->discarded != b->discarded.sum ? remote_list_discarded(b) : r;
}

static int ask_to_shrink(struct backing *b, uint64_t size)
{
    Diskalloc__V1__ShrinkRegion shrink = DISKALLOC__V1__SHRINK_REGION__INIT;
    WireRequest q = WIRE_REQUEST_INIT;

    shrink.handle = field_handle(&b->handle);
    shrink.size = size;
    shrink.known_size = b->size;
    q.body_case = DISKALLOC__V1__REQUEST__BODY_SHRINK_REGION;
    q.shrink_region = &shrink;
    return remote_ask(b, &q, LINK_ONCE, NULL);
}

// STALE has two meanings: the region was unlinked, or its size is another.  And after a lost reply nobody knows whether it was done.
// In each case the region's present state tells.
static int remote_shrink(struct backing *b, uint64_t size)
{
    uint64_t known = b->size;
    int r, e;

    // To the daemon the connection is one attachment, for all the regions of this client.
    if (link_is_shared(((struct remote_backing *)b)->link, &b->handle))
        return error_why(-EBUSY, "this process has the region attached more than once");
    r = ask_to_shrink(b, size);
    if (r != -ESTALE && r != -EINTR)
        return r;
    e = remote_refresh(b);
    if (e < 0)
        return e;
    if (r == -EINTR)
        return b->size == size ? 0 : -EAGAIN;
    error_forget();
    return b->size != known ? -EAGAIN : error_why(-ESTALE, "the region was unlinked");
}

static int remote_commit(struct backing *b, uint64_t used, uint32_t element_size, bool durable)
{
    Diskalloc__V1__CommitRegion commit = DISKALLOC__V1__COMMIT_REGION__INIT;
    WireRequest q = WIRE_REQUEST_INIT;

    commit.handle = field_handle(&b->handle);
    commit.used = used;
    commit.element_size = element_size;
    commit.flags = durable ? DISKALLOC__V1__COMMIT_FLAG__COMMIT_DURABLE : 0;
    q.body_case = DISKALLOC__V1__REQUEST__BODY_COMMIT_REGION;
    q.commit_region = &commit;
    return remote_ask(b, &q, 0, NULL);
}

static void remote_mapped(struct backing *b)
{
    cleanup_close(&b->fd);
    b->fd = -1;
}

static int remote_open_file(struct backing *b, bool keep)
{
    Diskalloc__V1__OpenFile open_file = DISKALLOC__V1__OPEN_FILE__INIT;
    WireRequest q = WIRE_REQUEST_INIT;
    int fd = -1, r;

    open_file.handle = field_handle(&b->handle);
    q.body_case = DISKALLOC__V1__REQUEST__BODY_OPEN_FILE;
    q.open_file = &open_file;
    r = remote_ask(b, &q, 0, &fd);
    if (r == 0 && keep)
        b->fd = fd;
    return r < 0 ? r : fd;
}

static void remote_backing_close(struct backing *b, bool inherited)
{
    struct remote_backing *remote = (struct remote_backing *)b;

    if (inherited) {
        free(remote->attachment);
    } else {
        remote_drop_early(b);
        link_detach(remote->link, remote->attachment);
    }
    cleanup_close(&b->fd);
    ranges_deinit(&b->discarded);
    free(remote);
}

const struct backing_ops remote_backing_ops = {
    .grow = remote_grow,
    .grow_early = remote_grow_early,
    .settle_early = remote_settle_early,
    .shrink = remote_shrink,
    .await_room = remote_await_room,
    .discard = remote_discard,
    .restore = remote_restore,
    .refresh = remote_refresh,
    .commit = remote_commit,
    .mapped = remote_mapped,
    .open_file = remote_open_file,
    .close = remote_backing_close,
};
