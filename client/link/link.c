// One connection serves any number of threads, and the library has no thread to read it.  So the threads that wait read it for
// each other: the first one that finds nobody reading does, gives every reply to the call that waits for it, and hands over
// when its own has come.  Nothing waits with the lock held.
//
// Losing the connection ends an *epoch*.  Every call in flight learns that; each then makes, or waits for, a new connection and
// repeats its request.  Whoever makes it first attaches again what the client holds, so that no request meets a daemon
// that does not know its region.  Memory is not touched by any of that.
//
// A descriptor is only used when its socket is the one that was opened (connection_is_ours): a program that closes all
// descriptors and opens its own costs itself a new connection, and no byte of ours gets into its file.
//
// Detach waits for nobody: attachments on the list `leaving` are told when the socket takes it, at the latest before the next
// request, and their replies are dropped by whoever reads next.
//
// Lock order: this one is taken last and alone.
#include "client/link/link.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "client/link/connection.h"
#include "client/link/link_internal.h"
#include "client/util/error.h"
#include "proto/packet.h"
#include "proto/util/cleanup.h"
#include "proto/util/clock.h"

enum { WAITS = 1 << 8 }; // beside link_flag: a GrowRegion with a deadline

void answer_deinit(struct answer *a)
{
    wire_reply_free(a->reply);
    cleanup_close(&a->fd);
    *a = (struct answer){.fd = -1};
}

// Whoever reads or polls it at the moment is woken, and holds the descriptor until then.
void link_lose(struct link *link)
{
    struct call *c;

    if (!link->connection)
        return;
    events_unwatch(&link->events, link->connection);
    if (connection_is_ours(link->connection))
        shutdown(link->connection->sock, SHUT_RDWR);
    connection_unref(link->connection);
    link->connection = NULL;
    link->reading = false;
    link->n_unawaited = 0;
    link->epoch++;
    TAILQ_FOREACH (c, &link->calls, entry) {
        c->lost = true;
        pthread_cond_signal(&c->changed);
    }
    link->events_pause_ms = EVENTS_FIRST_PAUSE_MS;
    events_call_in(&link->events, link->events_pause_ms);
}

static struct call *find_call(struct link *link, uint64_t id)
{
    struct call *c;

    TAILQ_FOREACH (c, &link->calls, entry)
        if (c->id == id)
            return c;
    return NULL;
}

static void take_event(struct link *link, const Diskalloc__V1__Event *from)
{
    struct diskalloc_event event = {
        .kind = DISKALLOC_EVENT_QUOTA_WARNING,
        .limit = from->limit,
        .used = from->used,
        .warn = from->warn,
    };

    if (from->kind != DISKALLOC__V1__EVENT_KIND__EVENT_QUOTA_WARNING)
        return;
    snprintf(event.limit_name, sizeof event.limit_name, "%s", from->limit_name);
    events_add(&link->events, &event);
}

// Takes FD.  A packet that can't be understood comes from no daemon that one could go on with.
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
        take_event(link, a.reply->event);
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
        n = packet_receive_reply(mine->sock, bytes, PACKET_MAX, flags, &fd, &fd_lost);
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

// The socket is full.  Replies that nobody reads may be the reason: everybody here watches for them too, since the thread that
// reads may leave at any moment, and reads when nobody does.
static void wait_sendable(struct link *link)
{
    struct connection *mine = connection_ref(link->connection);
    struct pollfd p = {.fd = mine->sock, .events = POLLIN | POLLOUT};
    uint64_t epoch = link->epoch;

    pthread_mutex_unlock(&link->lock);
    if (connection_is_ours(mine))
        poll(&p, 1, -1);
    pthread_mutex_lock(&link->lock);
    connection_unref(mine);
    if (epoch == link->epoch && p.revents & POLLIN && !link->reading)
        link_read_one(link, MSG_DONTWAIT);
}

int link_try_send(struct link *link, const uint8_t *bytes, size_t n)
{
    if (!connection_is_ours(link->connection))
        return -EPIPE;
    return packet_send(link->connection->sock, bytes, n, -1, MSG_DONTWAIT);
}

int link_flush_leaving(struct link *link)
{
    struct attachment *a;

    while (link->n_unawaited > 0 && !link->reading && link_read_one(link, MSG_DONTWAIT))
        ;
    while (link->connection && (a = TAILQ_FIRST(&link->leaving))) {
        Diskalloc__V1__DetachRegion detach = DISKALLOC__V1__DETACH_REGION__INIT;
        WireRequest q = WIRE_REQUEST_INIT;
        uint8_t bytes[REQUEST_MAX];
        size_t n = 0;
        int r;

        detach.handle = field_handle(&a->handle);
        q.id = ++link->last_id;
        q.body_case = DISKALLOC__V1__REQUEST__BODY_DETACH_REGION;
        q.detach_region = &detach;
        request_pack(&q, bytes, &n);
        r = link_try_send(link, bytes, n);
        if (r == -EAGAIN)
            return r;
        if (r < 0) {
            link_lose(link);
            return 0;
        }
        link->n_unawaited++;
        TAILQ_REMOVE(&link->leaving, a, entry);
        free(a);
    }
    return 0;
}

// 0 or -EPIPE: the connection is lost.
static int send_call(struct link *link, const struct call *c, const uint8_t *bytes, size_t n)
{
    int r = -EAGAIN;

    while (r == -EAGAIN && !c->lost) {
        r = link_flush_leaving(link);
        if (r == 0 && !c->lost)
            r = link_try_send(link, bytes, n);
        if (r == -EAGAIN && !c->lost)
            wait_sendable(link);
    }
    if (r < 0 && !c->lost)
        link_lose(link);
    return c->lost ? -EPIPE : 0;
}

// Whoever stops reading calls the next one: those who came meanwhile sleep.  One that waits for room to send does not, and looks
// itself whether anybody reads.
void link_hand_over_reading(struct link *link)
{
    struct call *c;

    // One that is lost may sit in a socket that it can't be woken from.
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

// 0 and C has its answer, or -EPIPE: the connection is lost.
static int exchange(struct link *link, struct call *c, const uint8_t *bytes, size_t n)
{
    int r;

    TAILQ_INSERT_TAIL(&link->calls, c, entry);
    c->awaited = true;
    r = send_call(link, c, bytes, n);
    if (r == 0)
        link_await(link, c);
    TAILQ_REMOVE(&link->calls, c, entry);
    link_hand_over_reading(link);
    return c->answer.reply ? 0 : -EPIPE;
}

// One attempt on the connection that there is.  As exchange.
static int attempt(struct link *link, WireRequest *q, struct answer *ret)
{
    struct call c = {.answer.fd = -1};
    uint8_t bytes[REQUEST_MAX];
    size_t n = 0;
    int r;

    c.id = q->id = ++link->last_id;
    r = request_pack(q, bytes, &n);
    if (r < 0)
        return r;
    pthread_cond_init(&c.changed, NULL);
    r = exchange(link, &c, bytes, n);
    pthread_cond_destroy(&c.changed);
    if (r == 0 && c.answer.reply->error && c.answer.reply->error->code == DISKALLOC__V1__ERROR_CODE__SHUTTING_DOWN) {
        if (c.answer.epoch == link->epoch)
            link_lose(link);
        answer_deinit(&c.answer);
        r = -EPIPE;
    }
    if (r == 0)
        *ret = c.answer;
    return r;
}

static int call(struct link *link, WireRequest *q, unsigned flags, uint64_t until, struct answer *ret)
{
    struct deadline deadline = {.latest = until};
    bool repeated = false;
    uint64_t began;
    int r;

    pthread_mutex_lock(&link->lock);
    for (;;) {
        r = link_connect(link, &deadline);
        if (r < 0)
            break;
        if (flags & WAITS)
            q->grow_region->wait_ms = clock_left(until);
        began = clock_now();
        r = attempt(link, q, ret);
        if (r != -EPIPE)
            break;
        if (flags & LINK_ONCE) {
            r = -EINTR;
            break;
        }
        repeated = true;
        link_note_lost(&deadline, began);
    }
    pthread_mutex_unlock(&link->lock);
    if (r == 0)
        ret->repeated = repeated;
    return r;
}

int link_call(struct link *link, WireRequest *q, unsigned flags, struct answer *ret)
{
    return call(link, q, flags, UINT64_MAX, ret);
}

// Whose turn does not come in time asks without waiting, and hears what refuses.
int link_call_until(struct link *link, WireRequest *q, uint64_t until, struct answer *ret)
{
    int r;

    link_take_turn(link, until);
    r = call(link, q, WAITS, until, ret);
    link_end_turn(link);
    return r;
}

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

// To the daemon a connection has a region attached or not, however many of its regions are that one.
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
