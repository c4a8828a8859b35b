// Mutations that know the protocol, for libFuzzer: see mutate_message.c and mutate_conversation.c.
#pragma once
#include <protobuf-c/protobuf-c.h>
#include <stddef.h>
#include <stdint.h>

// libFuzzer's own mutation, of bytes that mean nothing.
size_t LLVMFuzzerMutate(uint8_t *data, size_t n, size_t max);

// As LLVMFuzzerCustomMutator: changes the N bytes of DATA, where there is room for MAX, and returns their new number.
// The bytes are one message of TYPE, or a conversation (see fuzz.h) whose packets are such messages.
size_t mutate_message(const ProtobufCMessageDescriptor *type, uint8_t *data, size_t n, size_t max, unsigned seed);
size_t mutate_conversation(const ProtobufCMessageDescriptor *type, uint8_t *data, size_t n, size_t max, unsigned seed);
// As LLVMFuzzerCustomCrossOver: takes packets from both conversations, in order.
size_t mutate_cross(const uint8_t *a, size_t n_a, const uint8_t *b, size_t n_b, uint8_t *ret, size_t max,
                    unsigned seed);
