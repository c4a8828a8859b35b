// The part of a connection that its requests use: they reply, have it closed, and ask whether its client lives.
#include <errno.h>
#include <event2/event.h>
#include <poll.h>
#include <sys/socket.h>

#include "daemon/conn/connection.h"
#include "daemon/conn/send.h"
#include "daemon/log.h"
#include "daemon/request/message.h"
#include "daemon/request/peer.h"
#include "proto/packet.h"
#include "proto/util/cleanup.h"
#include "proto/util/container.h"

#ifndef SO_PEERPIDFD
#define SO_PEERPIDFD 77 // Linux 6.5
#endif

enum {
    MAX_QUEUED_EVENTS = 64, // replies in the queue of a connection, before some are dropped
    LINGER_SECONDS = 5,     // for a client to read the last replies
    RETRY_MS = 100,         // pause when too many descriptors are in flight
};

void reply_take_result(struct conn *c, int r)
{
    static const struct timeval pause = {.tv_usec = RETRY_MS * 1000L};

    if (r == -ETOOMANYREFS)
        c->bad |= event_add(c->retry, &pause) < 0;
    else if (r < 0 && r != -EAGAIN)
        c->bad = true;
}

// Warnings, and how far a clone or a move has come.  The events about regions have bounds of their own
// (request/changes.h, tell.c).
static bool may_be_dropped(const Diskalloc__V1__Reply *reply)
{
    return reply->body_case == DISKALLOC__V1__REPLY__BODY_EVENT &&
           (reply->event->kind == DISKALLOC__V1__EVENT_KIND__EVENT_QUOTA_WARNING ||
            reply->event->kind == DISKALLOC__V1__EVENT_KIND__EVENT_CLONE_PROGRESS ||
            reply->event->kind == DISKALLOC__V1__EVENT_KIND__EVENT_MOVE_PROGRESS);
}

static void peer_reply(struct peer *peer, const Diskalloc__V1__Reply *message, int fd)
{
    struct conn *c = container_of(peer, struct conn, peer);
    _cleanup_close_ int owned = fd;
    Diskalloc__V1__Reply reply = *message;
    size_t n;

    // Nothing follows the last reply.  What the client does not read is dropped, if it may be, and not the connection.
    if (c->ending || (may_be_dropped(&reply) && c->replies.n > MAX_QUEUED_EVENTS))
        return;
    if (reply.error)
        c->env->request->op.tally.errors[(unsigned)reply.error->code < TALLY_ERRORS ? reply.error->code : 0]++;
    reply.has_fd = fd >= 0;
    n = message_encode(&reply, c->env->buffer, PACKET_MAX);
    if (n == 0) {
        log_error("a reply to pid %d does not fit into a packet: its connection is closed", (int)peer->holder.pid);
        c->bad = true;
    }
    if (!c->bad)
        reply_take_result(c, send_packet(&c->replies, c->env->buffer, n, steal_fd(&owned)));
    if (!c->bad && fd >= 0)
        unread_add(c);
    if (c->bad || c->closed || c->replies.n > 0 || c->n_unread >= CONN_MOST_UNREAD || (c->unread && !c->queued))
        conn_changed(c);
}

static void peer_hang_up(struct peer *peer)
{
    static const struct timeval linger = {.tv_sec = LINGER_SECONDS};
    struct conn *c = container_of(peer, struct conn, peer);

    c->ending = true;
    c->bad |= event_add(c->retry, &linger) < 0;
    conn_changed(c);
}

static bool peer_lives(struct peer *peer)
{
    const struct conn *c = container_of(peer, struct conn, peer);
    _cleanup_close_ int process = -1;
    socklen_t size = sizeof process;
    struct pollfd p = {.events = POLLIN};

    if (getsockopt(c->fd, SOL_SOCKET, SO_PEERPIDFD, &process, &size) < 0)
        return errno != ESRCH && errno != EINVAL && errno != ENODATA;
    p.fd = process;
    return poll(&p, 1, 0) == 0;
}

static bool peer_has_left(struct peer *peer)
{
    const struct conn *c = container_of(peer, struct conn, peer);

    return c->leaves || conn_was_closed(c->fd);
}

static void peer_resume(struct peer *peer)
{
    conn_changed(container_of(peer, struct conn, peer));
}

void reply_begin(struct conn *c)
{
    c->peer.reply = peer_reply;
    c->peer.has_group = accept_has_group;
    c->peer.hang_up = peer_hang_up;
    c->peer.resume = peer_resume;
    c->peer.lives = peer_lives;
    c->peer.has_left = peer_has_left;
    send_queue_init(&c->replies, c->fd);
}
