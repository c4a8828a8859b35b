// Makes pages of memory before a vector gets to them.  See the essay in prefetch.c.
#pragma once
#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

#include "client/util/background.h"

struct mapping;

struct prefetch {
    struct background_task task;
    struct background *background; // NULL: nobody helps
    const struct mapping *mapping;
    bool off;
    pthread_mutex_t lock;        // of all below
    uint64_t claimed, want;      // pages before CLAIMED are there or being made, those before WANT are to be made
    uint64_t busy_from, busy_to; // the background's piece
    uint64_t ahead;              // how far WANT lies ahead
};

// BACKGROUND may be NULL.
void prefetch_init(struct prefetch *p, struct background *background, const struct mapping *mapping);
void prefetch_deinit(struct prefetch *p);

// A vector has filled its region up to FROM and wants to go on to NEEDED; SIZE bytes are granted.  Returns how far it may go until it
// calls again: NEEDED at least, SIZE at most.  Of that the memory is there, as far as can be done, and of AHEAD_MAX bytes more it is
// being made where that is worth it.
uint64_t prefetch_open(struct prefetch *p, uint64_t from, uint64_t needed, uint64_t size, uint64_t ahead_max);
// Whether a vector that goes on from FROM to NEEDED is likely to come back soon.
bool prefetch_is_one_by_one(uint64_t from, uint64_t needed);
// Nothing is made any more behind END, until the next call of the above.
void prefetch_cut(struct prefetch *p, uint64_t end);
void prefetch_forked(struct prefetch *p);

// Whether the environment and the kernel allow it.
bool prefetch_is_possible(void);
