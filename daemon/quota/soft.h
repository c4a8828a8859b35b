// Soft limits: an account may be above one for the grace period, then its growth is refused until it has been below.
// Pure, as quota.h; the clock is quota_set_time.
#pragma once
#include "daemon/quota/quota.h"

// The time of day, in seconds since 1970; the caller tells it every few seconds.
void quota_set_time(struct quota *q, uint64_t now);
// Somebody has set the clock by so many seconds, less than 0: back.  Grace periods end as much later, or earlier.
void quota_move_time(struct quota *q, int64_t by);
enum { QUOTA_KEY_SIZE = 288 };
// One account that is above its soft limit.
struct quota_over {
    char key[QUOTA_KEY_SIZE]; // "user:+1000": the same whatever the name is
    uint64_t since;           // seconds since 1970
};
// Changes whenever an account comes above its soft limit or below it, or was above it for longer than was known.
uint64_t quota_over_changes(const struct quota *q);
// Warns of each account that has reached a mark, its warn_bytes or its soft limit, without a charge of its own: since
// somebody has set a limit, or an earlier daemon has granted what it has.
void quota_tell_all(struct quota *q);
// Calls FN for each account that is above its soft limit.
void quota_each_over(struct quota *q, void (*fn)(void *data, const struct quota_over *over), void *data);
// An earlier daemon has noted OVER: if that account is above its soft limit, so it was since then.  False: it is not.
bool quota_note_over(struct quota *q, const struct quota_over *over);
