// A bounded allocator for unpacking one message: memory from a fixed buffer, given back all at once.  What a peer sends can
// make it run dry (the message is then refused), never grow.  One thread at a time.
#pragma once
#include <protobuf-c/protobuf-c.h>
#include <stddef.h>

struct arena {
    ProtobufCAllocator allocator; // pass &arena.allocator to protobuf-c
    unsigned char *buffer;
    size_t size, used;
};

// SIZE bytes are allocated once; 0 or -ENOMEM.
int arena_init(struct arena *arena, size_t size);
void arena_deinit(struct arena *arena);
// Everything that was allocated from it is gone.
void arena_reset(struct arena *arena);
