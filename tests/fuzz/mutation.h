// A mutation under way: of a message (message.c), which may be a packet of a conversation (conversation.c).
#pragma once
#include <protobuf-c/protobuf-c.h>
#include <stddef.h>
#include <stdint.h>

enum {
    HANDLES_MAX = 32,
    MESSAGE_MAX = 8192, // bytes that a mutated message may have
};

struct buffer {
    size_t n;
    uint8_t bytes[MESSAGE_MAX];
};

struct mutation {
    const ProtobufCMessageDescriptor *type; // of all packets
    uint64_t random;
    size_t index; // of the packet at work
    const uint8_t *handles[HANDLES_MAX];
    size_t n_handles; // of earlier packets; only the last HANDLES_MAX of them are kept
};

void mutation_begin(struct mutation *m, const ProtobufCMessageDescriptor *type, unsigned seed);
uint64_t mutation_random(struct mutation *m, uint64_t below);
// Notes the handles in a message, which later ones may be about.  The bytes are borrowed.
void mutation_note_handles(struct mutation *m, const uint8_t *bytes, size_t n);
// Writes a new message; or one that differs in one thing from the N bytes.
void mutation_new(struct mutation *m, struct buffer *ret);
void mutation_change(struct mutation *m, const uint8_t *bytes, size_t n, struct buffer *ret);
