// Connections that have ended, and whose clients had many regions or requests.
//
// A connection may have a hundred thousand regions attached, and each of them takes the loop a microsecond when the
// connection ends.  So the loop detaches SOME_REGIONS of them and serves others before it goes on; and before that, it
// reads SOME_PACKETS of those that the client sent last.  Users take turns, and so do the connections of a user.  A
// connection with few regions is gone at once, without a turn.
//
// Until a region is detached, the client counts as one that has it: others are told that it is in use, or wait for a
// moment where that helps (op/wait.c looks at n_leaving).  It gets no events any more.
//
// The requests of such a connection are cancelled in the same way: request_abandon_some.
#include "daemon/conn/leaving.h"

#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <sys/socket.h>

#include "daemon/conn/connection.h"
#include "daemon/conn/rights.h"
#include "daemon/request/dispatch.h"
#include "daemon/request/hello.h"
#include "daemon/request/message.h"
#include "daemon/user.h"
#include "proto/packet.h"
#include "proto/util/clock.h"
#include "proto/util/container.h"

enum {
    SOME_REGIONS = 16,
    SOME_REQUESTS = 4,
    SOME_PACKETS = 8,
    LAST_PACKETS = 1024, // read at most when a connection closes
};

// Whether a request of a client that has gone, or was hung up on, is still served.  Such a client may have said which
// regions it had closed: otherwise its process would count as one that maps them.
static bool is_served_last(const struct conn *c, const Diskalloc__V1__Request *m)
{
    return c->peer.said_hello && !c->ending && m->body_case == DISKALLOC__V1__REQUEST__BODY_DETACH_REGION;
}

void leaving_note(struct conn *c)
{
    c->leaves = true;
    if (c->peer.said_hello && !c->leaves_room) {
        c->leaves_room = true;
        hello_note_ending(c->peer.user);
    }
    if (c->leaves_something || (c->peer.n_attachments == 0 && c->peer.n_requests == 0))
        return;
    c->leaves_something = true;
    c->env->request->op.regions->n_leaving++;
    c->peer.user->n_leaving++;
}

static void begin(struct conn *c)
{
    leaving_note(c);
    c->bad = true; // nothing is sent any more
    if (c->careful)
        shutdown(c->fd, SHUT_RD);
}

// Closing with unread data sends a reset, by which the client could lose the last reply.
bool leaving_hear_some(struct conn *c)
{
    if (c->n_heard == 0)
        begin(c);
    for (int i = 0; i < SOME_PACKETS; i++) {
        Diskalloc__V1__Request *m;
        ssize_t n;

        if (++c->n_heard > LAST_PACKETS)
            return false;
        c->brings = c->brings || (c->careful && rights_come_next(c->fd));
        n = c->brings ? -EAGAIN : packet_read(c->fd, c->env->buffer, PACKET_MAX, MSG_DONTWAIT);
        if (n == 0 || (n < 0 && n != -EMSGSIZE && n != -EBADMSG))
            return false;
        if (n > 0 && message_decode(&c->env->arena, c->env->buffer, (size_t)n, &m) == 0 && is_served_last(c, m))
            request_serve(c->env->request, &c->peer, m);
    }
    return true;
}

static struct conn *take_next(struct conn_env *env)
{
    struct rounds_item *i = rounds_take(&env->leavers);

    return i ? container_of(i, struct conn, of_leavers) : NULL;
}

static void leave(struct conn *c, unsigned most)
{
    struct orphans *orphans = c->env->request->op.orphans;

    if (peer_leave_some(&c->peer, orphans, most)) {
        rounds_add(&c->env->leavers, &c->peer.user->leaving, &c->of_leavers);
        return;
    }
    if (c->leaves_something) {
        c->env->request->op.regions->n_leaving--;
        c->peer.user->n_leaving--;
    }
    peer_deinit(&c->peer, orphans);
    free(c);
}

void leaving_take(struct conn *c)
{
    leaving_note(c);
    request_abandon_some(c->env->request, SOME_REQUESTS);
    peer_part(&c->peer);
    if (c->leaves_room)
        hello_note_ended(c->peer.user);
    leave(c, SOME_REGIONS);
}

static void leave_in_turn(struct conn *c)
{
    const uint64_t began = clock_now_us();
    struct conn_env *env = c->env;
    struct user *u = c->peer.user;

    u->n_refs++; // leave may free C
    leave(c, SOME_REGIONS);
    turns_charge(env, u, clock_now_us() - began);
    user_unref(u);
}

bool leaving_serve(struct conn_env *env)
{
    struct conn *c = take_next(env);
    bool has_requests = !rounds_is_empty(&env->request->abandoned);

    request_abandon_some(env->request, SOME_REQUESTS);
    if (c)
        leave_in_turn(c);
    return c || has_requests;
}

bool leaving_is_under_way(const struct conn_env *env)
{
    return !rounds_is_empty(&env->leavers) || !rounds_is_empty(&env->request->abandoned);
}

void leaving_init(struct conn_env *env)
{
    rounds_init(&env->leavers);
}

void leaving_finish(struct conn_env *env)
{
    struct conn *c;

    request_abandon_some(env->request, UINT_MAX);
    while ((c = take_next(env)))
        leave(c, UINT_MAX);
}
