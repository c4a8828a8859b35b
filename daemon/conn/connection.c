// Connections that have changed: see connection.h.
#include "daemon/conn/connection.h"

#include <event2/event.h>
#include <poll.h>

#include "daemon/user.h"
#include "proto/util/container.h"

void conn_changed(struct conn *c)
{
    if (c->freed || c->of_changed.owner)
        return;
    rounds_add(&c->env->changed, &c->peer.user->changed, &c->of_changed);
    event_active(c->env->settle, EV_TIMEOUT, 0);
}

struct conn *conn_next_changed(struct conn_env *env)
{
    struct rounds_item *i = rounds_take(&env->changed);

    return i ? container_of(i, struct conn, of_changed) : NULL;
}

bool conn_was_closed(int sock)
{
    struct pollfd p = {.fd = sock};

    return poll(&p, 1, 0) > 0 && p.revents & POLLHUP;
}
