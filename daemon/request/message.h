// Packets to messages and back, and our values as the protocol says them.  Pure.
#pragma once
#include <stddef.h>
#include <stdint.h>

#include "daemon/quota/quota.h"
#include "daemon/request/arena.h"
#include "proto/diskalloc.pb-c.h"
#include "proto/util/ranges.h"

struct peer;
struct region;

// Unpacked into ARENA (which is reset): 0 or -EBADMSG.
int message_decode(struct arena *arena, const uint8_t *bytes, size_t n, Diskalloc__V1__Request **ret);
// The packet's length; 0: it would be longer than SIZE.
size_t message_encode(const Diskalloc__V1__Reply *reply, uint8_t *ret, size_t size);

// A negative errno, with REFUSAL's numbers (NULL: none), as the protocol says it.  Points into REFUSAL.
void message_error(int error, const struct quota_refusal *refusal, Diskalloc__V1__Error *ret);
// A breach of the protocol, in words of ours.
void message_breach(Diskalloc__V1__ErrorCode code, const char *sentence, Diskalloc__V1__Error *ret);

// R as PEER sees it (NULL: nobody in particular).  Points into R.
void message_region(const struct region *r, const struct peer *peer, Diskalloc__V1__Region *ret);
// The discarded ranges from FROM on, as many as a packet takes, from ARENA.
void message_ranges(const struct ranges *ranges, uint64_t from, struct arena *arena, Diskalloc__V1__RangeList *ret);
// Adds the holders, from ARENA.  Leaves them out when it is dry.
void message_holders(const struct region *r, struct arena *arena, Diskalloc__V1__Region *ret);
