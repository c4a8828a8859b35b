// The daemon's events until the program takes them, and a descriptor that is readable when there may be some.  The
// lock of the link guards the struct.
#pragma once
#include <diskalloc/client.h>
#include <stdbool.h>
#include <time.h>

#include "client/link/connection.h"

enum { EVENTS_MAX = 32 };

struct events {
    int epoll;              // -1, like the next: no program has asked for the descriptor
    int timer;              // a timerfd: readable while queue has events, and when it is time to connect again
    struct timespec cookie; // the interval of timer, by which the timer is known again
    uint64_t call_at;       // of proto/util/clock.h: when it is time to connect again; 0: there is nothing to do
    bool unwatched;         // the connection could not be watched
    struct diskalloc_event queue[EVENTS_MAX];
    unsigned first, n;
};

void events_init(struct events *e);
void events_deinit(struct events *e);

// The descriptor, or -errno.  *RET_NEW: it was made just now, because there was none or because the program has
// closed it.
int events_fd(struct events *e, bool *ret_new);
// When the queue is full, the oldest event is dropped.  An event about a region replaces one of the same kind about the
// same region: the newest size is enough.
void events_add(struct events *e, const struct diskalloc_event *event);
// The same, in place of an event of this kind about the same region, if one is still there.
void events_add_latest(struct events *e, const struct diskalloc_event *event);
bool events_take(struct events *e, struct diskalloc_event *ret);

// From now on, or no longer, the descriptor is readable when the connection is.  Without a descriptor both do nothing.
void events_watch(struct events *e, const struct connection *c);
void events_unwatch(struct events *e, const struct connection *c);
// The timer makes the descriptor readable in MS milliseconds, once; 0: stops the timer.
void events_call_in(struct events *e, unsigned ms);
