// Shared by the files that tell how a region is read: pattern.c collects evidence, verdict.c judges it.
#pragma once
#include "client/memory/pattern.h"

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

// Writes the verdicts.  True: one of them is not unknown.
bool pattern_judge(struct pattern *p, const struct pattern_region *r);
