// A conversation with a daemon in which every request waits for its reply.  It does not use the client library, because
// diskallocctl needs no regions.
#pragma once
#include <stdint.h>

#include "proto/diskalloc.pb-c.h"

struct session {
    int fd;                  // -1: not connected
    uint64_t last_id;        // of the requests
    char said[400];          // why the daemon refused Hello, as it says itself; "": it did not
    char daemon_version[64]; // as the daemon says in its reply to Hello
    // Called with each event that comes while a reply is awaited; NULL: events are skipped.
    void (*on_event)(void *data, const Diskalloc__V1__Event *event);
    void *event_data;
};

// Connects to the socket PATH and sends Hello.  TIMEOUT_SECONDS bounds this, and later the wait for each answer.
// 0; or -errno, and *RET_WHAT says what failed; -ESHUTDOWN: the daemon is ending, or can't start.
int session_open(struct session *s, const char *path, int timeout_seconds, const char **ret_what);
void session_close(struct session *s);

// Gives REQUEST an id, sends it and waits for its reply, which may be a refusal.
// 0; -ETIMEDOUT; -ECONNRESET: the daemon closed the connection; -EPROTO: the answer can't be understood; another
// -errno.
int session_call(struct session *s, Diskalloc__V1__Request *request, Diskalloc__V1__Reply **ret);
// Waits for the next packet of the daemon, which nobody has asked for: an event, or the daemon's last word.  0, or
// -errno as session_call.
int session_next(struct session *s, Diskalloc__V1__Reply **ret);
// REPLY may be NULL.
void session_free_reply(Diskalloc__V1__Reply *reply);
