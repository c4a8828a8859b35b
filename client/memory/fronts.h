// Where a program fills memory that it got in one piece, and what to make ahead of it there.  See the essay in
// fronts.c.  Places are counted in units of 2 MiB from the region's beginning; times are µs of any one clock.
#pragma once
#include <stdbool.h>
#include <stdint.h>

#define FRONTS_UNIT ((uint64_t)2 << 20) // bytes

enum {
    FRONTS_MOST = 16,     // places that are followed at once
    FRONTS_SAMPLES = 256, // places at which new fronts are looked for
    FRONTS_GAP = 8,       // each eighth unit is left to the program
    FRONTS_WINDOW = 16,   // units that a front reaches beyond the next one that is left out
    FRONTS_AHEAD = 32,    // units that all fronts together have made ahead at most
};

struct front {
    uint64_t at;     // the next unit that is left to the program, and that it had not touched at the last look
    uint64_t next;   // the units between at and next are made, but for each eighth from at on
    uint64_t window; // next comes no further than this many units behind at; 0: a candidate, for which nothing is made
    uint64_t moved_us; // when it moved last
    unsigned behind;   // units shortly before at that are made, and that the program is not known to have come to
    unsigned n_moves;  // of a candidate
};

struct fronts {
    uint64_t from, to; // what is watched; equal: nothing
    struct front items[FRONTS_MOST];
    unsigned n, turn;                   // items; the one that is served next
    unsigned lost;                      // units made ahead by fronts that are gone
    unsigned sample;                    // to be looked at next
    uint64_t sampled_us;                // when the last samples were taken
    uint64_t moved_us;                  // when any front moved last, or the range was given
    uint64_t seen[FRONTS_SAMPLES / 64]; // bits: samples at which a front is known to have passed
};

// How fronts_step looks at memory.
struct fronts_eyes {
    bool (*is_touched)(void *data, uint64_t unit); // the program has touched the unit, or it was made
    void *data;
};

struct fronts_limits {
    uint64_t most;         // units that may be made ahead, FRONTS_AHEAD at most; 0: none, while memory is short
    unsigned n_processors; // of this process
};

enum fronts_advice {
    FRONTS_MAKE, // make the pages of the unit, and come again
    FRONTS_WAIT, // come again after pause_ms
    FRONTS_OVER, // nothing moves any more, or there is nothing left to fill
};

struct fronts_step {
    enum fronts_advice advice;
    uint64_t unit;
    unsigned pause_ms;
};

// The program may fill the bytes from FROM to TO from now on, as well as those that are watched already.
void fronts_begin(struct fronts *f, uint64_t from, uint64_t to, uint64_t now_us);
// Nothing behind byte TO is watched any more.  0: nothing at all.
void fronts_cut(struct fronts *f, uint64_t to);
struct fronts_step fronts_step(struct fronts *f, uint64_t now_us, const struct fronts_limits *limits,
                               const struct fronts_eyes *eyes);
// About the unit that the last step advised to make.  It was not made, and may be later.  It can't be made: its front
// is given up.
void fronts_put_off(struct fronts *f, uint64_t unit);
void fronts_give_up(struct fronts *f, uint64_t unit);
// Units that are made, and that the program is not known to have come to.
uint64_t fronts_count_ahead(const struct fronts *f);
