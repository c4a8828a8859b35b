// Gives each message to the handler for its body.
#pragma once
#include "daemon/request/request.h"

// Serves MESSAGE of PEER.  The message's memory is the caller's and may go when this returns; the reply may come later.
void request_serve(struct request_env *env, struct peer *peer, const Diskalloc__V1__Request *message);
