// A fresh connection to the daemon: nobody else uses it yet, so one thread simply asks and waits for the answer.
//
// A connection has a fork hook from the birth of its socket to the close of it, so that a forked child closes what it
// inherited, whatever other threads of its parent were doing.
#pragma once
#include <stdbool.h>
#include <stdint.h>

#include "client/link/wire.h"
#include "client/util/fork.h"

// A socket by which it is known again: programs close and reuse descriptors that are not theirs.
struct connection {
    struct fork_hook fork; // in a forked child, closes and frees the connection, whoever has it
    int sock;
    uint64_t cookie;
    uint64_t features; // of the .proto: those that both sides know
    unsigned refs;     // once it is a link's, its lock guards them
};

// Connects and says Hello.  0; -ENOENT: no socket at PATH; -ECONNREFUSED: nobody answers there, or not within the deadline;
// -EAGAIN: the daemon is out of descriptors; -EMFILE: this process is; -EACCES, -EPROTO, -EDQUOT, ...
int connection_open(const char *path, const char *client_name, struct connection **ret);
// Sends Q and waits for its reply, at most TIMEOUT_MS.  A descriptor that comes with it is closed.
// 0 and *RET is to be freed; -ETIMEDOUT; -ECONNRESET; -EPROTO.
int connection_ask(const struct connection *c, WireRequest *q, int timeout_ms, WireReply **ret);
// Whether the descriptor is still what was opened.
bool connection_is_ours(const struct connection *c);
struct connection *connection_ref(struct connection *c);
void connection_unref(struct connection *c); // NULL is fine; the last one closes, and leaves what is not ours alone

enum { REQUEST_MAX = 1024 }; // bytes of any request that this library makes
// 0, or -EINVAL when it is longer than that.
int request_pack(const WireRequest *q, uint8_t bytes[static REQUEST_MAX], size_t *ret_n);
