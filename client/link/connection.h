// A connection to the daemon that is new: no other thread uses it yet, so one thread asks and waits for the answer.
//
// A connection has a fork hook from the birth of its socket to the close of it, so that a forked child closes the
// socket that it inherited, whatever the parent's other threads were doing.
#pragma once
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "client/link/wire.h"
#include "client/util/descriptor.h"
#include "client/util/fork.h"

enum { CONNECTION_KEEPS = 8 }; // events

struct connection {
    struct fork_hook fork;  // in a forked child, closes and frees the connection
    struct descriptor sock; // its number may be the program's by now: see connection_is_ours
    uid_t uid;              // the effective user when the connection was made, whose rights it has for ever
    uint64_t features;      // bits of the .proto that daemon and library both know
    unsigned refs;          // guarded by the lock of the link that has the connection
    WireReply *events[CONNECTION_KEEPS]; // n_events of them came while connection_ask waited; owned
    unsigned n_events;
};

// Connects and says Hello.  0; -ENOENT: no socket at PATH; -ECONNREFUSED: nobody answers there, or not within the
// deadline; -EAGAIN: the daemon is out of descriptors; -EMFILE: this process is; -EACCES, -EPROTO, -EDQUOT, ...
int connection_open(const char *path, const char *client_name, struct connection **ret);
// Sends Q and waits for its reply, at most TIMEOUT_MS.  Events that come before it are kept, the first few of them.  A
// descriptor that comes with the reply is closed.
// 0 and *RET is to be freed; -ETIMEDOUT; -ECONNRESET; -EPROTO.
int connection_ask(struct connection *c, WireRequest *q, int timeout_ms, WireReply **ret);
// True if the descriptor is still the socket that was opened.
bool connection_is_ours(const struct connection *c);
struct connection *connection_ref(struct connection *c);
void connection_unref(struct connection *c); // the last one closes the socket, if it is still ours; NULL is fine

enum { REQUEST_MAX = 1024 }; // bytes of any request that this library makes
// Packs Q.  0; -EINVAL: Q is longer than REQUEST_MAX.
int request_pack(const WireRequest *q, uint8_t bytes[static REQUEST_MAX], size_t *ret_n);
