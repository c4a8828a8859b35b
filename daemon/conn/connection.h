// The data of connections, and what the files of this folder do with them.  See the essay in conn.c.
#pragma once
#include <stdbool.h>
#include <stdint.h>

#include "daemon/conn/send.h"
#include "daemon/request/arena.h"
#include "daemon/request/request.h"
#include "daemon/rounds.h"
#include "daemon/tree.h"

struct conn;
struct event;
struct event_base;

// The state that all connections share.
struct conn_env {
    struct event_base *base;
    struct request_env *request;
    struct arena arena; // for the message that is being served
    uint8_t *buffer;    // PACKET_MAX bytes, for the packet that is being read or written
    // Stands for all uids without a number in the daemon's user namespace; (uid_t)-1: every uid has one.
    uid_t overflow_uid;
    gid_t overflow_gid;                // likewise
    TAILQ_HEAD(conn_list, conn) conns; // all
    RB_HEAD(turn_tree, user) readable; // parties of users with connections that may read; the first one is next
    uint64_t turn_us;                  // turn_us of the party that was served last
    TAILQ_HEAD(, user) held_up;        // users who would be there, if their budget were not spent
    struct rounds changed;             // connections that settle has to look at
    unsigned n_readable;               // connections that may read, of the users in readable
    struct event *turns_tick;          // a timer: may users who are held up go on?
    // accept.c's:
    struct conn_list silent; // n_silent connections without Hello, at most most_silent
    unsigned n_silent, most_silent;
    struct event *silent_tick; // a timer: the deadline of the first of them
    bool bounds_buffers;       // the machine allows a small send buffer that takes the longest packet
    bool told_of_buffers;      // the log knows that they are too small
    // unread.c's:
    struct conn_list unread; // n_unread connections with replies that may not have been received
    unsigned n_unread;
    struct event *unread_tick; // a timer: look at them
    // tell.c's: connections whose clients do not read, and have to be told something; and a timer to look at them
    struct conn_list holding;      // n_holding of them
    unsigned n_holding, n_to_look; // and those to look at until the next tick
    struct event *tell_tick;
    unsigned next_duty;    // conn.c's: the one that was served last
    struct rounds leavers; // leaving.c's: connections that have ended and still have regions
    // ended.c's:
    TAILQ_HEAD(, ended) ended_conns; // n_ended of them
    unsigned n_ended, n_children;
    LIST_HEAD(, child) children; // n_children of them
    struct event *ended_tick;    // a timer: look at ended_conns
    struct event *settle;        // becomes active when there is a connection to settle
    void (*ended)(void *data);   // a connection has closed, and its descriptor is free; the daemon sets it
    void *ended_data;
};

enum { CONN_MOST_UNREAD = 16 }; // replies with a descriptor that the client has not read: then it is not served

struct conn {
    struct conn_env *env;
    struct peer peer;
    int fd;
    struct event *event;   // on the socket
    struct event *retry;   // a timer: send again; of an ending connection: close
    short polled;          // the events that EVENT was added for
    bool bad;              // close at once
    bool ending;           // read no more, and close when the replies have been sent
    bool freed;            // whatever happens to it from here on, it is not settled once more
    bool unread;           // there may be packets to read
    bool closed;           // by the client, for sending; packets that it sent before are still served
    bool gone;             // the client has closed the connection, and can read nothing any more
    bool queued;           // on the list of its user's connections that may read
    bool careful;          // packets may bring descriptors: see rights.c
    bool leaves;           // leaving.c's, like the next three: the connection ends
    bool leaves_something; // counted in n_leaving
    bool leaves_room;      // counted in n_ending of the user: it was let in
    unsigned n_heard;      // so many packets were read since it was settled that it ends
    bool brings;           // the next packet brings descriptors, so nothing may be received any more
    bool silent;           // on env->silent
    uint64_t speaks_by;    // ms, monotonic: if silent, until when Hello must have come
    bool holds;            // on env->holding
    unsigned n_unheard;    // events about regions that were sent since the client was known to have read everything
    unsigned n_unread;     // descriptors that were sent or queued and may not have been received
    struct send_queue replies;
    struct rounds_item of_changed, of_leavers;
    TAILQ_ENTRY(conn) entry, readable_entry, silent_entry, unread_entry, holding_entry;
};

// connection.c:
// Has settle look at the connection when the events at hand have been served.
void conn_changed(struct conn *c);
// Takes the next connection that settle has to look at; users take turns.  NULL: there is none.
struct conn *conn_next_changed(struct conn_env *env);
// Whether the other side of SOCK was closed.  Such a client reads nothing any more, unlike one that has only ended its
// sending.
bool conn_was_closed(int sock);

// accept.c:
int accept_init(struct conn_env *env); // 0 or -ENOMEM
void accept_deinit(struct conn_env *env);
// A reference to the user of the client at FD, and the client's pid, as the kernel knows them.  NULL: it is refused.
struct user *accept_identify(struct conn_env *env, int fd, pid_t *ret_pid);
bool accept_has_group(const struct peer *peer, gid_t gid); // as peer.has_group
void accept_refuse(int fd);                                // closes FD, a new connection
void accept_begin(struct conn *c);                         // C is new, and silent
void accept_spoke(struct conn *c);                         // C sent Hello, or ends; does nothing if it was not silent

// reply.c:
void reply_begin(struct conn *c);              // C is new: sets what its requests call
void reply_take_result(struct conn *c, int r); // R is a result of C's send queue

// turns.c.  The users whose turn will come, and the connections of each:

int turns_init(struct conn_env *env); // 0 or -ENOMEM
void turns_deinit(struct conn_env *env);
void turns_queue(struct conn *c);
// The user's turn is over as well.  Does nothing if C is not queued.
void turns_unqueue(struct conn *c);
// The connection that has the next turn, or NULL.
struct conn *turns_next(struct conn_env *env);
// The loop has worked for US microseconds for U.
void turns_charge(struct conn_env *env, struct user *u, uint64_t us);

// tell.c.  News for the clients:

int tell_init(struct conn_env *env); // 0 or -ENOMEM
void tell_deinit(struct conn_env *env);
bool tell_look(struct conn_env *env);    // looks at some who had not read; false: none is to be looked at
bool tell_serve(struct conn_env *env);   // sends some of the queue; false: there was nothing
void tell_again(struct conn *c);         // C may have read what was sent to it
void tell_forget(struct conn *c);        // C ends
void tell_ended(struct conn *c);         // C has ended: for those who watch
bool tell_reports(struct conn_env *env); // sends some reports to those who watch; false: there were none to send

// unread.c.  Replies with descriptors that were not read yet:

int unread_init(struct conn_env *env); // 0 or -ENOMEM
void unread_deinit(struct conn_env *env);
void unread_add(struct conn *c);    // a reply with a descriptor is on its way to the client
bool unread_settle(struct conn *c); // true: the client has received all of them
void unread_remove(struct conn *c); // C ends; the user's budget keeps what C->n_unread says
bool unread_was_taken(int sock);    // whether the other side has received all that was sent to it
