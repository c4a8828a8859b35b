// Notes what others do with the regions of the client: they change them, or ask whether they may cut them.  The daemon
// says so by events, which come among the replies; look.c has the rest.
//
// What was heard counts for one connection.  On the next one, a region is attached anew, and the daemon asks again.
#include <string.h>

#include "client/link/link_internal.h"

static void queue_event(struct link *link, int kind, const struct handle *handle, uint64_t size)
{
    struct diskalloc_event event = {.kind = kind, .size = size};

    handle_format(handle, event.handle);
    events_add(&link->events, &event);
}

static void note_ask(struct attachment *a, const struct ask *ask)
{
    a->ask = *ask;
    a->agreed = false;
}

void link_refresh_news(const struct link *link, struct attachment *attachment)
{
    static const struct ask none;

    if (attachment->news_epoch == link->epoch)
        return;
    attachment->news_epoch = link->epoch;
    attachment->watched = false;
    attachment->changed = true;
    note_ask(attachment, &none);
}

static void forget_recent(struct link *link, const struct handle *handle)
{
    for (unsigned i = 0; i < RECENT_ASKS; i++)
        if (handle_equal(&link->recent_asks[i].handle, handle))
            link->recent_asks[i].ask.number = 0;
}

void link_take_news(struct link *link, const Diskalloc__V1__Event *event)
{
    bool asks = event->kind == DISKALLOC__V1__EVENT_KIND__EVENT_SHRINK_ASKED;
    const struct ask ask = {.number = asks ? event->ask : 0, .size = event->size};
    bool resized = event->kind == DISKALLOC__V1__EVENT_KIND__EVENT_REGION_RESIZED;
    struct handle handle;
    struct attachment *a;

    if (event->handle.len != sizeof handle.bytes ||
        (!asks && !resized && event->kind != DISKALLOC__V1__EVENT_KIND__EVENT_REGION_CHANGED))
        return;
    memcpy(handle.bytes, event->handle.data, sizeof handle.bytes);
    if (asks || resized)
        forget_recent(link, &handle);
    TAILQ_FOREACH (a, &link->attachments, entry) {
        if (!handle_equal(&a->handle, &handle))
            continue;
        link_refresh_news(link, a);
        a->changed = true;
        if (asks || resized)
            note_ask(a, &ask);
    }
    if (asks)
        link->recent_asks[link->next_recent++ % RECENT_ASKS] = (struct recent_ask){handle, link->epoch, ask};
    if (asks || resized)
        queue_event(link, asks ? DISKALLOC_EVENT_SHRINK_ASKED : DISKALLOC_EVENT_REGION_RESIZED, &handle, event->size);
}

void link_begin_news(struct link *link, struct attachment *attachment, bool twin)
{
    struct attachment *a;

    attachment->news_epoch = UINT64_MAX;
    link_refresh_news(link, attachment);
    for (unsigned i = 0; i < RECENT_ASKS; i++) {
        const struct recent_ask *recent = &link->recent_asks[i];

        if (recent->epoch == link->epoch && handle_equal(&recent->handle, &attachment->handle))
            attachment->ask = recent->ask;
    }
    attachment->twin = twin;
    if (!twin)
        return;
    TAILQ_FOREACH (a, &link->attachments, entry)
        a->twin |= handle_equal(&a->handle, &attachment->handle);
}
