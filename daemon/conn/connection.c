// Connections that have changed: see connection.h.
#include "daemon/conn/connection.h"

#include <event2/event.h>
#include <poll.h>

#include "daemon/user.h"

void conn_changed(struct conn *c)
{
    if (c->changed)
        return;
    c->changed = true;
    if (TAILQ_EMPTY(&c->peer.user->changed))
        TAILQ_INSERT_TAIL(&c->env->changed, c->peer.user, of_changed);
    TAILQ_INSERT_TAIL(&c->peer.user->changed, c, changed_entry);
    event_active(c->env->settle, EV_TIMEOUT, 0);
}

void conn_take_back(struct conn *c)
{
    struct user *u = c->peer.user;

    if (!c->changed)
        return;
    c->changed = false;
    TAILQ_REMOVE(&u->changed, c, changed_entry);
    if (TAILQ_EMPTY(&u->changed))
        TAILQ_REMOVE(&c->env->changed, u, of_changed);
}

struct conn *conn_next_changed(struct conn_env *env)
{
    struct user *u = TAILQ_FIRST(&env->changed);
    struct conn *c = u ? TAILQ_FIRST(&u->changed) : NULL;

    if (!c)
        return NULL;
    TAILQ_REMOVE(&env->changed, u, of_changed);
    TAILQ_INSERT_TAIL(&env->changed, u, of_changed);
    conn_take_back(c);
    return c;
}

bool conn_was_closed(int sock)
{
    struct pollfd p = {.fd = sock};

    return poll(&p, 1, 0) > 0 && p.revents & POLLHUP;
}
