// Makes pages of memory before a vector gets to them.  See the essay in prefetch.c.  Sizes are bytes.
#pragma once
#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

#include "client/util/background.h"

struct mapping;

struct prefetch {
    struct background_task task;
    struct background *background; // NULL: there is no thread
    const struct mapping *mapping;
    bool off;
    uint64_t first;              // the first window reaches at least so far; written before the first prefetch_open
    pthread_mutex_t lock;        // of all below
    uint64_t claimed, want;      // the pages before claimed are made or being made; those before want are to be made
    uint64_t busy_from, busy_to; // the piece that the thread is making; equal: none
    uint64_t ahead;              // how far want lies ahead of the vector's end
};

// BACKGROUND may be NULL.
void prefetch_init(struct prefetch *p, struct background *background, const struct mapping *mapping);
void prefetch_deinit(struct prefetch *p);

// The vector is expected to reach END: has the thread make these pages before the vector asks for them.  The client has
// a thread.
void prefetch_begin(struct prefetch *p, uint64_t end);

// The program is about to fill the bytes from FROM to TO, in order: the thread makes the pages behind the first part,
// while the program makes those by touching them.
void prefetch_fill(struct prefetch *p, uint64_t from, uint64_t to);

// A vector has filled its region up to FROM and wants to go on to NEEDED; SIZE bytes are granted.  Returns the end of
// the next window: NEEDED at least, SIZE at most.  The pages up to there are made, and the thread makes those of up
// to AHEAD_MAX bytes more where that is worth it.
uint64_t prefetch_open(struct prefetch *p, uint64_t from, uint64_t needed, uint64_t size, uint64_t ahead_max);
// True if a vector that goes on from FROM to NEEDED is likely to come back soon.
bool prefetch_is_one_by_one(uint64_t from, uint64_t needed);
// The end of what is made, or to be made.
uint64_t prefetch_end(struct prefetch *p);
// No page behind END is made any more, until the next prefetch_open.  Waits for the piece that is being made.
void prefetch_cut(struct prefetch *p, uint64_t end);
// The pages from FROM to TO are about to be given back.  What is made behind them goes on being made; otherwise as
// prefetch_cut at FROM.
void prefetch_avoid(struct prefetch *p, uint64_t from, uint64_t to);
void prefetch_forked(struct prefetch *p);

// True if the environment and the kernel allow making pages ahead.
bool prefetch_is_possible(void);
