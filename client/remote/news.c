// What others do with a daemon's region: they change it, or ask whether they may cut it.
#include "client/remote/remote_internal.h"

bool remote_begin_watch(struct backing *b, uint64_t *ret_epoch)
{
    struct remote_backing *remote = (struct remote_backing *)b;

    return link_begin_watch(remote->link, remote->attachment, ret_epoch);
}

void remote_watch(struct backing *b, uint64_t epoch)
{
    struct remote_backing *remote = (struct remote_backing *)b;

    if (remote->watched)
        link_watch(remote->link, remote->attachment, epoch);
}

void remote_look(struct backing *b, struct backing_news *ret)
{
    struct remote_backing *remote = (struct remote_backing *)b;
    struct link_news news;

    link_look(remote->link, remote->attachment, &news);
    *ret = (struct backing_news){
        .quiet = news.quiet && !remote->attachment->stale,
        .asked = news.ask.number != 0,
        .agreed = news.agreed,
        .ask = news.ask.number,
        .asked_size = news.ask.size,
    };
}

void remote_agree(struct backing *b, const struct backing_news *news)
{
    struct remote_backing *remote = (struct remote_backing *)b;
    const struct ask ask = {.number = news->ask, .size = news->asked_size};

    link_agree(remote->link, remote->attachment, &ask);
}

// Any Grow takes the agreement back.  It is answered after a cut that has begun.
int remote_disagree(struct backing *b)
{
    Diskalloc__V1__GrowRegion grow = DISKALLOC__V1__GROW_REGION__INIT;
    WireRequest q = WIRE_REQUEST_INIT;
    int r;

    grow.handle = field_handle(&b->handle);
    q.body_case = DISKALLOC__V1__REQUEST__BODY_GROW_REGION;
    q.grow_region = &grow;
    r = remote_ask(b, &q, 0, NULL);
    if (r == 0)
        link_end_ask(((struct remote_backing *)b)->link, ((struct remote_backing *)b)->attachment);
    return r;
}
