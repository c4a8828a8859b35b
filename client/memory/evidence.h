// What is known of how a region is read: shared by pattern.c, which collects it, and verdict.c, which judges it.  Sizes
// are bytes.
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    PATTERN_PARTS = 16,        // a region is judged in as many parts, or fewer
    PATTERN_PLACES = 64,       // looked at in each part
    PATTERN_WINDOW = 16,       // pages looked at in each place
    PATTERN_ALL_PAGES = 0xffff // bits of a window
};

enum pattern_verdict {
    PATTERN_UNKNOWN,   // leave the part as it is
    PATTERN_SCATTERED, // single pages are better
    PATTERN_RUNS,      // large pages are better
};

// Numbers of observations, in sixteenths; the older ones count less.
struct pattern_evidence {
    uint32_t scattered, runs;
};

struct pattern_part {
    uint16_t seen[PATTERN_PLACES]; // bits: the pages of each window that were in memory
    uint8_t age[PATTERN_PLACES]; // while pages are large: looks since the window came into memory; 255: longer, or not
    uint16_t grown[PATTERN_PLACES]; // while pages are single: bits, the pages that came in within some looks
    struct pattern_evidence own;
    uint32_t scattered_then;            // n_small at the last scattered read in this part, while pages are single
    uint32_t scattered_look;            // n_looks then
    uint32_t run_then;                  // n_large at the last read in a run in this part, while pages are large
    uint32_t single_since, large_until; // looks: when single pages began; until when large pages stay
    uint16_t hold;                      // looks: how long large pages stay the next time
    uint8_t n_known;                    // looks since the part changed; a few count, and no more
    bool is_single;                     // as at the last look
    bool on_trial;                      // single pages were tried because runs seemed to be sparse
};

struct pattern {
    uint64_t part_size;             // a power of two
    uint32_t n_looks, runs_look;    // the last look in which a part with single pages said runs
    uint32_t n_small;               // pages that were read in windows of parts with single pages, in all
    unsigned first_run;             // a part that says runs
    uint32_t trial_end, next_trial; // looks: of the last trial; when there may be another one
    uint16_t trial_hold;            // looks: the pause after the next trial that fails
    unsigned n_stretches;           // what lies beside a window was looked at, in this look
    uint32_t n_large;               // units that were judged in parts with large pages, in all
    bool many_hit;                  // pages came into many windows lately, of parts with single pages
    struct pattern_evidence large;  // of all parts with large pages
    enum pattern_verdict verdicts[PATTERN_PARTS];
    struct pattern_part parts[PATTERN_PARTS];
};

// A part that is read by single pages is so up to the byte single_to; 0: large pages.  Bit i of SKIPPED: part i is
// not looked at.
struct pattern_region {
    uint64_t size;
    uint64_t single_to[PATTERN_PARTS];
    // Reads at scattered places that the program has announced since the last look, or a sample of them.
    uint32_t announced[PATTERN_PARTS];
    uint32_t skipped;
    bool sparse; // the program touches hardly any of the bytes that are read from disk
    // Which of the PATTERN_WINDOW pages from AT on are in memory.
    uint16_t (*look)(void *data, uint64_t at);
    void *data;
};

enum {
    PATTERN_ONE = 16,   // an observation, as evidence counts it
    PATTERN_TRIAL = 40, // looks
};

static inline bool pattern_is_part(const struct pattern *p, unsigned i, const struct pattern_region *r)
{
    return i * p->part_size < r->size && !(r->skipped & 1U << i);
}

static inline bool pattern_is_on_trial(const struct pattern *p, const struct pattern_part *part)
{
    return part->is_single && part->on_trial && p->n_looks < p->trial_end;
}
