// Values for the `bytes` fields of a message.  A field only points to them: they must outlive its packing.  Packing
// reads them, so that the const may be cast away here.
#pragma once
#include <string.h>

#include "proto/diskalloc.pb-c.h"
#include "proto/util/name.h"

static inline ProtobufCBinaryData field_bytes(const void *bytes, size_t n)
{
    return (ProtobufCBinaryData){.len = n, .data = (uint8_t *)bytes};
}

static inline ProtobufCBinaryData field_text(const char *text)
{
    return field_bytes(text, strlen(text));
}

static inline ProtobufCBinaryData field_handle(const struct handle *h)
{
    return field_bytes(h->bytes, sizeof h->bytes);
}
