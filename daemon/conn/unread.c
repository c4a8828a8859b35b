// Replies with descriptors that clients have not read.
//
// A descriptor that was sent counts against this process's limit of open files until the client receives it, or
// closes its socket.  So each counts in its user's budget, and a connection with CONN_MOST_UNREAD of them is not
// served.  The kernel tells by SIOCOUTQ whether a client has received everything.  That is asked when the client shows
// a sign of life, when the socket of a connection that is held up becomes writable, and from time to time: some
// connections at each tick of a timer, which runs only while there is something to ask.
#include <errno.h>
#include <event2/event.h>
#include <linux/sockios.h>
#include <sys/ioctl.h>

#include "daemon/conn/connection.h"
#include "daemon/user.h"

enum {
    TICK_MS = 100,
    ASKED_A_TICK = 64, // connections, and an eighth of the others
};

static void tick_soon(struct conn_env *env)
{
    static const struct timeval soon = {.tv_usec = TICK_MS * 1000L};

    if (!event_pending(env->unread_tick, EV_TIMEOUT, NULL))
        event_add(env->unread_tick, &soon);
}

bool unread_was_taken(int sock)
{
    int bytes = 0;

    return ioctl(sock, SIOCOUTQ, &bytes) == 0 && bytes == 0;
}

void unread_add(struct conn *c)
{
    if (c->n_unread++ == 0) {
        TAILQ_INSERT_TAIL(&c->env->unread, c, unread_entry);
        c->env->n_unread++;
    }
    budget_take(&c->env->request->budget, c->peer.user);
    tick_soon(c->env);
}

void unread_remove(struct conn *c)
{
    if (c->n_unread == 0)
        return;
    TAILQ_REMOVE(&c->env->unread, c, unread_entry);
    c->env->n_unread--;
}

bool unread_settle(struct conn *c)
{
    unsigned n = c->n_unread;

    if (n == 0)
        return true;
    if (c->replies.n > 0 || !unread_was_taken(c->fd))
        return false;
    unread_remove(c);
    c->n_unread = 0;
    budget_give_back(&c->env->request->budget, c->peer.user, n);
    if (n >= CONN_MOST_UNREAD)
        conn_changed(c); // it was held up
    return true;
}

static void on_tick(evutil_socket_t fd, short what, void *data)
{
    struct conn_env *env = data;
    unsigned n = env->n_unread / 8 + ASKED_A_TICK;
    struct conn *c;

    (void)fd;
    (void)what;
    for (unsigned left = n < env->n_unread ? n : env->n_unread; left > 0 && (c = TAILQ_FIRST(&env->unread)); left--)
        if (!unread_settle(c)) {
            TAILQ_REMOVE(&env->unread, c, unread_entry);
            TAILQ_INSERT_TAIL(&env->unread, c, unread_entry);
        }
    if (env->n_unread > 0)
        tick_soon(env);
}

int unread_init(struct conn_env *env)
{
    TAILQ_INIT(&env->unread);
    env->unread_tick = evtimer_new(env->base, on_tick, env);
    return env->unread_tick ? 0 : -ENOMEM;
}

void unread_deinit(struct conn_env *env)
{
    if (env->unread_tick)
        event_free(env->unread_tick);
}
