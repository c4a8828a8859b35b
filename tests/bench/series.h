// An alternating series: workloads, sizes, contenders, and the results.
#pragma once
#include "tests/bench/bench.h"

// A row of the series: one workload at one size.
struct point {
    enum workload workload;
    size_t n;     // numbers
    size_t limit; // bytes of memory; 0: none
    size_t threads;
    size_t n_runs;
    struct bench_result *results; // [contender][run]
    const char **notes;           // [contender]: why there is no number, or NULL
};

struct series {
    const struct contender **contenders; // the first is what the others are compared with
    size_t n_contenders;
    struct point *points;
    size_t n_points, n_runs;
    bool cold; // no processes that touch memory before each run
    struct bench_settings settings;
};

void series_add(struct series *s, enum workload w, size_t n, size_t limit, size_t threads);
void series_run(struct series *s); // progress on stderr
void series_deinit(struct series *s);

// Of all runs of a contender: OUTCOME_OK, or the worst there was.
enum outcome series_outcome(const struct series *s, const struct point *p, size_t contender);

struct statistic {
    double median, ratio, ratio_least, ratio_most; // ratio: how many times as fast as the first contender; 0: unknown
};
enum { PART_ALL = -1 };
// Whether the point has a row for PART, or for all parts together.
bool series_has_part(const struct series *s, const struct point *p, int part);
double series_seconds(const struct series *s, const struct point *p, size_t contender, size_t run, int part);
struct statistic series_statistic(const struct series *s, const struct point *p, size_t contender, int part);
