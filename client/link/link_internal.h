// What link.c (talking) and relink.c (connecting) share.
#pragma once
#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/queue.h>

#include "client/link/connection.h"
#include "client/link/events.h"
#include "client/link/link.h"

enum { EVENTS_FIRST_PAUSE_MS = 1 };

// When a call gives up; of client/clock.h, set when it first finds the connection gone.
struct deadline {
    bool set;
    uint64_t at, latest;
    int pause_ms; // before the next attempt
};

struct link {
    char *path, *client_name;
    int reconnect_timeout_ms;
    pthread_mutex_t lock;          // of all below
    pthread_cond_t reconnected;    // or the attempt failed
    struct connection *connection; // NULL: none
    uint64_t epoch;                // how many connections were lost
    uint64_t last_id;
    pthread_cond_t turn;  // fewer wait for space
    unsigned n_waiting;   // calls that wait for space, at the daemon
    uint64_t n_unawaited; // replies to come that nobody waits for
    bool reading;         // a thread is reading CONNECTION
    bool connecting;      // a thread is making a new one
    bool was_connected;   // in this process, so that the next connection is a reconnection
    TAILQ_HEAD(, call) calls;
    TAILQ_HEAD(, attachment) attachments, leaving;
    TAILQ_HEAD(, attachment) closed; // while connecting: whoever does that may be looking at them
    struct events events;
    struct deadline events_deadline; // of being without a connection, for whoever asks for events only
    unsigned events_pause_ms;
};

// Around a call that waits for space.
void link_take_turn(struct link *link, uint64_t until); // not later than UNTIL, even if it has not come
void link_end_turn(struct link *link);
// With the lock held, which is given up meanwhile.  0: there is a connection; -ECONNRESET, -EPROTO, ...
int link_connect(struct link *link, struct deadline *deadline);
// The connection that there was at SINCE (of client/clock.h) is lost.  When it had held for a while, the next one has all the time again;
// when the daemon hangs up on the same request again and again, that ends at the deadline too.
void link_note_lost(struct deadline *deadline, uint64_t since);
// One attempt, for whoever waits for events.  0: there is a connection, or will be tried again; -errno.
int link_connect_for_events(struct link *link);
void link_lose(struct link *link);
// Reads one packet; the lock is given up meanwhile unless FLAGS say not to wait.  False: there was none, or the connection is lost.
bool link_read_one(struct link *link, int flags);
// Reads until C, which is on the list, has its answer or is lost.
void link_await(struct link *link, struct call *c);
// Whoever stops reading calls the next one.
void link_hand_over_reading(struct link *link);
// 0, -EAGAIN: the socket is full, or -errno.
int link_try_send(struct link *link, const uint8_t *bytes, size_t n);
// Tells the daemon of what was closed, as far as the socket takes it.  -EAGAIN when there is more.
int link_flush_leaving(struct link *link);
// On CHANGED, until UNTIL (of client/clock.h) at the latest.
void link_sleep(struct link *link, pthread_cond_t *changed, uint64_t until);
