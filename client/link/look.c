// What others do with the regions of the client, as a region sees it that is refreshed: whether there is news, and
// agreeing that the region is cut.
//
// A region that is watched need not ask the daemon whether it has changed: the daemon sends an event before it answers
// whoever changes the region next.  So if the socket is empty, there was no change that anybody can know of.  This does
// not count while another thread reads, who may hold a packet that is not noted yet; nor when very many packets were
// waiting, because the socket may have been full; nor for regions that the client has twice, because the daemon tells
// only other connections.
#include <sys/socket.h>

#include "client/link/link_internal.h"
#include "client/link/post.h"

enum { MOST_READ = 64 };

void link_look(struct link *link, struct attachment *attachment, struct link_news *ret)
{
    unsigned n = 0;

    pthread_mutex_lock(&link->lock);
    while (n < MOST_READ && link->connection && !link->reading && link_read_one(link, MSG_DONTWAIT))
        n++;
    link_hand_over_reading(link);
    link_refresh_news(link, attachment);
    *ret = (struct link_news){
        .quiet = n < MOST_READ && link->connection && !link->reading && attachment->watched && !attachment->changed &&
                 !attachment->twin,
        .agreed = attachment->agreed,
        .ask = attachment->ask,
    };
    pthread_mutex_unlock(&link->lock);
}

bool link_begin_watch(struct link *link, struct attachment *attachment, uint64_t *ret_epoch)
{
    bool may;

    pthread_mutex_lock(&link->lock);
    link_refresh_news(link, attachment);
    attachment->watched = attachment->changed = false;
    *ret_epoch = link->epoch;
    may = link->connection && link->connection->features & DISKALLOC__V1__FEATURE__FEATURE_SHARING;
    pthread_mutex_unlock(&link->lock);
    return may;
}

void link_watch(struct link *link, struct attachment *attachment, uint64_t epoch)
{
    pthread_mutex_lock(&link->lock);
    attachment->watched = epoch == link->epoch && attachment->news_epoch == epoch;
    pthread_mutex_unlock(&link->lock);
}

// Notes that ATTACHMENT has agreed.  True: so have all others of the handle.
static bool agree_all(struct link *link, struct attachment *attachment, uint64_t number)
{
    const struct attachment *a;
    bool all;

    link_refresh_news(link, attachment);
    all = attachment->ask.number == number;
    attachment->agreed = all;
    TAILQ_FOREACH (a, &link->attachments, entry)
        all = all && ((a->agreed && a->news_epoch == link->epoch) || !handle_equal(&a->handle, &attachment->handle));
    return all;
}

// If the socket is full, the region has agreed all the same, and says so when it is refreshed again.
void link_agree(struct link *link, struct attachment *attachment, const struct ask *ask)
{
    Diskalloc__V1__AgreeShrink agree = DISKALLOC__V1__AGREE_SHRINK__INIT;
    WireRequest q = WIRE_REQUEST_INIT;
    struct call c;
    bool all;

    pthread_mutex_lock(&link->lock);
    all = agree_all(link, attachment, ask->number);
    pthread_mutex_unlock(&link->lock);
    if (!all)
        return;
    agree.handle = field_handle(&attachment->handle);
    agree.ask = ask->number;
    q.body_case = DISKALLOC__V1__REQUEST__BODY_AGREE_SHRINK;
    q.agree_shrink = &agree;
    if (link_post(link, &q, &c) == 0) {
        link_drop(link, &c);
        return;
    }
    pthread_mutex_lock(&link->lock);
    attachment->agreed = false;
    pthread_mutex_unlock(&link->lock);
}

void link_end_ask(struct link *link, struct attachment *attachment)
{
    pthread_mutex_lock(&link->lock);
    attachment->ask = (struct ask){0};
    attachment->agreed = false;
    pthread_mutex_unlock(&link->lock);
}
