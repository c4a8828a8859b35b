// See since_start.h.
#include "daemon/config/since_start.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/log.h"

int since_start_init(struct since_start *s, const struct config *c)
{
    *s = (struct since_start){.socket = strdup(c->socket), .socket_mode = c->socket_mode, .fence = c->fence};
    return s->socket ? 0 : -ENOMEM;
}

void since_start_deinit(struct since_start *s)
{
    free(s->socket);
}

void since_start_warn(const struct since_start *s, const struct config *c)
{
    if (s->fence != c->fence)
        log_warning("another fence needs a restart: the present one is kept");
    if (strcmp(s->socket, c->socket) != 0)
        log_warning("another socket needs a restart: the present one is kept");
    if (s->socket_mode != c->socket_mode)
        log_warning("another socket_mode needs a restart: the socket keeps its permissions");
}
