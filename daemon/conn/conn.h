// Connections: packets in, replies out.  See the essay in conn.c.
#pragma once
#include <stdbool.h>
#include <stdint.h>

#include "daemon/conn/connection.h"

int conn_env_init(struct conn_env *env, struct event_base *base, struct request_env *request); // 0 or -ENOMEM
void conn_env_deinit(struct conn_env *env);                                                    // closes all connections
// Instead of conn_env_deinit, when the process must end at once: the clients see the end of their connections, though
// the descriptors may stay open, and connections whose closing may hang are closed elsewhere.
void conn_env_abandon(struct conn_env *env);

// Reads a packet and serves it, and does a part of what else is to do.  The loop calls it between two turns, for as
// long as a turn may take, until it returns false: there is no more.
bool conn_serve(struct conn_env *env);
// True if a client may have sent a packet or hung up, and nobody has looked at that yet.
bool conn_has_news(const struct conn_env *env);

// Takes FD, a connected socket.  On failure FD is closed.
void conn_accept(struct conn_env *env, int fd);
