// A synchronous conversation with a daemon: one request, one reply.
#pragma once
#include <stdint.h>

#include "proto/diskalloc.pb-c.h"

struct session {
    int fd; // -1: not connected
    uint64_t last_id;
};

// Connects to the socket PATH and says Hello; each answer is waited for that long.  0; -errno, and *RET_WHAT says what failed.
int session_open(struct session *s, const char *path, int timeout_seconds, const char **ret_what);
void session_close(struct session *s);

// Gives REQUEST an id, sends it and waits for its reply, which may be an error of the daemon's.
// 0; -ETIMEDOUT; -ECONNRESET: the daemon hung up; -EPROTO; -errno.
int session_call(struct session *s, Diskalloc__V1__Request *request, Diskalloc__V1__Reply **ret);
void session_free_reply(Diskalloc__V1__Reply *reply);
