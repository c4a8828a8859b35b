// Short names for what the .proto generates, and what both the link and the remote backend do with it.
#pragma once
#include "proto/diskalloc.pb-c.h"
#include "proto/util/name.h"

typedef Diskalloc__V1__Request WireRequest;
typedef Diskalloc__V1__Reply WireReply;
typedef Diskalloc__V1__Region WireRegion;

#define WIRE_REQUEST_INIT DISKALLOC__V1__REQUEST__INIT

static inline ProtobufCBinaryData wire_handle(const struct handle *h)
{
    return (ProtobufCBinaryData){.len = sizeof h->bytes, .data = (uint8_t *)h->bytes};
}

// The errno of a reply's error, noted with its limit; 0 when it has none.
int wire_refusal(const WireReply *reply);
void wire_reply_free(WireReply *reply); // NULL is fine
