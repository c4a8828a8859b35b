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
#include "client/link.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "client/connect.h"
#include "client/error.h"
#include "client/link_internal.h"
#include "proto/cleanup.h"
#include "proto/packet.h"

void answer_deinit(struct answer *a)
{
    wire_reply_free(a->reply);
    cleanup_close(&a->fd);
    *a = (struct answer){.fd = -1};
}

// Whoever reads at the moment still needs the descriptor, and closes it.
void link_lose(struct link *link)
{
    struct call *c;

    if (link->connection.sock < 0)
        return;
    if (!link->reading)
        connection_close(&link->connection);
    else if (connection_is_ours(&link->connection))
        shutdown(link->connection.sock, SHUT_RDWR);
    link->connection.sock = -1;
    link->reading = false;
    link->n_unawaited = 0;
    link->epoch++;
    TAILQ_FOREACH (c, &link->calls, entry) {
        c->lost = true;
        pthread_cond_signal(&c->changed);
    }
}

static struct call *find_call(struct link *link, uint64_t id)
{
    struct call *c;

    TAILQ_FOREACH (c, &link->calls, entry)
        if (c->id == id)
            return c;
    return NULL;
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
    answer_deinit(&a);
}

// Reads one packet; the lock is given up meanwhile unless FLAGS say not to wait.  False: there was none, or the connection
// is lost.
static bool read_one(struct link *link, int flags)
{
    struct connection mine = link->connection;
    uint64_t epoch = link->epoch;
    _cleanup_free_ uint8_t *bytes = malloc(PACKET_MAX);
    bool fd_lost = false;
    int fd = -1;
    ssize_t n = -ENOMEM;

    link->reading = true;
    pthread_mutex_unlock(&link->lock);
    if (bytes && connection_is_ours(&mine))
        n = packet_receive_reply(mine.sock, bytes, PACKET_MAX, flags, &fd, &fd_lost);
    pthread_mutex_lock(&link->lock);
    if (epoch != link->epoch) {
        cleanup_close(&fd);
        connection_close(&mine);
        return false;
    }
    link->reading = false;
    if (n > 0)
        dispatch(link, bytes, (size_t)n, fd);
    else if (n != -EAGAIN)
        link_lose(link);
    return n > 0;
}

// The socket is full.  Replies that nobody reads may be the reason, so they are read meanwhile.
static void wait_sendable(struct link *link)
{
    struct connection mine = link->connection;
    struct pollfd p = {.fd = mine.sock, .events = POLLOUT};
    uint64_t epoch = link->epoch;
    bool lead = !link->reading;

    if (lead) {
        link->reading = true;
        p.events |= POLLIN;
    }
    pthread_mutex_unlock(&link->lock);
    poll(&p, 1, -1);
    pthread_mutex_lock(&link->lock);
    if (!lead)
        return;
    if (epoch != link->epoch) {
        connection_close(&mine);
        return;
    }
    link->reading = false;
    if (p.revents & POLLIN)
        read_one(link, MSG_DONTWAIT);
}

static int try_send(struct link *link, const uint8_t *bytes, size_t n)
{
    if (!connection_is_ours(&link->connection))
        return -EPIPE;
    return packet_send(link->connection.sock, bytes, n, -1, MSG_DONTWAIT);
}

// Tells the daemon of what was closed, as far as the socket takes it.  -EAGAIN when there is more.
static int flush_leaving(struct link *link)
{
    struct attachment *a;

    while (link->n_unawaited > 0 && !link->reading && read_one(link, MSG_DONTWAIT))
        ;
    while (link->connection.sock >= 0 && (a = TAILQ_FIRST(&link->leaving))) {
        Diskalloc__V1__DetachRegion detach = DISKALLOC__V1__DETACH_REGION__INIT;
        WireRequest q = WIRE_REQUEST_INIT;
        uint8_t bytes[REQUEST_MAX];
        size_t n = 0;
        int r;

        detach.handle = wire_handle(&a->handle);
        q.id = ++link->last_id;
        q.body_case = DISKALLOC__V1__REQUEST__BODY_DETACH_REGION;
        q.detach_region = &detach;
        request_pack(&q, bytes, &n);
        r = try_send(link, bytes, n);
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
        r = flush_leaving(link);
        if (r == 0 && !c->lost)
            r = try_send(link, bytes, n);
        if (r == -EAGAIN && !c->lost)
            wait_sendable(link);
    }
    if (r < 0 && !c->lost)
        link_lose(link);
    return c->lost ? -EPIPE : 0;
}

// Whoever stops reading calls the next one: those who came meanwhile sleep.
static void hand_over_reading(struct link *link)
{
    if (!link->reading && !TAILQ_EMPTY(&link->calls))
        pthread_cond_signal(&TAILQ_FIRST(&link->calls)->changed);
}

// 0 and C has its answer, or -EPIPE: the connection is lost.
static int exchange(struct link *link, struct call *c, const uint8_t *bytes, size_t n)
{
    int r;

    TAILQ_INSERT_TAIL(&link->calls, c, entry);
    r = send_call(link, c, bytes, n);
    while (r == 0 && !c->answer.reply && !c->lost) {
        if (link->reading)
            pthread_cond_wait(&c->changed, &link->lock);
        else
            read_one(link, 0);
    }
    TAILQ_REMOVE(&link->calls, c, entry);
    hand_over_reading(link);
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

int link_call(struct link *link, WireRequest *q, unsigned flags, struct answer *ret)
{
    struct deadline deadline = {0};
    bool repeated = false;
    int r;

    pthread_mutex_lock(&link->lock);
    for (;;) {
        r = link_connect(link, &deadline);
        if (r < 0)
            break;
        r = attempt(link, q, ret);
        if (r != -EPIPE)
            break;
        if (flags & LINK_ONCE) {
            r = -EINTR;
            break;
        }
        repeated = true;
    }
    pthread_mutex_unlock(&link->lock);
    if (r == 0)
        ret->repeated = repeated;
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
static bool is_attached_still(const struct link *link, const struct handle *handle)
{
    const struct attachment *a;

    TAILQ_FOREACH (a, &link->attachments, entry)
        if (handle_equal(&a->handle, handle))
            return true;
    return false;
}

void link_detach(struct link *link, struct attachment *attachment)
{
    pthread_mutex_lock(&link->lock);
    TAILQ_REMOVE(&link->attachments, attachment, entry);
    if (is_attached_still(link, &attachment->handle)) {
        free(attachment);
    } else {
        TAILQ_INSERT_TAIL(&link->leaving, attachment, entry);
        flush_leaving(link);
        hand_over_reading(link);
    }
    pthread_mutex_unlock(&link->lock);
}
