// Events of a directory: only how far a clone has come, which another thread of the program may want to know.
//
// The descriptor that a program polls is one end of a pair of sockets; a byte that is sent to the other end makes it
// readable.  A program that has closed it gets a new pair.
#include <errno.h>
#include <string.h>
#include <sys/socket.h>

#include "client/local/local_internal.h"
#include "client/util/fork.h"
#include "proto/util/cleanup.h"

static void ring(struct local_events *e)
{
    if (descriptor_is_ours(&e->bell))
        send(e->bell.fd, "!", 1, MSG_DONTWAIT | MSG_NOSIGNAL);
}

static void silence(struct local_events *e)
{
    char bytes[64];

    if (descriptor_is_ours(&e->fd))
        while (recv(e->fd.fd, bytes, sizeof bytes, MSG_DONTWAIT) > 0)
            continue;
}

static int open_pair(struct local_events *e)
{
    int pair[2], r;

    descriptor_close(&e->fd);
    descriptor_close(&e->bell);
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) < 0)
        return -errno;
    r = descriptor_keep(&e->bell, pair[1]);
    if (r < 0)
        cleanup_close(&pair[0]);
    else
        r = descriptor_keep(&e->fd, pair[0]);
    if (r == 0 && e->n > 0)
        ring(e);
    return r;
}

int local_event_fd(struct backend *backend)
{
    struct local *l = (struct local *)backend;
    struct local_events *e = &l->events;
    int r = 0;

    pthread_mutex_lock(&l->lock);
    if (!descriptor_is_ours(&e->fd)) {
        fork_lock();
        r = open_pair(e);
        fork_unlock();
    }
    if (r == 0)
        r = e->fd.fd;
    pthread_mutex_unlock(&l->lock);
    return r;
}

static struct diskalloc_event *find(struct local_events *e, const struct diskalloc_event *like)
{
    for (unsigned i = 0; i < e->n; i++)
        if (e->queue[i].kind == like->kind && strcmp(e->queue[i].handle, like->handle) == 0)
            return &e->queue[i];
    return NULL;
}

static void drop_first(struct local_events *e)
{
    e->n--;
    memmove(&e->queue[0], &e->queue[1], e->n * sizeof e->queue[0]);
}

void local_add_event(struct local *l, const struct diskalloc_event *event)
{
    struct local_events *e = &l->events;
    struct diskalloc_event *same;

    pthread_mutex_lock(&l->lock);
    same = find(e, event);
    if (!same && e->n == LOCAL_EVENTS_MAX)
        drop_first(e);
    if (!same)
        same = &e->queue[e->n++];
    *same = *event;
    ring(e);
    pthread_mutex_unlock(&l->lock);
}

int local_next_event(struct backend *backend, struct diskalloc_event *ret)
{
    struct local *l = (struct local *)backend;
    bool any;

    pthread_mutex_lock(&l->lock);
    any = l->events.n > 0;
    if (any) {
        *ret = l->events.queue[0];
        drop_first(&l->events);
    }
    if (l->events.n == 0)
        silence(&l->events);
    pthread_mutex_unlock(&l->lock);
    return any;
}

void local_forget_events(struct local *l)
{
    l->events.n = 0;
    descriptor_close(&l->events.fd);
    descriptor_close(&l->events.bell);
}
