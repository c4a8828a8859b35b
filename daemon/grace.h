// Since when accounts are above their soft limits, across restarts: a file beside the regions.
#pragma once

#define GRACE_FILE ".grace"

struct daemon;

// After the regions of earlier daemons are charged: takes over what an earlier daemon has noted.
void grace_load(struct daemon *d);
// Frees what was taken over and not used.
void grace_forget(struct daemon *d);
// Every few seconds: tells the quotas the time, and notes what has changed, on a worker.
void grace_tick(struct daemon *d);
