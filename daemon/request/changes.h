// Telling clients that a region which they have attached has changed, or that they are asked to agree to a cut.  See
// the essay in changes.c.
#pragma once
#include "daemon/request/request.h"

enum {
    PEER_MAX_WATCHED = 64,   // attachments of one connection, and
    REGION_MAX_WATCHERS = 32 // of one region, whose clients are told before a change is answered
};

// R has changed, by a request of BY, which may be NULL.  Called before that request is answered.
void changes_note(struct request_env *env, struct region *r, const struct peer *by);
// From now on the client of A is told of the next change before that is answered.  False: too many are.
bool changes_watch(struct attachment *a);
// Sends what the client of A has to be told, by the state of the region as it is now.
void changes_tell(struct attachment *a);
