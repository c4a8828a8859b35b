// Shared by the fuzz targets.  Each is a libFuzzer target with clang and DISKALLOC_FUZZ, and else a program that
// feeds it files.
#pragma once
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);
// After all inputs, where a target is fed with files, if it has this function: whether the inputs have reached
// everything that they are to reach.
void fuzz_finish(void) __attribute__((weak));

// Release builds are fuzzed as shipped: this holds there too.
#define FUZZ_ASSERT(condition)                                                        \
    do {                                                                              \
        if (!(condition)) {                                                           \
            fprintf(stderr, "%s:%d: not true: %s\n", __FILE__, __LINE__, #condition); \
            abort();                                                                  \
        }                                                                             \
    } while (0)

// Inputs that are a conversation: one byte of the target's own before each packet, and the packet's length in two
// bytes.
struct fuzz_packet {
    const uint8_t *bytes;
    size_t n;
    uint8_t flags;
};
enum { FUZZ_PACKET_HEADER = 3 };

// False at the end.
static inline int fuzz_next_packet(const uint8_t **data, size_t *left, struct fuzz_packet *ret)
{
    size_t n;

    if (*left < FUZZ_PACKET_HEADER)
        return 0;
    n = (size_t)((*data)[1] | (*data)[2] << 8);
    if (n > *left - FUZZ_PACKET_HEADER)
        n = *left - FUZZ_PACKET_HEADER;
    *ret = (struct fuzz_packet){.bytes = *data + FUZZ_PACKET_HEADER, .n = n, .flags = **data};
    *data += FUZZ_PACKET_HEADER + n;
    *left -= FUZZ_PACKET_HEADER + n;
    return 1;
}

// A directory of this process's own, removed when it ends.  In memory where that can be: a disk would be the
// bottleneck.
const char *fuzz_directory(void);
// The same on a disk, whose file system can do more: of $DISKALLOC_TEST_DIR, or /var/tmp.
const char *fuzz_disk_directory(void);
