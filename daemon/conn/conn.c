// Connections: packets in, replies out.  Everything here runs on the loop's thread.
//
// Guarantees: a packet is read only while there is room for what it may cause.  Requests in flight and queued replies
// are bounded, so that a client that asks and does not read its replies stops only itself; its hang-up is noticed all
// the same (EV_CLOSED).  A client that breaks the protocol loses its own connection and nothing else, after a reply
// that says why.  Users take turns (turns.c): a thousand connections are served no faster than one.
// The requests of a user are bounded, whether their connections last or not (daemon/request/budget.c).  Nothing
// that a client sends becomes a descriptor of this process (rights.c).
//
// Reading: the kernel reports new data once (EV_ET).  The connection remembers that (unread) until a read finds the
// socket empty, and queues behind its user's other connections whenever it may read (consider_reading).  conn_serve
// takes packets from these queues between two turns of the loop.
//
// Ends: of a client that has closed its socket, only the DetachRegions that it sent last are still served.  A client
// that has ended only its sending gets replies to everything that it sent.
//
// Changes: the events to poll for are derived from the state in one function, settle, and only settle frees a
// connection.  Other functions set the state and call conn_changed; settle runs when all events at hand have been
// served, so that nothing works on freed memory.
//
// Time: whatever a client can make long is done a small part at a time, each some ten microseconds, and others are
// served in between: new connections (listener.c), packets, ends (settle_one), the last packets, the regions and the
// requests of a connection that has ended (leaving.c), and events (tell.c).  conn_serve does one packet and one part of
// something else, and the loop looks for new events every 50 us (work/loop.c).
#include "daemon/conn/conn.h"

#include <errno.h>
#include <event2/event.h>
#include <stdlib.h>
#include <sys/socket.h>

#include "daemon/conn/connection.h"
#include "daemon/conn/ended.h"
#include "daemon/conn/leaving.h"
#include "daemon/conn/rights.h"
#include "daemon/log.h"
#include "daemon/lookup.h"
#include "daemon/news.h"
#include "daemon/request/dispatch.h"
#include "daemon/request/message.h"
#include "daemon/request/peer.h"
#include "daemon/user.h"
#include "proto/packet.h"
#include "proto/util/cleanup.h"
#include "proto/util/clock.h"
#include "proto/util/container.h"

enum {
    ARENA_SIZE = 256 * 1024, // bytes of one decoded message
    ANSWERS_AT_A_TIME = 2,   // of the user database, to requests that wait for them
};

// Only settle and conn_env_deinit call this: other functions may have the connection in their hands.
static void conn_free(struct conn *c)
{
    struct conn_env *env = c->env;

    send_queue_deinit(&c->replies);
    turns_unqueue(c);
    tell_forget(c);
    tell_ended(c);
    accept_spoke(c);
    event_free(c->event);
    event_free(c->retry);
    TAILQ_REMOVE(&env->conns, c, entry);
    rounds_remove(&c->of_changed);
    c->freed = true;
    request_forget_peer(&c->peer);
    ended_take(c);
    leaving_take(c);
    if (env->ended)
        env->ended(env->ended_data);
}

static bool may_read(const struct conn *c)
{
    // A client that does not read its replies is not served.
    if (c->bad || c->ending || c->gone || c->replies.n > 0 || c->n_unread >= CONN_MOST_UNREAD)
        return false;
    // Nothing is served until Hello has been answered.
    return c->peer.n_requests - c->peer.n_waiting < (c->peer.said_hello ? PEER_MAX_REQUESTS : 1);
}

bool conn_has_news(const struct conn_env *env)
{
    return env->n_readable > 0 || !rounds_is_empty(&env->changed) || leaving_is_under_way(env) ||
           lookup_has_answers(env->request->users) || !news_is_empty(env->request->op.news);
}

static void consider_reading(struct conn *c)
{
    if (c->unread && !c->queued && may_read(c))
        turns_queue(c);
}

// The client sends nothing more, and has got replies to everything that it sent.
static bool is_over(const struct conn *c)
{
    return c->closed && !c->unread && c->peer.n_requests == 0 && c->replies.n == 0;
}

static void on_event(evutil_socket_t fd, short what, void *data);

static void end_soon(struct conn *c)
{
    if (leaving_hear_some(c))
        conn_changed(c);
    else
        conn_free(c);
}

// Derives the events to poll for from the state, or frees the connection.
static void settle(struct conn *c)
{
    short wanted = EV_READ | EV_CLOSED | EV_ET | EV_PERSIST;

    if (c->bad || c->gone || is_over(c) || (c->ending && c->replies.n == 0)) {
        end_soon(c);
        return;
    }
    consider_reading(c);
    if ((c->replies.n > 0 && (c->ending || !event_pending(c->retry, EV_TIMEOUT, NULL))) ||
        c->n_unread >= CONN_MOST_UNREAD)
        wanted |= EV_WRITE;
    if (wanted == c->polled)
        return;
    event_del(c->event);
    event_assign(c->event, c->env->base, c->fd, wanted, on_event, c);
    c->bad = event_add(c->event, NULL) < 0; // nobody would see what the client sends: it makes another connection
    c->polled = wanted;
    if (c->bad)
        end_soon(c);
}

// Very many connections may change at once, when a client ends that had them: those of other users do not wait for all.
static bool settle_one(struct conn_env *env)
{
    struct conn *c = conn_next_changed(env);
    uint64_t began;
    struct user *u;

    if (!c)
        return false;
    began = clock_now_us();
    u = c->peer.user;
    u->n_refs++; // settle may free C
    settle(c);
    turns_charge(env, u, clock_now_us() - began);
    user_unref(u);
    return true;
}

// Nothing: conn_serve settles connections, as soon as this event has ended the wait for others.
static void on_changed(evutil_socket_t unused, short what, void *data)
{
    (void)unused;
    (void)what;
    (void)data;
}

// The client has sent descriptors.  The packet that brings them is not received.
static void refuse_rights(struct conn *c)
{
    c->brings = true;
    if (log_may(LOG_KIND_RIGHTS, c->peer.holder.uid))
        log_warning("uid %u, pid %d has sent file descriptors: its connection ends", (unsigned)c->peer.holder.uid,
                    (int)c->peer.holder.pid);
    request_breach(&c->peer, 0, DISKALLOC__V1__ERROR_CODE__PROTOCOL, "a client must not send file descriptors");
}

// C->closed: but the client may have ended its sending only, and read on.
static void note_end(struct conn *c)
{
    c->gone |= conn_was_closed(c->fd);
    if (c->gone)
        leaving_note(c);
}

// Reads one packet and serves it.
static void read_packet(struct conn *c)
{
    Diskalloc__V1__Request *message;
    const char *breach = NULL;
    ssize_t n;

    if (c->careful && rights_come_next(c->fd)) {
        refuse_rights(c);
        return;
    }
    n = packet_read(c->fd, c->env->buffer, PACKET_MAX, MSG_DONTWAIT);
    if (n == -EAGAIN)
        c->unread = false;
    else if (n == -EMSGSIZE)
        breach = "the packet is longer than 65,536 bytes";
    else if (n == -EBADMSG)
        breach = "the packet is empty";
    else if (n == 0) {
        c->unread = false;
        c->closed = true;
        // A client that has not read everything is told of as an error, without EV_CLOSED.
        note_end(c);
    } else if (n < 0)
        c->bad = true;
    else if (message_decode(&c->env->arena, c->env->buffer, (size_t)n, &message) < 0)
        breach = "the packet is not a Request";
    else
        request_serve(c->env->request, &c->peer, message);
    if (breach)
        request_breach(&c->peer, 0, DISKALLOC__V1__ERROR_CODE__PROTOCOL, breach);
    if (c->peer.said_hello || c->peer.n_requests > 0)
        accept_spoke(c);
}

static bool read_next(struct conn_env *env)
{
    struct conn *c = turns_next(env);
    uint64_t began;

    if (!c)
        return false;
    began = clock_now_us();
    turns_unqueue(c);
    if (may_read(c))
        read_packet(c);
    if (c->bad || c->closed || c->ending)
        conn_changed(c);
    else if (c->unread && may_read(c))
        turns_queue(c);
    turns_charge(env, c->peer.user, clock_now_us() - began + 1);
    return true;
}

static bool tell_answers(struct conn_env *env)
{
    return lookup_tell(env->request->users, ANSWERS_AT_A_TIME);
}

// Whatever else there is to do takes turns, ends and beginnings of connections every second one.
static bool do_next_duty(struct conn_env *env)
{
    static bool (*const duties[])(struct conn_env * env) = {
        settle_one,   leaving_serve, settle_one, tell_serve, settle_one,
        tell_reports, settle_one,    tell_look,  settle_one, tell_answers,
    };
    enum { N = sizeof duties / sizeof *duties };

    for (unsigned i = 0; i < N; i++) {
        env->next_duty = (env->next_duty + 1) % N;
        if (duties[env->next_duty](env))
            return true;
    }
    return false;
}

bool conn_serve(struct conn_env *env)
{
    bool has_read = read_next(env);

    return do_next_duty(env) || (has_read && env->n_readable > 0);
}

static void on_event(evutil_socket_t fd, short what, void *data)
{
    struct conn *c = data;

    (void)fd;
    if (what & EV_WRITE)
        reply_take_result(c, send_flush(&c->replies));
    // Packets that were sent before the end of sending are still read, as far as may_read allows.
    c->unread |= (what & (EV_READ | EV_CLOSED)) != 0;
    c->closed |= (what & EV_CLOSED) != 0;
    if (what & EV_CLOSED)
        note_end(c);
    if (c->n_unread > 0)
        unread_settle(c);
    if (c->holds)
        tell_again(c);
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
    reply_take_result(c, send_flush(&c->replies));
    c->bad |= c->ending;
    conn_changed(c);
}

int conn_env_init(struct conn_env *env, struct event_base *base, struct request_env *request)
{
    int accepts, turns, unread, ended, tells;

    *env = (struct conn_env){.base = base, .request = request};
    leaving_init(env);
    TAILQ_INIT(&env->conns);
    rounds_init(&env->changed);
    env->buffer = malloc(PACKET_MAX);
    env->settle = event_new(base, -1, 0, on_changed, env);
    // All five, whether one fails or not: conn_env_deinit relies on their lists.
    accepts = accept_init(env);
    turns = turns_init(env);
    unread = unread_init(env);
    ended = ended_init(env);
    tells = tell_init(env);
    if (accepts < 0 || turns < 0 || unread < 0 || ended < 0 || tells < 0 || !env->buffer || !env->settle)
        return -ENOMEM;
    return arena_init(&env->arena, ARENA_SIZE);
}

void conn_env_deinit(struct conn_env *env)
{
    struct conn *c;

    env->ended = NULL;
    while ((c = TAILQ_FIRST(&env->conns))) {
        while (leaving_hear_some(c))
            continue;
        conn_free(c);
    }
    leaving_finish(env);
    ended_deinit(env);
    tell_deinit(env);
    unread_deinit(env);
    turns_deinit(env);
    accept_deinit(env);
    if (env->settle)
        event_free(env->settle);
    arena_deinit(&env->arena);
    free(env->buffer);
}

// A connection on FD.  Takes FD and the reference to USER, unless the result is NULL: no memory.
static struct conn *conn_new(struct conn_env *env, int fd, struct user *user, pid_t pid)
{
    struct conn *c = calloc(1, sizeof *c);

    if (c) {
        c->event = event_new(env->base, fd, 0, on_event, c);
        c->retry = c->event ? evtimer_new(env->base, on_retry, c) : NULL;
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
    reply_begin(c);
    TAILQ_INSERT_TAIL(&env->conns, c, entry);
    return c;
}

void conn_env_abandon(struct conn_env *env)
{
    const struct conn *c;

    TAILQ_FOREACH (c, &env->conns, entry)
        shutdown(c->fd, SHUT_RDWR);
    ended_abandon(env);
}

void conn_accept(struct conn_env *env, int fd)
{
    const uint64_t began = clock_now_us();
    pid_t pid = 0;
    struct user *user = accept_identify(env, fd, &pid);
    struct conn *c = user ? conn_new(env, fd, user, pid) : NULL;

    env->request->op.tally.connections++;
    if (!c) {
        user_unref(user);
        accept_refuse(fd);
        return;
    }
    accept_begin(c);
    conn_changed(c);
    turns_charge(env, user, clock_now_us() - began);
}
