// Connections that have changed: see connection.h.
#include "daemon/conn/connection.h"

#include <event2/event.h>
#include <poll.h>

void conn_changed(struct conn *c)
{
    if (c->changed)
        return;
    c->changed = true;
    TAILQ_INSERT_TAIL(&c->env->changed, c, changed_entry);
    event_active(c->env->settle, EV_TIMEOUT, 0);
}

bool conn_was_closed(int sock)
{
    struct pollfd p = {.fd = sock};

    return poll(&p, 1, 0) > 0 && p.revents & POLLHUP;
}
