// Stateless model checking: the code under test is the real one, and its state cannot be copied.  So a schedule is a
// list of choices; each is run from the start, and the next one differs from it in the last choice that has an
// alternative left.  That is depth-first search as in VeriSoft (P. Godefroid, Model Checking for Programming Languages
// using VeriSoft, POPL 1997) and CHESS (M. Musuvathi et al., Finding and Reproducing Heisenbugs in Concurrent Programs,
// OSDI 2008).  It needs a run that depends on nothing but the choices: explorer_choose notices when it does not.
//
// Unlike these two, this search also keeps a hash of each state that it has met, and takes no second choice from a
// state that it has met before: all that can follow was or will be tried from the first meeting.  A hash that leaves
// something out hides schedules, but makes no false alarm; random schedules do not look at it.
#include "tests/op/explore.h"

#include <stdlib.h>
#include <string.h>

#include "tests/lib/harness.h"

enum { PLACES = 1 << 21 };

uint64_t explorer_hash(uint64_t hash, uint64_t value)
{
    for (int i = 0; i < 8; i++, value >>= 8)
        hash = (hash ^ (value & 0xff)) * 0x100000001b3;
    return hash;
}

void explorer_init(struct explorer *e)
{
    *e = (struct explorer){.states = calloc(PLACES, sizeof *e->states)};
    assert_non_null(e->states);
}

void explorer_deinit(struct explorer *e)
{
    free(e->states);
}

void explorer_begin(struct explorer *e, uint64_t seed)
{
    e->is_random = seed != 0;
    e->random = seed;
    e->at = 0;
    if (e->is_random)
        e->n = 0;
    e->branches = true;
    e->n_schedules++;
}

// True: STATE is new.  A table that is nearly full takes no more, and then each state is new.
static bool remember(struct explorer *e, uint64_t state)
{
    size_t i = state % PLACES;

    state += state == 0;
    for (; e->states[i]; i = (i + 1) % PLACES)
        if (e->states[i] == state)
            return false;
    if (e->n_states < PLACES / 4 * 3) {
        e->states[i] = state;
        e->n_states++;
    }
    return true;
}

// splitmix64.
static uint64_t next_random(struct explorer *e)
{
    uint64_t z = e->random += 0x9e3779b97f4a7c15;

    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9;
    z = (z ^ z >> 27) * 0x94d049bb133111eb;
    return z ^ z >> 31;
}

unsigned explorer_choose(struct explorer *e, unsigned n, uint64_t state)
{
    unsigned choice = 0;

    assert_in_range(n, 1, UINT8_MAX);
    assert_true(e->at < EXPLORE_MOST);
    e->n_choices++;
    if (e->at < e->n) {
        if (e->width[e->at] != n && e->width[e->at] != 1)
            fail_msg("a schedule that is run again runs in another way: choice %u has %u alternatives, and had %u",
                     e->at, n, e->width[e->at]);
        return e->chosen[e->at++];
    }
    if (!remember(e, state) && !e->is_random)
        e->branches = false;
    if (e->is_random)
        choice = (unsigned)(next_random(e) % n);
    e->chosen[e->at] = (uint8_t)choice;
    e->width[e->at] = e->branches ? (uint8_t)n : 1;
    e->n = ++e->at;
    return choice;
}

bool explorer_next(struct explorer *e)
{
    while (e->n > 0 && e->chosen[e->n - 1] + 1 >= e->width[e->n - 1])
        e->n--;
    if (e->n > 0)
        e->chosen[e->n - 1]++;
    return e->n > 0;
}
