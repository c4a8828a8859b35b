// Connections: packets in, replies out.  Everything here runs on the loop's thread.
//
// Guarantees: a packet is read only while there is room for what it may cause.  Requests in flight and queued replies
// are bounded, so that a client that asks and does not read its replies stops only itself; its hang-up is noticed all
// the same (EV_CLOSED).  A client that breaks the protocol loses its own connection and nothing else, after a reply
// that says why.  Users take turns, one packet each, and so do the connections of a user: a thousand connections are
// served no faster than one.
//
// Reading: the kernel reports new data once (EV_ET).  The connection remembers that (unread) until a read finds the
// socket empty, and queues behind its user's other connections whenever it may read (queue_for_reading).  conn_serve
// takes packets from these queues between two turns of the loop.
//
// Changes: the events to poll for are derived from the state in one function, settle, and only settle frees a
// connection.  Other functions set the state and call conn_changed; settle runs when all events at hand have been
// served, so that nothing works on freed memory.
//
// It relies on: peer and request for the meaning of a message, send for the queue of replies.
// It does not: know operations, quotas or regions.
#include "daemon/conn/conn.h"

#include <errno.h>
#include <event2/event.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "daemon/conn/send.h"
#include "daemon/log.h"
#include "daemon/request/dispatch.h"
#include "daemon/request/message.h"
#include "daemon/request/peer.h"
#include "proto/packet.h"
#include "proto/util/cleanup.h"
#include "proto/util/container.h"

enum {
    ARENA_SIZE = 256 * 1024, // bytes of one decoded message
    PACKETS_A_TURN = 4,      // read of all connections between two turns of the loop
    PACKETS_DRAINED = 256,   // read and dropped when a connection closes
    MAX_QUEUED_EVENTS = 64,  // replies in the queue of a connection, before events are dropped
    LINGER_SECONDS = 5,      // for a client to read the last replies
    RETRY_MS = 100,          // pause when too many descriptors are in flight
};

struct conn {
    struct conn_env *env;
    struct peer peer;
    int fd;
    struct event *event; // on the socket
    struct event *retry; // a timer: send again; of an ending connection: close
    short polled;        // the events that EVENT was added for
    bool bad;            // close at once
    bool ending;         // read no more, and close when the replies have been sent
    bool changed;        // on env->changed
    bool unread;         // there may be packets to read
    bool closed;         // by the client; packets that it sent before are still read
    bool queued;         // on the list of its user's connections that may read
    struct send_queue replies;
    TAILQ_ENTRY(conn) entry, changed_entry, readable_entry;
};

// Has settle look at the connection when the events at hand have been served.
static void conn_changed(struct conn *c)
{
    if (c->changed)
        return;
    c->changed = true;
    TAILQ_INSERT_TAIL(&c->env->changed, c, changed_entry);
    event_active(c->env->settle, EV_TIMEOUT, 0);
}

// A result of the send queue.
static void take_send_result(struct conn *c, int r)
{
    static const struct timeval pause = {.tv_usec = RETRY_MS * 1000};

    if (r == -ETOOMANYREFS)
        event_add(c->retry, &pause);
    else if (r < 0 && r != -EAGAIN)
        c->bad = true;
}

// The three functions of the peer, see peer.h.

static void peer_reply(struct peer *peer, const Diskalloc__V1__Reply *message, int fd)
{
    struct conn *c = container_of(peer, struct conn, peer);
    _cleanup_close_ int owned = fd;
    Diskalloc__V1__Reply reply = *message;
    size_t n;

    // Nothing follows the last reply.  Events are dropped if the client does not read them: an event must not cost a
    // client its connection.
    if (c->ending || (reply.body_case == DISKALLOC__V1__REPLY__BODY_EVENT && c->replies.n > MAX_QUEUED_EVENTS))
        return;
    reply.has_fd = fd >= 0;
    n = message_encode(&reply, c->env->buffer, PACKET_MAX);
    if (n == 0) {
        log_error("a reply to pid %d does not fit into a packet: its connection is closed", (int)peer->pid);
        c->bad = true;
    }
    if (!c->bad)
        take_send_result(c, send_packet(&c->replies, c->env->buffer, n, steal_fd(&owned)));
    if (c->bad || c->replies.n > 0 || (c->unread && !c->queued))
        conn_changed(c);
}

static void peer_hang_up(struct peer *peer)
{
    static const struct timeval linger = {.tv_sec = LINGER_SECONDS};
    struct conn *c = container_of(peer, struct conn, peer);

    c->ending = true;
    event_add(c->retry, &linger);
    conn_changed(c);
}

static void peer_resume(struct peer *peer)
{
    conn_changed(container_of(peer, struct conn, peer));
}

// Drain the socket before closing: closing with unread data sends a reset, and the client could lose the last reply.
static void drain(struct conn *c)
{
    for (int i = 0, fd = -1; i < PACKETS_DRAINED; i++) {
        ssize_t n = packet_receive(c->fd, c->env->buffer, PACKET_MAX, MSG_DONTWAIT, &fd);

        cleanup_close(&fd);
        fd = -1;
        if (n == 0 || (n < 0 && n != -EMSGSIZE && n != -EBADMSG))
            return;
    }
}

// Puts the connection on the list of its user, and the user on the list of those whose turn will come.
static void queue_for_reading(struct conn *c)
{
    struct user *u = c->peer.user;

    if (TAILQ_EMPTY(&u->readable))
        TAILQ_INSERT_TAIL(&c->env->readable, u, turn);
    TAILQ_INSERT_TAIL(&u->readable, c, readable_entry);
    c->queued = true;
    c->env->n_readable++;
}

// The turn of the connection's user is over as well: the user goes to the end of the list, if other connections of
// theirs may read.
static void unqueue(struct conn *c)
{
    struct user *u = c->peer.user;

    if (!c->queued)
        return;
    TAILQ_REMOVE(&c->env->readable, u, turn);
    TAILQ_REMOVE(&u->readable, c, readable_entry);
    if (!TAILQ_EMPTY(&u->readable))
        TAILQ_INSERT_TAIL(&c->env->readable, u, turn);
    c->queued = false;
    c->env->n_readable--;
}

// Only settle and conn_env_deinit call this: other functions may have the connection in their hands.
static void conn_free(struct conn *c)
{
    struct conn_env *env = c->env;

    send_queue_deinit(&c->replies);
    unqueue(c);
    event_free(c->event);
    event_free(c->retry);
    if (c->ending)
        drain(c);
    close(c->fd);
    TAILQ_REMOVE(&env->conns, c, entry);
    if (c->changed)
        TAILQ_REMOVE(&env->changed, c, changed_entry);
    request_forget_peer(&c->peer);
    peer_deinit(&c->peer, env->request->op.orphans);
    free(c);
    if (env->ended)
        env->ended(env->ended_data);
}

static bool may_read(const struct conn *c)
{
    // A client that does not read its replies is not served.
    if (c->ending || c->replies.n > 0)
        return false;
    // Nothing is served until Hello has been answered.
    return c->peer.n_requests - c->peer.n_waiting < (c->peer.said_hello ? PEER_MAX_REQUESTS : 1);
}

bool conn_has_news(const struct conn_env *env)
{
    return env->n_readable > 0 || !TAILQ_EMPTY(&env->changed);
}

static void consider_reading(struct conn *c)
{
    if (c->unread && !c->queued && may_read(c))
        queue_for_reading(c);
}

static void on_event(evutil_socket_t fd, short what, void *data);

// Derives the events to poll for from the state, or frees the connection.
static void settle(struct conn *c)
{
    short wanted = EV_READ | EV_CLOSED | EV_ET | EV_PERSIST;

    if (c->bad || (c->closed && !(c->unread && may_read(c))) || (c->ending && c->replies.n == 0)) {
        conn_free(c);
        return;
    }
    consider_reading(c);
    if (c->replies.n > 0 && (c->ending || !event_pending(c->retry, EV_TIMEOUT, NULL)))
        wanted |= EV_WRITE;
    if (wanted == c->polled)
        return;
    event_del(c->event);
    event_assign(c->event, c->env->base, c->fd, wanted, on_event, c);
    event_add(c->event, NULL);
    c->polled = wanted;
}

static void settle_changed(evutil_socket_t unused, short what, void *data)
{
    struct conn_env *env = data;
    struct conn *c;

    (void)unused;
    (void)what;
    while ((c = TAILQ_FIRST(&env->changed))) {
        TAILQ_REMOVE(&env->changed, c, changed_entry);
        c->changed = false;
        settle(c);
    }
}

// Reads one packet and serves it.
static void read_packet(struct conn *c)
{
    Diskalloc__V1__Request *message;
    const char *breach = NULL;
    _cleanup_close_ int fd = -1;
    ssize_t n = packet_receive(c->fd, c->env->buffer, PACKET_MAX, MSG_DONTWAIT, &fd);

    if (n == -EAGAIN)
        c->unread = false;
    else if (n == -EMSGSIZE)
        breach = "the packet is longer than 65,536 bytes";
    else if (n == -EBADMSG)
        breach = "the packet is empty, or its file descriptors cannot be taken";
    else if (n <= 0)
        c->bad = true;
    else if (fd >= 0)
        breach = "a client must not send file descriptors";
    else if (message_decode(&c->env->arena, c->env->buffer, (size_t)n, &message) < 0)
        breach = "the packet is not a Request";
    else
        request_serve(c->env->request, &c->peer, message);
    if (breach)
        request_breach(&c->peer, 0, DISKALLOC__V1__ERROR_CODE__PROTOCOL, breach);
}

bool conn_serve(struct conn_env *env)
{
    struct user *u;

    // Each connection is read once at most: when its request has been looked after, its next packet may be there, and
    // others have had their turn.
    for (unsigned n = env->n_readable, i = 0; i < n && i < PACKETS_A_TURN && (u = TAILQ_FIRST(&env->readable)); i++) {
        struct conn *c = TAILQ_FIRST(&u->readable);

        unqueue(c);
        if (may_read(c) && !c->bad)
            read_packet(c);
        if (c->bad || c->closed || c->ending)
            conn_changed(c);
        else if (c->unread && may_read(c))
            queue_for_reading(c);
    }
    return env->n_readable > 0;
}

static void on_event(evutil_socket_t fd, short what, void *data)
{
    struct conn *c = data;

    (void)fd;
    if (what & EV_WRITE)
        take_send_result(c, send_flush(&c->replies));
    // Packets that were sent before a hang-up are still read, as far as may_read allows.
    c->unread |= (what & (EV_READ | EV_CLOSED)) != 0;
    c->closed |= (what & EV_CLOSED) != 0;
    // The frequent case, a packet and nothing else, does without settle.
    if (what != (EV_READ | EV_ET))
        conn_changed(c);
    else
        consider_reading(c);
}

// The pause after -ETOOMANYREFS is over; or a connection that ends has lingered long enough, and closes.
static void on_retry(evutil_socket_t fd, short what, void *data)
{
    struct conn *c = data;

    (void)fd;
    (void)what;
    take_send_result(c, send_flush(&c->replies));
    c->bad |= c->ending;
    conn_changed(c);
}

int conn_env_init(struct conn_env *env, struct event_base *base, struct request_env *request)
{
    *env = (struct conn_env){.base = base, .request = request};
    TAILQ_INIT(&env->conns);
    TAILQ_INIT(&env->changed);
    TAILQ_INIT(&env->readable);
    env->buffer = malloc(PACKET_MAX);
    env->settle = event_new(base, -1, 0, settle_changed, env);
    if (!env->buffer || !env->settle)
        return -ENOMEM;
    return arena_init(&env->arena, ARENA_SIZE);
}

void conn_env_deinit(struct conn_env *env)
{
    struct conn *c;

    env->ended = NULL;
    while ((c = TAILQ_FIRST(&env->conns)))
        conn_free(c);
    if (env->settle)
        event_free(env->settle);
    arena_deinit(&env->arena);
    free(env->buffer);
}

// A reference to the client's user, and the client's pid, as the kernel knows them.  NULL: the client is refused.
static struct user *identify(struct conn_env *env, int fd, pid_t *ret_pid)
{
    struct ucred cred;
    socklen_t size = sizeof cred;

    if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &cred, &size) < 0)
        return NULL;
    // The kernel shows this uid for every uid that does not exist in the daemon's user namespace: it could be anybody.
    if (cred.uid == env->overflow_uid || cred.uid == (uid_t)-1) {
        log_warning("a client was refused: it runs in another user namespace, and its uid is not visible here");
        return NULL;
    }
    *ret_pid = cred.pid;
    return user_ref(env->request->users, cred.uid);
}

// Takes FD and the reference to USER, unless the result is NULL: no memory.
static struct conn *conn_new(struct conn_env *env, int fd, struct user *user, pid_t pid)
{
    struct conn *c = calloc(1, sizeof *c);

    if (c) {
        c->event = event_new(env->base, fd, 0, on_event, c);
        c->retry = evtimer_new(env->base, on_retry, c);
    }
    if (!c || !c->event || !c->retry) {
        if (c && c->event)
            event_free(c->event);
        free(c);
        return NULL;
    }
    c->env = env;
    c->fd = fd;
    peer_init(&c->peer, user, pid);
    c->peer.reply = peer_reply;
    c->peer.hang_up = peer_hang_up;
    c->peer.resume = peer_resume;
    send_queue_init(&c->replies, fd);
    TAILQ_INSERT_TAIL(&env->conns, c, entry);
    return c;
}

void conn_accept(struct conn_env *env, int fd)
{
    pid_t pid = 0;
    struct user *user = identify(env, fd, &pid);
    struct conn *c = user && user->n_silent < USER_MAX_SILENT ? conn_new(env, fd, user, pid) : NULL;

    if (c) {
        conn_changed(c);
        return;
    }
    user_unref(user);
    close(fd);
}
