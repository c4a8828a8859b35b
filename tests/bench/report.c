// A table in Markdown: a row a workload and each part of it, a column a contender.
#include "tests/bench/report.h"

#include <stdio.h>

#include "tests/bench/workload.h"

static const char *const outcome_words[] = {
    [OUTCOME_UNSUPPORTED] = "-",     [OUTCOME_SKIPPED] = "skipped", [OUTCOME_KILLED] = "killed",
    [OUTCOME_TIMEOUT] = "timed out", [OUTCOME_FAILED] = "failed",
};

static void print_head(const struct series *s)
{
    printf("How many times as fast as %s: ratio of medians (least–most of the rounds); higher is better\n\n| |",
           s->contenders[0]->name);
    for (size_t c = 0; c < s->n_contenders; c++)
        printf(" %s |", s->contenders[c]->name);
    printf(" %s, seconds |\n|---|", s->contenders[0]->name);
    for (size_t c = 0; c <= s->n_contenders; c++)
        printf("---|");
    printf("\n");
}

static const char *rate_of(const struct point *p, int part)
{
    return part == PART_ALL ? NULL : workload_infos[p->workload].rate[part];
}

// Rates are of interest by themselves; of all else only the ratio is.
static void print_value(const struct point *p, int part, double median)
{
    if (rate_of(p, part))
        printf("%.0f: ", 1 / median);
}

static void print_cell(const struct series *s, const struct point *p, size_t contender, int part)
{
    enum outcome outcome = series_outcome(s, p, contender);
    struct statistic st;

    if (outcome != OUTCOME_OK) {
        printf(" %s |", outcome_words[outcome]);
        return;
    }
    st = series_statistic(s, p, contender, part);
    if (st.median <= 0) {
        printf(" – |");
        return;
    }
    printf(" ");
    print_value(p, part, st.median);
    if (st.ratio > 0)
        printf("%.2f (%.2f–%.2f) |", st.ratio, st.ratio_least, st.ratio_most);
    else
        printf("|");
}

static void print_row(const struct series *s, const struct point *p, int part)
{
    const struct workload_info *w = &workload_infos[p->workload];

    if (p->workload == READING) // its parts begin with R1 … R4
        printf("| %s", w->part[part]);
    else
        printf("| %s%s%s", w->id, part == PART_ALL ? ": " : " ", part == PART_ALL ? w->title : w->part[part]);
    if (rate_of(p, part))
        printf(", %s", rate_of(p, part));
    if ((part == PART_ALL && (w->sized || w->limited)) || rate_of(p, part))
        printf(", %zu MiB", p->n >> 17);
    if ((part == PART_ALL && p->limit) || rate_of(p, part))
        printf(" in %zu MiB", p->limit >> 20);
    if (p->threads > 1)
        printf(", %zu threads", p->threads);
    printf(" |");
    for (size_t c = 0; c < s->n_contenders; c++)
        print_cell(s, p, c, part);
    if (series_outcome(s, p, 0) == OUTCOME_OK && !rate_of(p, part))
        printf(" %.4g |\n", series_statistic(s, p, 0, part).median);
    else
        printf(" |\n");
}

static void print_notes(const struct series *s)
{
    printf("\n");
    for (const struct point *p = s->points; p < s->points + s->n_points; p++)
        for (size_t c = 0; c < s->n_contenders; c++)
            if (p->notes[c])
                printf("%s, %zu MiB: %s: %s.\n", workload_infos[p->workload].id, p->n >> 17, s->contenders[c]->name,
                       p->notes[c]);
}

void report_print(const struct series *s)
{
    print_head(s);
    for (const struct point *p = s->points; p < s->points + s->n_points; p++) {
        for (int part = PART_ALL; part < N_PARTS; part++)
            if (series_has_part(s, p, part))
                print_row(s, p, part);
    }
    print_notes(s);
}
