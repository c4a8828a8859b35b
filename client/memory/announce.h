// Reads that the program announces before it needs the bytes.  See the essay in announce.c.  Sizes are bytes.
#pragma once
#include <pthread.h>
#include <stddef.h>
#include <stdint.h>

#include "client/util/background.h"

struct mapping;
struct announce_ring;

struct announce {
    struct background_task task;
    struct background *background; // NULL: there is no thread
    const struct mapping *mapping;
    pthread_mutex_t lock;       // of the ring
    struct announce_ring *ring; // owned; NULL: nothing had to wait yet
};

// Places of LENGTH bytes each: place i begins at byte at[i] * unit.
struct announce_places {
    const uint64_t *at;
    size_t n;
    uint64_t unit, length;
};

// BACKGROUND may be NULL.
void announce_init(struct announce *a, struct background *background, const struct mapping *mapping);
void announce_deinit(struct announce *a);
// Starts reading the places, all of which lie in the region.  Any thread.
void announce(struct announce *a, const struct announce_places *places);
void announce_forked(struct announce *a);
