// What the evidence about a region means: whether its parts should change.  See the essay in pattern.c, and there
// especially how parts follow each other, and what a trial is.
#include "client/memory/verdict.h"

enum {
    ENOUGH = 6 * PATTERN_ONE,  // evidence, for a part
    PLENTY = 12 * PATTERN_ONE, // for all parts
    ENOUGH_PAGES = 24 * PATTERN_ONE,
    QUIET = 48,      // reads elsewhere
    QUIET_LOOKS = 6, // after a scattered read
    FOLLOWED = 20,   // looks
    FORGOTTEN = 256, // pages read elsewhere
    LONG_FORGOTTEN = 4096,
    FIRST_HOLD = 10,       // looks
    LONGEST_HOLD = 600,    // looks
    SOON = 20,             // looks
    FIRST_TRIAL_HOLD = 60, // looks
};

static bool says_scattered(const struct pattern_evidence *e, uint32_t enough)
{
    return e->scattered >= enough && e->scattered >= 3 * e->runs;
}

static bool says_runs(const struct pattern_evidence *e)
{
    return e->runs >= ENOUGH_PAGES && e->runs >= 3 * e->scattered;
}

// A part follows all parts together, unless it was read in a run lately.
static enum pattern_verdict judge_large(const struct pattern *p, const struct pattern_part *part)
{
    if (p->n_looks < part->large_until)
        return PATTERN_UNKNOWN;
    if (says_scattered(&part->own, ENOUGH))
        return PATTERN_SCATTERED;
    if (!says_scattered(&p->large, PLENTY))
        return PATTERN_UNKNOWN;
    return part->own.scattered >= part->own.runs || p->n_large - part->run_then >= QUIET ? PATTERN_SCATTERED
                                                                                         : PATTERN_UNKNOWN;
}

// A part in which nothing was read lately follows one that says runs, also some looks later, because the run may enter
// the part then, unless a part has turned out to be read at random meanwhile: then the run is over, and if the disk is
// slow, nothing is seen for some looks of what is read at random either.  A part where nothing is read any more goes
// back.  A stride may miss all windows of a part for long.
static enum pattern_verdict judge_single(const struct pattern *p, const struct pattern_part *part, bool follow)
{
    uint32_t quiet = p->n_small - part->scattered_then;

    if (says_runs(&part->own))
        return PATTERN_RUNS;
    if (follow && (quiet >= QUIET || p->n_looks - part->scattered_look >= QUIET_LOOKS))
        return PATTERN_RUNS;
    return quiet >= (part->on_trial ? LONG_FORGOTTEN : FORGOTTEN) ? PATTERN_RUNS : PATTERN_UNKNOWN;
}

static uint16_t longer(uint16_t hold, unsigned times)
{
    return hold * times < LONGEST_HOLD ? (uint16_t)(hold * times) : LONGEST_HOLD;
}

static void remember(struct pattern *p, struct pattern_part *part, enum pattern_verdict verdict)
{
    if (verdict == PATTERN_SCATTERED) {
        part->single_since = p->n_looks;
        part->on_trial = p->n_looks < p->trial_end;
        if (p->runs_look < p->n_looks)
            p->runs_look = 0;
    }
    if (verdict != PATTERN_RUNS || pattern_is_on_trial(p, part))
        return;
    if (p->n_looks - part->single_since >= SOON)
        part->hold = 0;
    else
        part->hold = part->hold == 0 ? FIRST_HOLD : longer(part->hold, 2);
    part->large_until = p->n_looks + part->hold;
}

static void find_run(struct pattern *p, const struct pattern_region *r)
{
    for (unsigned i = 0; i < PATTERN_PARTS; i++)
        if (pattern_is_part(p, i, r) && p->parts[i].is_single && says_runs(&p->parts[i].own)) {
            p->first_run = i;
            p->runs_look = p->n_looks;
            return;
        }
}

// A trial fails for all parts at once: they were tried because of the same run.
static bool trial_fails(struct pattern *p, const struct pattern_region *r)
{
    bool fails = false, lasts = false;

    for (unsigned i = 0; i < PATTERN_PARTS; i++)
        if (pattern_is_part(p, i, r) && pattern_is_on_trial(p, &p->parts[i])) {
            lasts = true;
            fails |= says_runs(&p->parts[i].own);
        }
    if (fails) {
        p->trial_hold = p->trial_hold == 0 ? FIRST_TRIAL_HOLD : longer(p->trial_hold, 3);
        p->next_trial = p->n_looks + p->trial_hold;
    }
    if (lasts && !fails && p->n_looks + 1 == p->trial_end)
        p->trial_hold = 0;
    return fails;
}

bool pattern_judge(struct pattern *p, const struct pattern_region *r)
{
    bool any = false, fails = trial_fails(p, r), follow;

    find_run(p, r);
    follow = p->runs_look > 0 && p->n_looks - p->runs_look < FOLLOWED;
    for (unsigned i = 0; i < PATTERN_PARTS; i++) {
        struct pattern_part *part = &p->parts[i];

        p->verdicts[i] = PATTERN_UNKNOWN;
        if (!pattern_is_part(p, i, r))
            continue;
        p->verdicts[i] = part->is_single ? judge_single(p, part, follow) : judge_large(p, part);
        if (fails && pattern_is_on_trial(p, part))
            p->verdicts[i] = PATTERN_RUNS;
        remember(p, part, p->verdicts[i]);
        any |= p->verdicts[i] != PATTERN_UNKNOWN;
    }
    return any;
}
