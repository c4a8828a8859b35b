// Medians, and ratios to the first contender.
#include <stdlib.h>

#include "tests/bench/series.h"
#include "tests/bench/workload.h"

enum outcome series_outcome(const struct series *s, const struct point *p, size_t contender)
{
    enum outcome worst = OUTCOME_OK;

    (void)s;
    for (size_t run = 0; run < p->n_runs; run++)
        if (p->results[contender * p->n_runs + run].outcome > worst)
            worst = p->results[contender * p->n_runs + run].outcome;
    return worst;
}

bool series_has_part(const struct series *s, const struct point *p, int part)
{
    const struct workload_info *w = &workload_infos[p->workload];

    if (part == PART_ALL)
        return !w->rate[0];
    return w->part[part] && (p->workload != READING || s->settings.parts & 1u << part);
}

double series_seconds(const struct series *s, const struct point *p, size_t contender, size_t run, int part)
{
    const struct bench_result *r = &p->results[contender * p->n_runs + run];

    (void)s;
    return part == PART_ALL ? r->seconds : r->part[part];
}

static int compare(const void *a, const void *b)
{
    const double *x = a, *y = b;

    return (*x > *y) - (*x < *y);
}

static double median(const struct series *s, const struct point *p, size_t contender, int part)
{
    double *seconds = calloc(p->n_runs, sizeof *seconds), middle;

    if (!seconds)
        bench_die("calloc");
    for (size_t run = 0; run < p->n_runs; run++)
        seconds[run] = series_seconds(s, p, contender, run, part);
    qsort(seconds, p->n_runs, sizeof *seconds, compare);
    middle = (seconds[(p->n_runs - 1) / 2] + seconds[p->n_runs / 2]) / 2;
    free(seconds);
    return middle;
}

// The range is that of runs of the same round.
struct statistic series_statistic(const struct series *s, const struct point *p, size_t contender, int part)
{
    struct statistic st = {.median = median(s, p, contender, part)};

    if (series_outcome(s, p, 0) != OUTCOME_OK || st.median <= 0)
        return st;
    st.ratio = median(s, p, 0, part) / st.median;
    for (size_t run = 0; run < p->n_runs; run++) {
        double mine = series_seconds(s, p, contender, run, part);
        double ratio = mine > 0 ? series_seconds(s, p, 0, run, part) / mine : 0;

        if (run == 0 || ratio < st.ratio_least)
            st.ratio_least = ratio;
        if (ratio > st.ratio_most)
            st.ratio_most = ratio;
    }
    return st;
}
