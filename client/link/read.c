// Reading the connection: one thread at a time, for all threads.
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "client/link/link_internal.h"
#include "client/util/error.h"
#include "proto/packet.h"
#include "proto/util/cleanup.h"

static struct call *find_call(struct link *link, uint64_t id)
{
    struct call *c;

    TAILQ_FOREACH (c, &link->calls, entry)
        if (c->id == id)
            return c;
    return NULL;
}

static void take_progress(struct link *link, const Diskalloc__V1__Event *from)
{
    struct diskalloc_event event = {.kind = DISKALLOC_EVENT_CLONE_PROGRESS, .limit = from->limit, .used = from->used};
    struct handle handle;

    if (from->handle.len != sizeof handle.bytes)
        return;
    memcpy(handle.bytes, from->handle.data, sizeof handle.bytes);
    handle_format(&handle, event.handle);
    events_add_latest(&link->events, &event);
}

void link_take_event(struct link *link, const Diskalloc__V1__Event *from)
{
    struct diskalloc_event event = {
        .kind = DISKALLOC_EVENT_QUOTA_WARNING,
        .limit = from->limit,
        .used = from->used,
        .warn = from->warn,
    };

    if (from->kind == DISKALLOC__V1__EVENT_KIND__EVENT_CLONE_PROGRESS) {
        take_progress(link, from);
        return;
    }
    if (from->kind != DISKALLOC__V1__EVENT_KIND__EVENT_QUOTA_WARNING) {
        link_take_news(link, from);
        return;
    }
    limit_name_fit(from->limit_name, event.limit_name, sizeof event.limit_name);
    events_add(&link->events, &event);
}

// Gives the reply, and FD, to the call that it answers.  A packet that can't be unpacked ends the connection.
static void dispatch(struct link *link, const uint8_t *bytes, size_t n, int fd)
{
    struct answer a = {.reply = diskalloc__v1__reply__unpack(NULL, n, bytes), .fd = fd, .epoch = link->epoch};
    struct call *c = a.reply ? find_call(link, a.reply->id) : NULL;

    if (c && !c->answer.reply && !c->lost) {
        c->answer = a;
        pthread_cond_signal(&c->changed);
        return;
    }
    if (!a.reply)
        link_lose(link);
    else if (a.reply->id != 0 && link->n_unawaited > 0)
        link->n_unawaited--;
    else if (a.reply->id == 0 && a.reply->body_case == DISKALLOC__V1__REPLY__BODY_EVENT)
        link_take_event(link, a.reply->event);
    answer_deinit(&a);
}

bool link_read_one(struct link *link, int flags)
{
    struct connection *mine = connection_ref(link->connection);
    uint64_t epoch = link->epoch;
    _cleanup_free_ uint8_t *bytes = malloc(PACKET_MAX);
    bool fd_lost = false;
    int fd = -1;
    ssize_t n = -ENOMEM;

    link->reading = true;
    pthread_mutex_unlock(&link->lock);
    if (bytes && connection_is_ours(mine))
        n = packet_receive_reply(mine->sock.fd, bytes, PACKET_MAX, flags, &fd, &fd_lost);
    pthread_mutex_lock(&link->lock);
    connection_unref(mine);
    if (epoch != link->epoch) {
        cleanup_close(&fd);
        return false;
    }
    link->reading = false;
    if (n > 0)
        dispatch(link, bytes, (size_t)n, fd);
    else if (n != -EAGAIN)
        link_lose(link);
    return n > 0;
}

// Threads that came while this one was reading sleep, and one of them has to read now.  A thread that waits for room
// to send does not sleep: it polls, and sees for itself that nobody reads.
void link_hand_over_reading(struct link *link)
{
    struct call *c;

    // Not a lost call: its thread may be inside a socket call that a signal of `changed` does not end.
    TAILQ_FOREACH (c, &link->calls, entry)
        if (!c->lost && c->awaited)
            break;
    if (c && !link->reading)
        pthread_cond_signal(&c->changed);
}

void link_await(struct link *link, struct call *c)
{
    while (!c->answer.reply && !c->lost) {
        if (link->reading)
            pthread_cond_wait(&c->changed, &link->lock);
        else
            link_read_one(link, 0);
    }
}
