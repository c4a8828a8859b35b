// The descriptor that a program polls for events.  It stays the same whatever becomes of the connection: an epoll instance with three
// descriptors in it.
//   - The socket.  A packet that comes may be an event, or a reply that another thread is about to read; then there was no event.
//   - A counter (eventfd).  It is readable while an event is queued that a thread read while it waited for its own reply.
//   - A timer.  While there is no connection, no packet can come.  The timer makes the program ask for events, and asking connects again.
// So the library needs no thread for events.
#include "client/link/events.h"

#include <errno.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

#include "client/util/fork.h"
#include "proto/util/cleanup.h"

void events_init(struct events *e)
{
    *e = (struct events){.epoll = -1, .queued = -1, .timer = -1};
}

void events_deinit(struct events *e)
{
    cleanup_close(&e->epoll);
    cleanup_close(&e->queued);
    cleanup_close(&e->timer);
    events_init(e);
}

static int add(int epoll, int fd)
{
    struct epoll_event event = {.events = EPOLLIN, .data.fd = fd};

    return epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event) < 0 ? -errno : 0;
}

static int open_all(struct events *e)
{
    _cleanup_close_ int epoll = epoll_create1(EPOLL_CLOEXEC);
    _cleanup_close_ int queued = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    _cleanup_close_ int timer = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
    int r;

    if (epoll < 0 || queued < 0 || timer < 0)
        return -errno;
    r = add(epoll, queued);
    if (r == 0)
        r = add(epoll, timer);
    if (r < 0)
        return r;
    e->epoll = steal_fd(&epoll);
    e->queued = steal_fd(&queued);
    e->timer = steal_fd(&timer);
    return 0;
}

static void show_queued(const struct events *e)
{
    eventfd_t n;

    if (e->queued < 0)
        return;
    if (e->n > 0)
        eventfd_write(e->queued, 1);
    else
        eventfd_read(e->queued, &n);
}

int events_fd(struct events *e)
{
    int r = 0;

    if (e->epoll >= 0)
        return e->epoll;
    fork_lock();
    r = open_all(e);
    fork_unlock();
    if (r == 0)
        show_queued(e);
    return r < 0 ? r : e->epoll;
}

void events_add(struct events *e, const struct diskalloc_event *event)
{
    if (e->n == EVENTS_MAX) {
        e->first = (e->first + 1) % EVENTS_MAX;
        e->n--;
    }
    e->queue[(e->first + e->n) % EVENTS_MAX] = *event;
    e->n++;
    show_queued(e);
}

bool events_take(struct events *e, struct diskalloc_event *ret)
{
    if (e->n == 0)
        return false;
    *ret = e->queue[e->first];
    e->first = (e->first + 1) % EVENTS_MAX;
    e->n--;
    if (e->n == 0)
        show_queued(e);
    return true;
}

void events_watch(struct events *e, const struct connection *c)
{
    if (e->epoll >= 0 && connection_is_ours(c))
        add(e->epoll, c->sock);
}

// Closing the socket does not take it out of the epoll instance when a forked child has the socket too.
void events_unwatch(struct events *e, const struct connection *c)
{
    if (e->epoll >= 0 && connection_is_ours(c))
        epoll_ctl(e->epoll, EPOLL_CTL_DEL, c->sock, NULL);
}

void events_call_in(struct events *e, unsigned ms)
{
    const struct itimerspec at = {.it_value = {.tv_sec = ms / 1000, .tv_nsec = (long)(ms % 1000) * 1000000}};

    if (e->timer >= 0)
        timerfd_settime(e->timer, 0, &at, NULL);
}
