// Short names for what the .proto generates, and what both the link and the remote backend do with it.
#pragma once
#include "proto/diskalloc.pb-c.h"
#include "proto/field.h"

typedef Diskalloc__V1__Request WireRequest;
typedef Diskalloc__V1__Reply WireReply;
typedef Diskalloc__V1__Region WireRegion;

#define WIRE_REQUEST_INIT DISKALLOC__V1__REQUEST__INIT

// The errno of a reply's error, noted with its limit; 0 when it has none.
int wire_refusal(const WireReply *reply);
void wire_reply_free(WireReply *reply); // NULL is fine
