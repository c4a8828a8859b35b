// How errors cross the wire: the daemon turns a negative errno into a code with a sentence, the client turns the code
// into a negative errno.  Both read one table, so that the two directions cannot drift apart.  Pure.
#pragma once
#include "proto/diskalloc.pb-c.h"

struct protocol_error {
    int daemon_errno; // positive; 0: no errno stands for this code, the daemon names it where it refuses
    int client_errno; // positive; of several rows with the same code, the client takes the first
    Diskalloc__V1__ErrorCode code;
    const char *sentence; // Error.message; NULL where daemon_errno is 0
};

// The row of a negative errno in the daemon.  An errno that has no row came from the file system and is an IO error.
const struct protocol_error *protocol_error_of(int error);

// The negative errno of a code in the client; -EPROTO for a code of a newer daemon.
int protocol_error_errno(Diskalloc__V1__ErrorCode code);
