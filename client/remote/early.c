// Growing a daemon's region before there is need.  The request is sent without waiting.  Its answer is there when the
// vector comes by again, so nobody waits for a round trip.
#include <errno.h>

#include "client/link/post.h"
#include "client/remote/remote_internal.h"
#include "client/util/error.h"
#include "proto/diskalloc.pb-c.h"

int remote_grow_early(struct backing *b, uint64_t size)
{
    struct remote_backing *remote = (struct remote_backing *)b;
    Diskalloc__V1__GrowRegion grow = DISKALLOC__V1__GROW_REGION__INIT;
    WireRequest q = WIRE_REQUEST_INIT;
    int r;

    // A daemon without the feature would take the request for an ordinary grow, and log a refusal.
    if (remote->early_asked || remote->attachment->stale ||
        !link_has_feature(remote->link, DISKALLOC__V1__FEATURE__FEATURE_EARLY_GROWTH))
        return -EAGAIN;
    grow.handle = field_handle(&b->handle);
    grow.size = size;
    grow.early = true;
    q.body_case = DISKALLOC__V1__REQUEST__BODY_GROW_REGION;
    q.grow_region = &grow;
    r = link_post(remote->link, &q, &remote->early);
    remote->early_asked = r == 0;
    return r;
}

// A refusal is not reported: the space is not needed yet.  When it is needed, an ordinary grow asks again.
static int take_answer(struct backing *b, struct answer *a)
{
    int r = remote_check_region(a, false);

    if (r == 0)
        remote_take_region(b, a->reply->region);
    answer_deinit(a);
    return r < 0 ? -EDQUOT : 1;
}

int remote_settle_early(struct backing *b, bool wait)
{
    struct remote_backing *remote = (struct remote_backing *)b;
    struct answer a = {.fd = -1};
    int r;

    if (!remote->early_asked)
        return 0;
    r = link_collect(remote->link, &remote->early, wait, &a);
    if (r == -EAGAIN)
        return r;
    remote->early_asked = false;
    if (r < 0)
        b->unsure = true;
    else
        r = take_answer(b, &a);
    error_forget();
    return r;
}

void remote_drop_early(struct backing *b)
{
    struct remote_backing *remote = (struct remote_backing *)b;

    if (remote->early_asked)
        link_drop(remote->link, &remote->early);
    remote->early_asked = false;
}
