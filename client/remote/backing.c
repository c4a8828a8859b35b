// A region of a daemon, attached on the client's connection.
//
// A request may be sent twice, when a connection is lost and nobody knows whether the daemon carried the request
// out.  The .proto says of each request why that does no harm.  Shrink is the exception: it is sent once, and the
// region's present state then says whether it was done.
#include "client/remote/remote_internal.h"

#include <errno.h>
#include <stdlib.h>

#include "client/util/error.h"
#include "proto/util/checked.h"
#include "proto/util/cleanup.h"
#include "proto/util/clock.h"

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

// The daemon grants the space.  The answer is not taken over here, without the region's lock: the grow that follows
// finds the work done.
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
    // Sent again after a reconnect with no time left to wait, the request is refused like one that does not wait.
    return (r == -EDQUOT || r == -ENOSPC) && grow.wait_ms == 0 ? -ETIMEDOUT : r;
}

static int stat_region(struct backing *b)
{
    Diskalloc__V1__StatRegion stat = DISKALLOC__V1__STAT_REGION__INIT;
    WireRequest q = WIRE_REQUEST_INIT;
    uint64_t epoch = 0;
    int r;

    stat.handle = field_handle(&b->handle);
    stat.watch = remote_begin_watch(b, &epoch);
    q.body_case = DISKALLOC__V1__REQUEST__BODY_STAT_REGION;
    q.stat_region = &stat;
    r = remote_ask(b, &q, 0, NULL);
    if (r == 0)
        remote_watch(b, epoch);
    return r;
}

// Another process may have restored discarded parts, or the answer to an earlier request may have been lost: so the
// list is asked for whenever its sum differs.  When a discard or restore is in doubt, equal sums prove nothing.
static int remote_refresh(struct backing *b)
{
    int r = stat_region(b);

    if (r == 0 && (b->unsure_parts || ((struct remote_backing *)b)->discarded != b->discarded.sum))
        r = remote_list_discarded(b);
    return r;
}

static int ask_to_shrink(struct backing *b, uint64_t size)
{
    Diskalloc__V1__ShrinkRegion shrink = DISKALLOC__V1__SHRINK_REGION__INIT;
    WireRequest q = WIRE_REQUEST_INIT;

    shrink.handle = field_handle(&b->handle);
    shrink.size = size;
    shrink.known_size = b->size;
    shrink.wait_ms = b->agree_until ? clock_left(b->agree_until) : 0;
    q.body_case = DISKALLOC__V1__REQUEST__BODY_SHRINK_REGION;
    q.shrink_region = &shrink;
    return remote_ask(b, &q, LINK_ONCE, NULL);
}

// STALE has two meanings: the region was unlinked, or its size is not b->size.  And after a lost reply nobody knows
// whether the shrink was done.  In each case the region's present state tells.
static int remote_shrink(struct backing *b, uint64_t size)
{
    uint64_t known = b->size;
    int r, e;

    // The daemon can't refuse this: to the daemon the connection is one attachment, however many regions of this
    // client stand for it.
    if (link_is_shared(((struct remote_backing *)b)->link, &b->handle))
        return error_why(-EBUSY, "this process has the region attached more than once");
    r = ask_to_shrink(b, size);
    if (remote_is_of_disk(r)) {
        b->unsure = true;
        return remote_refresh(b) < 0 ? error_why(r, "the daemon does not tell what its disk has done") : r;
    }
    if (r != -ESTALE && r != -EINTR)
        return r;
    e = remote_refresh(b);
    if (e < 0)
        return r == -EINTR && e != -ESTALE ? link_answer_lost(e) : e;
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
    descriptor_close(&b->file);
}

static int remote_open_file(struct backing *b, bool keep)
{
    Diskalloc__V1__OpenFile open_file = DISKALLOC__V1__OPEN_FILE__INIT;
    WireRequest q = WIRE_REQUEST_INIT;
    int fd = -1, r;

    // First: the new descriptor may get the number of one that the program has closed, and would be taken for that one.
    if (keep)
        descriptor_close(&b->file);
    open_file.handle = field_handle(&b->handle);
    q.body_case = DISKALLOC__V1__REQUEST__BODY_OPEN_FILE;
    q.open_file = &open_file;
    r = remote_ask(b, &q, 0, &fd);
    if (r == 0 && keep)
        r = descriptor_keep(&b->file, fd);
    return r < 0 ? r : keep ? b->file.fd : fd;
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
    descriptor_close(&b->file);
    ranges_deinit(&b->discarded);
    free(remote);
}

void remote_remove_made(struct link *link, const struct handle *handle)
{
    Diskalloc__V1__RemoveRegion remove = DISKALLOC__V1__REMOVE_REGION__INIT;
    WireRequest q = WIRE_REQUEST_INIT;
    struct answer a = {.fd = -1};

    remove.handle = field_handle(handle);
    q.body_case = DISKALLOC__V1__REQUEST__BODY_REMOVE_REGION;
    q.remove_region = &remove;
    if (link_call(link, &q, LINK_ONCE, &a) == 0)
        answer_deinit(&a);
}

static void remote_abandon(struct backing *b)
{
    struct link *link = ((struct remote_backing *)b)->link;
    struct handle handle = b->handle;

    remote_backing_close(b, false);
    remote_remove_made(link, &handle);
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
    .look = remote_look,
    .agree = remote_agree,
    .disagree = remote_disagree,
    .commit = remote_commit,
    .mapped = remote_mapped,
    .open_file = remote_open_file,
    .close = remote_backing_close,
    .abandon = remote_abandon,
};
