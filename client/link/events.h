// The daemon's events until the program takes them, and a descriptor that is readable when there may be some.  The lock of the link
// guards the struct.
#pragma once
#include <diskalloc/client.h>
#include <stdbool.h>

#include "client/link/connection.h"

enum { EVENTS_MAX = 32 };

struct events {
    int epoll;  // -1, like the next two: no program has asked for the descriptor
    int queued; // an eventfd: readable while queue has events
    int timer;  // a timerfd: readable when it is time to connect again
    struct diskalloc_event queue[EVENTS_MAX];
    unsigned first, n;
};

void events_init(struct events *e);
void events_deinit(struct events *e);

// The descriptor, which the first call makes; or -errno.
int events_fd(struct events *e);
// When the queue is full, the oldest event is dropped.
void events_add(struct events *e, const struct diskalloc_event *event);
bool events_take(struct events *e, struct diskalloc_event *ret);

// From now on, or no longer, the descriptor is readable when the connection is.  Without a descriptor both do nothing.
void events_watch(struct events *e, const struct connection *c);
void events_unwatch(struct events *e, const struct connection *c);
// The timer makes the descriptor readable in MS milliseconds, once; 0: stops the timer.
void events_call_in(struct events *e, unsigned ms);
