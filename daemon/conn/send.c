// What a connection sends: at once where the socket takes it, else from a queue that is bounded.
#include <errno.h>
#include <event2/event.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "daemon/conn/conn_internal.h"
#include "daemon/log.h"
#include "daemon/request/message.h"
#include "proto/packet.h"
#include "proto/util/cleanup.h"
#include "proto/util/container.h"

enum {
    MAX_QUEUED_REPLIES = 256, // while the peer does not read
    MAX_QUEUED_EVENTS = 64,   // then they are dropped
    LINGER_SECONDS = 5,       // for the last replies to be taken
    RETRY_MS = 100,           // when too many descriptors are in flight
};

struct queued_reply {
    int fd;
    size_t n;
    TAILQ_ENTRY(queued_reply) entry;
    uint8_t bytes[];
};

static struct conn *conn_of(struct peer *peer)
{
    return container_of(peer, struct conn, peer);
}

// 0: sent; -EAGAIN: later; another -errno: the connection is bad.
static int send_now(struct conn *c, const uint8_t *bytes, size_t n, int fd)
{
    static const struct timeval pause = {.tv_usec = RETRY_MS * 1000};
    int r = packet_send(c->fd, bytes, n, fd, MSG_DONTWAIT);

    if (r == -ETOOMANYREFS) {
        // Peers have not received what this process sent: the socket would still be writable.
        event_add(c->retry, &pause);
        r = -EAGAIN;
    }
    if (r < 0 && r != -EAGAIN)
        c->bad = true;
    return r;
}

static void queue_reply(struct conn *c, const uint8_t *bytes, size_t n, int fd)
{
    struct queued_reply *reply = c->n_replies < MAX_QUEUED_REPLIES ? malloc(sizeof *reply + n) : NULL;

    if (!reply) {
        cleanup_close(&fd);
        c->bad = true;
        return;
    }
    reply->fd = fd;
    reply->n = n;
    memcpy(reply->bytes, bytes, n);
    TAILQ_INSERT_TAIL(&c->replies, reply, entry);
    c->n_replies++;
}

static void peer_reply(struct peer *peer, const Diskalloc__V1__Reply *message, int fd)
{
    struct conn *c = conn_of(peer);
    Diskalloc__V1__Reply reply = *message;
    size_t n;

    // After the last word there is no other; and nobody shall lose the connection by events that are not read.
    if (c->ending || (reply.body_case == DISKALLOC__V1__REPLY__BODY_EVENT && c->n_replies > MAX_QUEUED_EVENTS)) {
        cleanup_close(&fd);
        return;
    }
    reply.has_fd = fd >= 0;
    n = message_encode(&reply, c->env->buffer, PACKET_MAX);
    if (n == 0) {
        log_error("a reply does not fit a packet");
        c->bad = true;
    }
    if (!c->bad && (c->n_replies > 0 || send_now(c, c->env->buffer, n, fd) == -EAGAIN)) {
        queue_reply(c, c->env->buffer, n, fd);
        fd = -1;
    }
    cleanup_close(&fd);
    if (c->bad || c->n_replies > 0 || (c->unread && !c->queued))
        conn_changed(c);
}

void conn_end_soon(struct conn *c)
{
    static const struct timeval linger = {.tv_sec = LINGER_SECONDS};

    c->ending = true;
    event_add(c->retry, &linger);
    conn_changed(c);
}

static void peer_hang_up(struct peer *peer)
{
    conn_end_soon(conn_of(peer));
}

static void peer_resume(struct peer *peer)
{
    conn_changed(conn_of(peer));
}

void conn_flush_replies(struct conn *c)
{
    struct queued_reply *reply;

    while ((reply = TAILQ_FIRST(&c->replies)) && send_now(c, reply->bytes, reply->n, reply->fd) == 0) {
        TAILQ_REMOVE(&c->replies, reply, entry);
        c->n_replies--;
        cleanup_close(&reply->fd);
        free(reply);
    }
}

void conn_init_replies(struct conn *c)
{
    TAILQ_INIT(&c->replies);
    c->peer.reply = peer_reply;
    c->peer.hang_up = peer_hang_up;
    c->peer.resume = peer_resume;
}

void conn_drop_replies(struct conn *c)
{
    struct queued_reply *reply;

    while ((reply = TAILQ_FIRST(&c->replies))) {
        TAILQ_REMOVE(&c->replies, reply, entry);
        cleanup_close(&reply->fd);
        free(reply);
    }
}
