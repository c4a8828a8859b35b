// A connection, for conn.c (its life, and what is read) and conn_reply.c (what is sent).
#pragma once
#include <stdbool.h>
#include <sys/queue.h>

#include "daemon/conn/conn.h"
#include "daemon/request/peer.h"

struct event;
struct queued_reply;

struct conn {
    struct conn_env *env;
    struct peer peer;
    int fd;
    struct event *event, *retry;
    short polled; // what event was added for
    bool bad;     // to be closed at once
    bool ending;  // to be closed when the replies are sent; nothing more is read
    bool changed; // on the list of those to be settled
    bool unread;  // there may be something to read
    bool closed;  // by the peer: what it said before is still read
    bool queued;  // in its user's list of those that are to be read
    TAILQ_HEAD(, queued_reply) replies;
    unsigned n_replies;
    TAILQ_ENTRY(conn) entry, changed_entry, readable_entry;
};

// Whatever changed, the consequences are drawn when nobody is at work on the connection.
void conn_changed(struct conn *c);
// No more is read. What was said is sent, if the peer takes it soon.
void conn_end_soon(struct conn *c);

void conn_init_replies(struct conn *c);
void conn_flush_replies(struct conn *c);
void conn_drop_replies(struct conn *c);
