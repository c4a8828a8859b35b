// The struct of a link, and functions that the files of this folder share.  Call all with the link's lock held.
#pragma once
#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/queue.h>

#include "client/link/connection.h"
#include "client/link/events.h"
#include "client/link/link.h"

enum { EVENTS_FIRST_PAUSE_MS = 1, RECENT_ASKS = 8 };

// An ask may come before the region is listed that it is about: its answer is taken by another thread.
struct recent_ask {
    struct handle handle;
    uint64_t epoch;
    struct ask ask; // number 0: none
};

// When a caller gives up being without a connection.
struct deadline {
    bool set;            // by the first attempt that finds the connection gone
    uint64_t at, latest; // times of proto/util/clock.h; at is latest at the latest
    int pause_ms;        // before the next attempt
};

// A time without a connection: some attempt to make one has failed.
struct absence {
    uint64_t since; // of proto/util/clock.h; 0: there is a connection, or nobody has tried
    bool told;      // the program was told by an event
    char why[160];  // of the last attempt
};

struct link {
    char *path, *client_name;      // copies
    int reconnect_timeout_ms;      // how long a request tries to connect again
    pthread_mutex_t lock;          // of all below
    pthread_cond_t reconnected;    // signalled: an attempt to connect has ended, well or not
    struct connection *connection; // a reference; NULL: lost
    uint64_t epoch;                // number of connections that were lost
    uint64_t last_id;              // of a request
    pthread_cond_t turn;           // signalled: fewer calls wait for space
    unsigned n_waiting;            // calls that wait for space at the daemon
    uint64_t n_unawaited;          // replies to come that nobody waits for
    bool reading;                  // a thread is reading the connection
    bool connecting;               // a thread is making a new connection
    bool was_connected;            // there was a connection in this process: the next one is a reconnection
    TAILQ_HEAD(, call) calls;      // in flight
    TAILQ_HEAD(, attachment) attachments;
    TAILQ_HEAD(, attachment) leaving; // closed, and the daemon has not been told yet
    TAILQ_HEAD(, attachment) closed;  // closed while connecting: the thread that connects may be looking at them
    struct recent_ask recent_asks[RECENT_ASKS];
    unsigned next_recent; // of these, to be replaced next
    struct events events;
    struct absence absence;
    struct deadline events_deadline; // of being without a connection, for a program that asks for events only
    unsigned events_pause_ms;        // before poll.c tries to connect again
};

// link.c

// The connection is not used any more, and every call in flight learns of that.  Threads that read or poll the socket
// are woken; each has a reference to the connection, so the descriptor is closed when the last one has left.
void link_lose(struct link *link);
// Waits for CHANGED until UNTIL (of proto/util/clock.h) at the latest.
void link_sleep(struct link *link, pthread_cond_t *changed, uint64_t until);

// read.c

// Reads one packet and gives it to the call that it answers.  FLAGS of recvmsg: without MSG_DONTWAIT the lock is
// given up meanwhile.  False: there was no packet, or the connection is lost.
bool link_read_one(struct link *link, int flags);
void link_take_event(struct link *link, const Diskalloc__V1__Event *event);
// Waits until C, which is in flight, is answered or lost.
void link_await(struct link *link, struct call *c);
// To be called by a thread that stops reading or waiting: wakes another one that then reads.
void link_hand_over_reading(struct link *link);

// news.c

// An event about a region: notes it, and queues one for the program.
void link_take_news(struct link *link, const Diskalloc__V1__Event *event);
// ATTACHMENT is listed from now on.
void link_begin_news(struct link *link, struct attachment *attachment, bool twin);
// Forgets what was heard on former connections.
void link_refresh_news(const struct link *link, struct attachment *attachment);

// send.c

// 0; -EAGAIN: the socket is full; -EPIPE or another -errno: the connection can't be used.
int link_try_send(struct link *link, const uint8_t *bytes, size_t n);
// Sends the request of C, which is in flight, waiting for room in the socket.  0; -EPIPE: lost, and nothing was sent.
int link_send_call(struct link *link, const struct call *c, const uint8_t *bytes, size_t n);
// Waits until the socket has room, TIMEOUT_MS at most (-1: for ever), and reads replies meanwhile.
void link_wait_sendable(struct link *link, int timeout_ms);
// Tells the daemon of the regions that were closed, as far as the socket has room.  0; -EAGAIN: there are more to tell.
int link_flush_leaving(struct link *link);

// absence.c

// An attempt to connect ended with R, and the reason was noted.
void link_note_attempt(struct link *link, int r);
// Notes that there was no daemon, since when and why, and returns -ECONNRESET.
int link_gone(const struct link *link);

// reconnect.c

// Makes a connection if there is none, or waits for the thread that does; the lock is given up meanwhile.  0: there
// is one; -ECONNRESET: there was none until DEADLINE; -EPROTO, -EINVAL, -EMFILE, -ENFILE, -ENOMEM: no other attempt
// would end better.
int link_connect(struct link *link, struct deadline *deadline);
// A request was sent at SINCE (of proto/util/clock.h), and its connection was lost.  If the connection had held for a
// while, the next reconnection has all the time again.  If the daemon hangs up on the same request again and again,
// that ends at the deadline.
void link_note_lost(struct deadline *deadline, uint64_t since);
// Tries once to connect, for a program that asks for events.  0: there is a connection, or the next call tries again;
// -errno.
int link_connect_for_events(struct link *link);
