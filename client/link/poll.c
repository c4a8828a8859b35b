// Events, for a program that polls a descriptor (events.c) and then asks for the next event.
#include <sys/socket.h>

#include "client/link/link_internal.h"

int link_event_fd(struct link *link)
{
    bool is_new;
    int fd;

    pthread_mutex_lock(&link->lock);
    fd = events_fd(&link->events, &is_new);
    if (fd >= 0 && is_new && link->connection)
        events_watch(&link->events, link->connection);
    else if (fd >= 0 && is_new)
        events_call_in(&link->events, EVENTS_FIRST_PAUSE_MS);
    pthread_mutex_unlock(&link->lock);
    return fd;
}

// Another thread that reads the connection queues the events that it finds.
int link_next_event(struct link *link, struct diskalloc_event *ret)
{
    int r = 0;

    pthread_mutex_lock(&link->lock);
    while (link->connection && !link->reading && link_read_one(link, MSG_DONTWAIT))
        ;
    link_hand_over_reading(link);
    if (link->connection && link->events.unwatched)
        events_watch(&link->events, link->connection);
    if (!link->connection)
        r = link_connect_for_events(link);
    if (events_take(&link->events, ret))
        r = 1;
    pthread_mutex_unlock(&link->lock);
    return r;
}
