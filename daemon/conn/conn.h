// Connections: packets in, replies out.  See the essay in conn.c.
#pragma once
#include <stdbool.h>
#include <stdint.h>

#include "daemon/request/arena.h"
#include "daemon/request/request.h"

struct conn;
struct event;
struct event_base;

// The state that all connections share.
struct conn_env {
    struct event_base *base;
    struct request_env *request;
    struct arena arena;                // for the message that is being served
    uint8_t *buffer;                   // PACKET_MAX bytes, for the packet that is being read or written
    uid_t overflow_uid;                // the kernel shows it for uids of other user namespaces; the daemon sets it
    TAILQ_HEAD(conn_list, conn) conns; // all
    struct conn_list changed;          // those that settle has to look at
    TAILQ_HEAD(, user) readable;       // users with connections that may read; the first one has the next turn
    unsigned n_readable;               // connections that may read
    struct event *settle;              // becomes active when a connection is put on CHANGED
    void (*ended)(void *data);         // a connection has closed, and its descriptor is free; the daemon sets it
    void *ended_data;
};

int conn_env_init(struct conn_env *env, struct event_base *base, struct request_env *request); // 0 or -ENOMEM
void conn_env_deinit(struct conn_env *env);                                                    // closes all connections

// Reads some packets and serves them.  The loop calls it between two turns, as long as it returns true: there is more.
bool conn_serve(struct conn_env *env);
// True if a client may have sent a packet or hung up, and nobody has looked at that yet.
bool conn_has_news(const struct conn_env *env);

// Takes FD, a connected socket.  On failure FD is closed.
void conn_accept(struct conn_env *env, int fd);
