// The descriptor that a program polls for events.  It stays the same whatever becomes of the connection: an epoll
// instance with two descriptors in it.
//   - The socket.  A packet that comes may be an event, or a reply that another thread is about to read; then there was
//     no event.
//   - A timer.  It is readable while an event is queued that a thread read while it waited for its own reply.  And
//     while there is no connection, no packet can come: the timer makes the program ask for events, and asking connects
//     again.
// So the library needs no thread for events.
//
// A program may close both and open descriptors of its own on their numbers.  Neither can be known by its inode, for
// all timers and epoll instances share one.  A timer keeps the interval that it was given, also when it is stopped: a
// random interval of decades, which never passes, is its cookie.  The epoll instance is ours if the timer is in it.
// (Asking a timer or an epoll instance of the program in this way changes nothing.)  An epoll instance whose timer is
// lost can't be known any more, and is left alone.
#include "client/link/events.h"

#include <errno.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/random.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include "client/util/descriptor.h"
#include "client/util/fork.h"
#include "proto/util/cleanup.h"
#include "proto/util/clock.h"

enum { DECADES_S = 1 << 30, NS_PER_S = 1000000000, NS_PER_MS = 1000000, MS_PER_S = 1000, UNWATCHED_MS = 1000 };

void events_init(struct events *e)
{
    *e = (struct events){.epoll = -1, .timer = -1};
}

static bool timer_is_ours(const struct events *e)
{
    struct itimerspec now;

    return e->timer >= 0 && timerfd_gettime(e->timer, &now) == 0 && now.it_interval.tv_sec == e->cookie.tv_sec &&
           now.it_interval.tv_nsec == e->cookie.tv_nsec;
}

// Setting again what is set already changes nothing.
static bool epoll_is_ours(const struct events *e)
{
    struct epoll_event same = {.events = EPOLLIN, .data.fd = e->timer};

    return e->epoll >= 0 && timer_is_ours(e) && epoll_ctl(e->epoll, EPOLL_CTL_MOD, e->timer, &same) == 0;
}

// The epoll instance goes first: the timer is what it is known by.
static void close_both(struct events *e)
{
    if (epoll_is_ours(e))
        close(e->epoll);
    if (timer_is_ours(e))
        close(e->timer);
    e->epoll = e->timer = -1;
}

void events_deinit(struct events *e)
{
    close_both(e);
    events_init(e);
}

static int add(int epoll, int fd)
{
    struct epoll_event event = {.events = EPOLLIN, .data.fd = fd};

    return epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event) < 0 ? -errno : 0;
}

static int choose_cookie(struct timespec *ret)
{
    uint32_t random[2];

    if (getrandom(random, sizeof random, 0) != (ssize_t)sizeof random)
        return -EAGAIN;
    *ret = (struct timespec){.tv_sec = DECADES_S + (time_t)(random[0] % DECADES_S), .tv_nsec = random[1] % NS_PER_S};
    return 0;
}

static int open_both(struct events *e)
{
    _cleanup_close_ int epoll = descriptor_above_standard(epoll_create1(EPOLL_CLOEXEC));
    _cleanup_close_ int timer = descriptor_above_standard(timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK));
    struct itimerspec stopped = {0};
    int r;

    if (epoll < 0 || timer < 0)
        return -errno;
    r = choose_cookie(&stopped.it_interval);
    if (r == 0 && timerfd_settime(timer, 0, &stopped, NULL) < 0)
        r = -errno;
    if (r == 0)
        r = add(epoll, timer);
    if (r < 0)
        return r;
    e->cookie = stopped.it_interval;
    e->epoll = steal_fd(&epoll);
    e->timer = steal_fd(&timer);
    return 0;
}

// Sets the timer: at once if there are events, else for the time to connect again.
static void set_timer(const struct events *e)
{
    struct itimerspec at = {.it_interval = e->cookie};
    uint64_t ms;

    if (!timer_is_ours(e))
        return;
    ms = e->n > 0 || e->call_at == 0 ? 0 : clock_left(e->call_at);
    at.it_value.tv_sec = (time_t)(ms / MS_PER_S);
    at.it_value.tv_nsec = (long)(ms % MS_PER_S) * NS_PER_MS;
    if (ms == 0 && (e->n > 0 || e->call_at > 0))
        at.it_value.tv_nsec = 1;
    timerfd_settime(e->timer, 0, &at, NULL);
}

int events_fd(struct events *e, bool *ret_new)
{
    int r = 0;

    *ret_new = false;
    if (epoll_is_ours(e))
        return e->epoll;
    fork_lock();
    close_both(e);
    r = open_both(e);
    fork_unlock();
    if (r < 0)
        return r;
    *ret_new = true;
    set_timer(e);
    return e->epoll;
}

static bool replace(struct events *e, const struct diskalloc_event *event)
{
    for (unsigned i = 0; event->handle[0] && i < e->n; i++) {
        struct diskalloc_event *queued = &e->queue[(e->first + i) % EVENTS_MAX];

        if (queued->kind != event->kind || strcmp(queued->handle, event->handle) != 0)
            continue;
        *queued = *event;
        return true;
    }
    return false;
}

void events_add(struct events *e, const struct diskalloc_event *event)
{
    if (replace(e, event))
        return;
    if (e->n == EVENTS_MAX) {
        e->first = (e->first + 1) % EVENTS_MAX;
        e->n--;
    }
    e->queue[(e->first + e->n) % EVENTS_MAX] = *event;
    e->n++;
    set_timer(e);
}

void events_add_latest(struct events *e, const struct diskalloc_event *event)
{
    for (unsigned i = 0; i < e->n; i++) {
        struct diskalloc_event *old = &e->queue[(e->first + i) % EVENTS_MAX];

        if (old->kind == event->kind && strcmp(old->handle, event->handle) == 0) {
            *old = *event;
            return;
        }
    }
    events_add(e, event);
}

bool events_take(struct events *e, struct diskalloc_event *ret)
{
    if (e->n == 0)
        return false;
    *ret = e->queue[e->first];
    e->first = (e->first + 1) % EVENTS_MAX;
    e->n--;
    if (e->n == 0)
        set_timer(e);
    return true;
}

// While the kernel has no room for the socket in the epoll instance, the program would hear of no event: so the timer
// makes it ask now and then, and asking watches again.
void events_watch(struct events *e, const struct connection *c)
{
    int r = epoll_is_ours(e) && connection_is_ours(c) ? add(e->epoll, c->sock.fd) : 0;

    e->unwatched = r < 0 && r != -EEXIST;
    if (e->unwatched)
        events_call_in(e, UNWATCHED_MS);
}

// Closing the socket does not take it out of the epoll instance when a forked child has the socket too.
void events_unwatch(struct events *e, const struct connection *c)
{
    if (epoll_is_ours(e) && connection_is_ours(c))
        epoll_ctl(e->epoll, EPOLL_CTL_DEL, c->sock.fd, NULL);
}

void events_call_in(struct events *e, unsigned ms)
{
    e->call_at = ms > 0 ? clock_after(ms) : 0;
    set_timer(e);
}
