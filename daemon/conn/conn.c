// Guarantees: a packet is read only while there is room for what it may cause (requests in flight, replies queued are bounded),
// so a peer that asks and does not listen stops itself and nobody else; its hang-up is seen all the same (EV_CLOSED).
// Whatever a peer sends ends at the worst its own connection, with a reply that says why where there is a request to reply to.
// Users take turns, a packet each, and so do a user's connections: who has a thousand of them is not served more than who has one.
//
// The kernel tells once that there is something to read (EV_ET); a connection remembers it until it has read all, or until it may read
// again.
//
// What is polled for is derived from the state in one place, settle. A connection is marked bad where the reason
// arises and reaped when the events at hand are served, so that nothing works on freed memory (tmux's proc.c).
#include "daemon/conn/conn.h"

#include <errno.h>
#include <event2/event.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "daemon/conn/conn_internal.h"
#include "daemon/log.h"
#include "daemon/request/dispatch.h"
#include "daemon/request/message.h"
#include "proto/packet.h"
#include "proto/util/cleanup.h"

enum {
    ARENA_SIZE = 256 * 1024,
    PACKETS_A_TURN = 4,    // of everybody; then what they ask is looked after
    PACKETS_DRAINED = 256, // of a connection that is hung up on
};

// What was never read would make the peer see a reset before our last word.
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

static void queue_for_reading(struct conn *c)
{
    struct user *u = c->peer.user;

    if (TAILQ_EMPTY(&u->readable))
        TAILQ_INSERT_TAIL(&c->env->readable, u, turn);
    TAILQ_INSERT_TAIL(&u->readable, c, readable_entry);
    c->queued = true;
    c->env->n_readable++;
}

// Its user's turn is over, too.
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

static void conn_free(struct conn *c)
{
    struct conn_env *env = c->env;

    conn_drop_replies(c);
    unqueue(c);
    event_free(c->event);
    event_free(c->retry);
    if (c->ending)
        drain(c);
    close(c->fd);
    TAILQ_REMOVE(&env->conns, c, entry);
    if (c->changed)
        TAILQ_REMOVE(&env->changed, c, changed_entry);
    env->n_conns--;
    request_forget_peer(&c->peer);
    peer_deinit(&c->peer, env->request->op.orphans);
    free(c);
    if (env->ended)
        env->ended(env->ended_data);
}

static bool may_read(const struct conn *c)
{
    if (c->ending || c->n_replies > 0)
        return false;
    // Until Hello is answered nothing else is served.
    return c->peer.n_requests - c->peer.n_waiting < (c->peer.said_hello ? PEER_MAX_REQUESTS : 1);
}

bool conn_has_news(const struct conn_env *env)
{
    return env->n_readable > 0 || !TAILQ_EMPTY(&env->changed);
}

static void on_event(evutil_socket_t fd, short what, void *data);

static void consider_reading(struct conn *c)
{
    if (!c->unread || c->queued || !may_read(c))
        return;
    queue_for_reading(c);
}

// The only place that says what is waited for; and where the end comes.
static void settle(struct conn *c)
{
    short wanted = EV_READ | EV_CLOSED | EV_ET | EV_PERSIST;

    if (c->bad || (c->closed && !(c->unread && may_read(c))) || (c->ending && c->n_replies == 0)) {
        conn_free(c);
        return;
    }
    consider_reading(c);
    if (c->n_replies > 0 && (c->ending || !event_pending(c->retry, EV_TIMEOUT, NULL)))
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

void conn_changed(struct conn *c)
{
    if (c->changed)
        return;
    c->changed = true;
    TAILQ_INSERT_TAIL(&c->env->changed, c, changed_entry);
    event_active(c->env->settle, EV_TIMEOUT, 0);
}

static void say_breach(struct conn *c, const char *sentence)
{
    request_breach(&c->peer, 0, DISKALLOC__V1__ERROR_CODE__PROTOCOL, sentence);
}

static void read_packet(struct conn *c)
{
    Diskalloc__V1__Request *message;
    int fd = -1;
    ssize_t n = packet_receive(c->fd, c->env->buffer, PACKET_MAX, MSG_DONTWAIT, &fd);

    if (n == -EAGAIN) {
        c->unread = false;
        return;
    }
    if (n == -EMSGSIZE)
        say_breach(c, "the packet is longer than 65,536 bytes");
    else if (n == -EBADMSG)
        say_breach(c, "the packet is empty, or brought file descriptors");
    else if (n <= 0)
        c->bad = true;
    else if (fd >= 0)
        say_breach(c, "clients do not send file descriptors");
    else if (message_decode(&c->env->arena, c->env->buffer, (size_t)n, &message) < 0)
        say_breach(c, "the packet is no Request");
    else
        request_serve(c->env->request, &c->peer, message);
    cleanup_close(&fd);
}

bool conn_serve(struct conn_env *env)
{
    struct user *u;

    // A connection that was read is read again only when what it asked has been looked after: by then its next packet may be there.
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
        conn_flush_replies(c);
    // What it said before it hung up is read, but for what it may not say yet.
    c->unread |= (what & (EV_READ | EV_CLOSED)) != 0;
    c->closed |= (what & EV_CLOSED) != 0;
    if (what != (EV_READ | EV_ET))
        conn_changed(c);
    else
        consider_reading(c);
}

static void on_retry(evutil_socket_t fd, short what, void *data)
{
    struct conn *c = data;

    (void)fd;
    (void)what;
    conn_flush_replies(c);
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

static int identify(struct conn_env *env, int fd, struct user **ret_user, pid_t *ret_pid)
{
    struct ucred cred;
    socklen_t size = sizeof cred;

    if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &cred, &size) < 0)
        return -errno;
    // What the kernel shows for a uid that does not exist in our user namespace: it might be anybody.
    if (cred.uid == env->overflow_uid || cred.uid == (uid_t)-1) {
        log_warning("a client of another user namespace was refused: its uid is not visible here");
        return -EACCES;
    }
    *ret_user = user_ref(env->request->users, cred.uid);
    *ret_pid = cred.pid;
    return *ret_user ? 0 : -ENOMEM;
}

void conn_accept(struct conn_env *env, int fd)
{
    struct user *user = NULL;
    pid_t pid = 0;
    struct conn *c;

    if (identify(env, fd, &user, &pid) < 0) {
        close(fd);
        return;
    }
    c = user->n_silent < USER_MAX_SILENT ? calloc(1, sizeof *c) : NULL;
    if (c) {
        c->event = event_new(env->base, fd, 0, on_event, c);
        c->retry = evtimer_new(env->base, on_retry, c);
    }
    if (!c || !c->event || !c->retry) {
        if (c && c->event)
            event_free(c->event);
        free(c);
        user_unref(user);
        close(fd);
        return;
    }
    c->env = env;
    c->fd = fd;
    peer_init(&c->peer, user, pid);
    conn_init_replies(c);
    TAILQ_INSERT_TAIL(&env->conns, c, entry);
    env->n_conns++;
    conn_changed(c);
}
