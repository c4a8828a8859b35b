// A client that does at random everything that a client can do, and knows what each of its bytes must be.
#pragma once
#include "tests/lib/actor.h"
#include "tests/lib/test_backend.h"

enum { CRASH_CLIENTS = 8, CRASH_ROWS = 3000, CRASH_BLOCKS = 64, CRASH_BRIEF = 3 };

struct crash_shared {
    const char *address;
    uint64_t seed;
    _Atomic int fuse; // requests until VICTIM is killed, by the client that makes the last of them
    _Atomic pid_t victim;
    _Atomic uint64_t round; // each client checks all it has when this changes, and waits
    _Atomic bool stop;
    _Atomic uint64_t charge[CRASH_CLIENTS], regions[CRASH_CLIENTS];
    _Atomic uint64_t steps;
};

struct crash_row {
    uint64_t value, sum;
};

DISKALLOC_VEC_DEFINE(rows, struct crash_row)

struct crash_model {
    struct crash_row row[CRASH_ROWS];
    size_t len;
};

struct crash_client {
    struct crash_shared *shared;
    struct actor *self;
    struct diskalloc *da;
    struct rows vec, kept; // anonymous; named
    struct crash_model vec_model, kept_model;
    size_t committed; // of kept
    struct diskalloc_region *raw, *brief[CRASH_BRIEF];
    uint64_t stamp[CRASH_BLOCKS]; // what fills the block of raw; 0: zeros
    bool gone[CRASH_BLOCKS];      // discarded
    size_t n_blocks;
    char name[32], brief_name[32];
    uint64_t state, round;
    int id, generation;
};

#define CRASH_DONE(call)                                                                                           \
    do {                                                                                                           \
        int crash_code = (call);                                                                                   \
        if (crash_code < 0) {                                                                                      \
            fprintf(stderr, "%s:%d: %s: %d, %s\n", __FILE__, __LINE__, #call, crash_code, diskalloc_last_error()); \
            _exit(1);                                                                                              \
        }                                                                                                          \
    } while (0)

uint64_t crash_mix(uint64_t i);
uint64_t crash_random(uint64_t *state);
// For actor_start: DATA is a crash_client with shared, id and generation.
void crash_walk(struct actor *self, void *data);
