// Searching the orders in which things can happen.  See the essay in explore.c.
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { EXPLORE_MOST = 400 }; // choices of one schedule

struct explorer {
    uint8_t chosen[EXPLORE_MOST], width[EXPLORE_MOST];
    unsigned n, at; // choices that are settled; the next one of this schedule
    bool branches;  // the rest of this schedule was seen already, or is drained: the first choice is taken
    bool is_random;
    uint64_t random;  // the generator's state
    uint64_t *states; // hashes of the states that were seen; 0: a free place
    uint64_t n_states, n_schedules, n_choices;
};

void explorer_init(struct explorer *e);
void explorer_deinit(struct explorer *e);
// A schedule begins.  SEED: of a random one; 0: the next one of the search.
void explorer_begin(struct explorer *e, uint64_t seed);
// Chooses one of N things that may happen next, in the state whose hash is STATE.
unsigned explorer_choose(struct explorer *e, unsigned n, uint64_t state);
// The schedule has ended.  False: all schedules of the search have been run.
bool explorer_next(struct explorer *e);
// A step of FNV-1a.
uint64_t explorer_hash(uint64_t hash, uint64_t value);
