// Makes pages ahead of a program that fills memory which it got in one piece.  See the essay in filling.c.  Sizes are
// bytes.
#pragma once
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "client/memory/fronts.h"
#include "client/memory/pressure.h"
#include "client/util/background.h"
#include "proto/util/ranges.h"

struct mapping;

struct filling {
    struct background_task task;
    struct background *background; // NULL: there is no thread
    const struct mapping *mapping;
    bool off;
    _Atomic bool active;     // something is watched
    _Atomic uint64_t n_made; // units, in all
    pthread_mutex_t lock;    // of the next four
    struct fronts fronts;
    struct ranges random;   // with the advice RANDOM
    bool random_everywhere; // random is not complete
    unsigned n_halts;       // nothing is made while there are some
    // Of the task only:
    struct pressure pressure;
    struct fronts_limits limits; // most: as of the last look at the pressure
    uint64_t looked_us;          // the time of that look; 0: none yet
    unsigned n_since;            // units made since then
};

// BACKGROUND may be NULL.
void filling_init(struct filling *f, struct background *background, const struct mapping *mapping);
void filling_deinit(struct filling *f);
// The program has got the bytes from FROM to TO, which are zero, and may fill them from now on.  Any thread, and
// without the lock of the region.
void filling_begin(struct filling *f, uint64_t from, uint64_t to);
// A vector tells where it is: nothing else need be watched.
void filling_end(struct filling *f);
// Around taking access away: between the two no page is made.  The first one waits for the piece that is being made.
// Nothing behind SIZE is watched any more.
void filling_halt(struct filling *f);
void filling_go_on(struct filling *f, uint64_t size);
// The program has given ADVICE, of madvise(2), about these bytes.
void filling_note_advice(struct filling *f, uint64_t from, uint64_t to, int advice);
void filling_forked(struct filling *f);
