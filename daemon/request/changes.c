// Telling clients that a region which they have attached has changed, or that they are asked to agree to a cut.
//
// Most clients are told when they have their turn (news.c, conn/tell.c): a flood of changes becomes one event with the
// newest size, and whoever makes the changes does not wait for it.
//
// A client that watches (StatRegion.watch) is told at once, before the change is answered: so a client that has got no
// event knows that the region is as it was when it asked, and need not ask again.  This is bounded: each event was
// asked for by a Stat, few attachments of a region watch, and few of a connection, so that its socket has room for
// them.
#include "daemon/request/changes.h"

#include "daemon/news.h"
#include "proto/field.h"

static void send_event(const struct attachment *a, Diskalloc__V1__EventKind kind, uint64_t size, uint64_t ask)
{
    Diskalloc__V1__Reply reply = DISKALLOC__V1__REPLY__INIT;
    Diskalloc__V1__Event event = DISKALLOC__V1__EVENT__INIT;

    event.kind = kind;
    event.limit_name = (char *)"";
    event.handle = field_handle(&a->region->record.handle);
    event.size = size;
    event.ask = ask;
    reply.body_case = DISKALLOC__V1__REPLY__BODY_EVENT;
    reply.event = &event;
    a->peer->reply(a->peer, &reply, -1);
}

static void send_size(struct attachment *a)
{
    a->told_size = a->region->size;
    send_event(a, DISKALLOC__V1__EVENT_KIND__EVENT_REGION_RESIZED, a->told_size, 0);
}

void changes_tell(struct attachment *a)
{
    const struct op *asker = a->region->asker;

    if (a->told_size != a->region->size)
        send_size(a);
    if (a->ask_is_due && asker)
        send_event(a, DISKALLOC__V1__EVENT_KIND__EVENT_SHRINK_ASKED, asker->size, a->ask);
    a->ask_is_due = false;
}

bool changes_watch(struct attachment *a)
{
    struct holders *h = &a->region->holders;

    if (a->watches)
        return true;
    if (!a->hears || a->peer->n_watched >= PEER_MAX_WATCHED || h->n_watching >= REGION_MAX_WATCHERS)
        return false;
    holders_set_watching(h, a, true);
    a->peer->n_watched++;
    return true;
}

static void tell_watcher(struct attachment *a)
{
    holders_set_watching(&a->region->holders, a, false);
    a->peer->n_watched--;
    if (a->told_size != a->region->size)
        send_size(a);
    else
        send_event(a, DISKALLOC__V1__EVENT_KIND__EVENT_REGION_CHANGED, a->region->size, 0);
}

void changes_note(struct request_env *env, struct region *r, const struct peer *by)
{
    struct holders *h = &r->holders;
    struct attachment *own = by ? holders_find(h, by) : NULL, *a;
    unsigned n_others = h->n_hearing - (own && own->hears), n_others_told = h->n_news - (own && own->in_news);

    // The one who makes a change knows of it; but not how an ask has ended.
    if (own && own->told_size != UINT64_MAX)
        own->told_size = r->size;
    // While all others have to be told anyway, further changes cost nothing.
    if (h->n_watching == 0 && n_others_told >= n_others)
        return;
    TAILQ_FOREACH (a, &h->attachments, of_region) {
        if (a == own || !a->hears)
            continue;
        if (a->watches)
            tell_watcher(a);
        else if (a->told_size != r->size)
            news_add(env->op.news, a);
    }
}
