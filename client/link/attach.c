// The regions that the client has attached.  To the daemon a connection has a region attached or not, however many regions of the client
// stand for it.
#include <stdlib.h>

#include "client/link/link_internal.h"

bool link_attach(struct link *link, struct attachment *attachment, uint64_t epoch)
{
    bool current;

    pthread_mutex_lock(&link->lock);
    current = epoch == link->epoch;
    if (current)
        TAILQ_INSERT_TAIL(&link->attachments, attachment, entry);
    pthread_mutex_unlock(&link->lock);
    return current;
}

static unsigned count_attached(const struct link *link, const struct handle *handle)
{
    const struct attachment *a;
    unsigned n = 0;

    TAILQ_FOREACH (a, &link->attachments, entry)
        n += handle_equal(&a->handle, handle);
    return n;
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
    if (count_attached(link, &attachment->handle) > 0 && link->connecting) {
        TAILQ_INSERT_TAIL(&link->closed, attachment, entry);
    } else if (count_attached(link, &attachment->handle) > 0) {
        free(attachment);
    } else {
        TAILQ_INSERT_TAIL(&link->leaving, attachment, entry);
        link_flush_leaving(link);
        link_hand_over_reading(link);
    }
    pthread_mutex_unlock(&link->lock);
}
