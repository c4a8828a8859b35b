// A bounded allocator for one message: memory from a fixed buffer, given back all at once.  A message that needs more
// than the buffer is refused; the arena never grows.  One thread at a time.
#pragma once
#include <protobuf-c/protobuf-c.h>
#include <stddef.h>

struct arena {
    ProtobufCAllocator allocator; // pass &arena.allocator to protobuf-c
    unsigned char *buffer;        // of SIZE bytes, allocated by arena_init
    size_t size, used;            // bytes
};

// 0 or -ENOMEM.
int arena_init(struct arena *arena, size_t size);
void arena_deinit(struct arena *arena);
// Gives all memory of the arena back: nothing that was allocated from it may be used any more.
void arena_reset(struct arena *arena);
