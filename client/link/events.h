// Events of the daemon until somebody asks for them, and a descriptor that is readable when there may be some.  Its link's lock
// guards it.
#pragma once
#include <diskalloc/client.h>
#include <stdbool.h>

#include "client/link/connection.h"

enum { EVENTS_MAX = 32 };

struct events {
    int epoll;  // -1, like the two in it: nobody asked for one yet
    int queued; // readable as long as there are any
    int timer;  // readable when it is time to connect again
    struct diskalloc_event queue[EVENTS_MAX];
    unsigned first, n;
};

void events_init(struct events *e);
void events_deinit(struct events *e);

// The descriptor, made at the first time; or -errno.
int events_fd(struct events *e);
// The oldest make room for the newest.
void events_add(struct events *e, const struct diskalloc_event *event);
bool events_take(struct events *e, struct diskalloc_event *ret);

// Readable when the connection is.  Without a descriptor, like the next one, it does nothing.
void events_watch(struct events *e, const struct connection *c);
void events_unwatch(struct events *e, const struct connection *c);
// Readable in MS milliseconds, once; 0: not any more.
void events_call_in(struct events *e, unsigned ms);
