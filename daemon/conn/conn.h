// One connection: packets in, replies out, nothing else.  See the essay in conn.c.
#pragma once
#include <stdbool.h>
#include <stdint.h>

#include "daemon/request/arena.h"
#include "daemon/request/request.h"

struct conn;
struct event;
struct event_base;

// What connections share.
struct conn_env {
    struct event_base *base;
    struct request_env *request;
    struct arena arena; // for the message being served
    uint8_t *buffer;    // PACKET_MAX bytes, for the packet being read or written
    uid_t overflow_uid; // what the kernel shows for one that it can't
    TAILQ_HEAD(conn_list, conn) conns, changed;
    TAILQ_HEAD(, user) readable; // users one of whose connections has something to say, the next one's turn first
    unsigned n_conns, n_readable;
    struct event *settle; // draws the consequences for the changed ones
    // A connection has ended: its descriptor is free again.
    void (*ended)(void *data);
    void *ended_data;
};

int conn_env_init(struct conn_env *env, struct event_base *base, struct request_env *request);
void conn_env_deinit(struct conn_env *env); // closes all connections

// Between turns of the event loop: reads some of what connections have to say.  True: there is more.
bool conn_serve(struct conn_env *env);
// Whether there is something of somebody's that was not looked at yet: a packet, or that they have hung up.
bool conn_has_news(const struct conn_env *env);

// Takes FD, a connected socket.  On failure it is closed.
void conn_accept(struct conn_env *env, int fd);
