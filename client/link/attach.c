// The regions that the client has attached.  To the daemon a connection has a region attached or not, however many
// regions of the client stand for it.
#include <errno.h>
#include <stdlib.h>

#include "client/link/link_internal.h"
#include "proto/util/clock.h"

enum { LEAVE_MS = 1000 };

uint32_t link_attach_flags(const struct attachment *attachment)
{
    return (attachment->read_only ? (uint32_t)DISKALLOC__V1__REGION_FLAG__REGION_READ_ONLY : 0) |
           (attachment->sole_writer ? (uint32_t)DISKALLOC__V1__REGION_FLAG__REGION_SOLE_WRITER : 0);
}

void link_check_owner(struct attachment *attachment, const WireReply *reply)
{
    bool tells = reply->body_case == DISKALLOC__V1__REPLY__BODY_REGION && reply->region;

    if (tells && reply->region->owner_uid != attachment->owner)
        attachment->stale = true;
}

static unsigned count_attached(const struct link *link, const struct handle *handle)
{
    const struct attachment *a;
    unsigned n = 0;

    TAILQ_FOREACH (a, &link->attachments, entry)
        n += handle_equal(&a->handle, handle);
    return n;
}

bool link_attach(struct link *link, struct attachment *attachment, uint64_t epoch)
{
    bool current;

    pthread_mutex_lock(&link->lock);
    current = epoch == link->epoch;
    if (current) {
        link_begin_news(link, attachment, count_attached(link, &attachment->handle) > 0);
        TAILQ_INSERT_TAIL(&link->attachments, attachment, entry);
    }
    pthread_mutex_unlock(&link->lock);
    return current;
}

bool link_is_shared(struct link *link, const struct handle *handle)
{
    bool shared;

    pthread_mutex_lock(&link->lock);
    shared = count_attached(link, handle) > 1;
    pthread_mutex_unlock(&link->lock);
    return shared;
}

void link_detach(struct link *link, struct attachment *attachment)
{
    pthread_mutex_lock(&link->lock);
    TAILQ_REMOVE(&link->attachments, attachment, entry);
    attachment->keeps_reading = attachment->sole_writer && count_attached(link, &attachment->handle) > 0;
    if (attachment->keeps_reading || count_attached(link, &attachment->handle) == 0) {
        TAILQ_INSERT_TAIL(&link->leaving, attachment, entry);
        link_flush_leaving(link);
        link_hand_over_reading(link);
    } else if (link->connecting) {
        TAILQ_INSERT_TAIL(&link->closed, attachment, entry);
    } else {
        free(attachment);
    }
    pthread_mutex_unlock(&link->lock);
}

void link_leave(struct link *link)
{
    uint64_t until = clock_after(LEAVE_MS);

    pthread_mutex_lock(&link->lock);
    while (link_flush_leaving(link) == -EAGAIN && clock_left(until) > 0)
        link_wait_sendable(link, (int)clock_left(until));
    pthread_mutex_unlock(&link->lock);
}
