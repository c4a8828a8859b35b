// Packets to messages and back, and the daemon's values as the protocol writes them.  Pure.
#pragma once
#include <stddef.h>
#include <stdint.h>

#include "daemon/quota/quota.h"
#include "daemon/request/arena.h"
#include "proto/diskalloc.pb-c.h"
#include "proto/util/name.h"
#include "proto/util/ranges.h"

struct peer;
struct region;

// Resets ARENA and unpacks the N bytes into it.  0, or -EBADMSG.
int message_decode(struct arena *arena, const uint8_t *bytes, size_t n, Diskalloc__V1__Request **ret);
// Packs REPLY and returns its length; 0: it does not fit into SIZE bytes.
size_t message_encode(const Diskalloc__V1__Reply *reply, uint8_t *ret, size_t size);

// Fields of a request.  0, or -EINVAL: the field has another length than a handle, or the text has a NUL in it or does
// not fit into SIZE bytes.
int message_take_handle(const ProtobufCBinaryData *field, struct handle *ret);
int message_take_text(const ProtobufCBinaryData *field, char *ret, size_t size);

// ERROR is a negative errno.  REFUSAL, which may be NULL, gives the name and the numbers of a limit; RET points into
// it.
void message_error(int error, const struct quota_refusal *refusal, Diskalloc__V1__Error *ret);

// R with the access that PEER has (NULL: leave that out).  RET points into R.
void message_region(const struct region *r, const struct peer *peer, Diskalloc__V1__Region *ret);
// The discarded ranges from offset FROM on, as many as fit into one reply; memory from ARENA.
void message_ranges(const struct ranges *ranges, uint64_t from, struct arena *arena, Diskalloc__V1__RangeList *ret);
// Adds the clients that have R attached to RET, or leaves them out if ARENA has no memory left.
void message_holders(const struct region *r, struct arena *arena, Diskalloc__V1__Region *ret);
