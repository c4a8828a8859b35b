// Clients that watch what happens (WatchEvents).
#pragma once
#include <stdbool.h>

struct peer;

// Sends PEER, which watches, the oldest report that it has not got.  False: there is none.
bool watch_tell(struct peer *peer);
