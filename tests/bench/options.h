#pragma once
#include "tests/bench/series.h"

enum { MOST_SIZES = 32 };

struct options {
    size_t n_runs;
    bool workloads[WORKLOAD_N];
    size_t sizes[MOST_SIZES], n_sizes; // MiB
    size_t limited_mib, limit_mib;     // of UNDER_LIMIT
    const struct contender *contenders[32];
    size_t n_contenders;
    const char *json, *svg; // svg NULL: no charts
};

void options_parse(int argc, char **argv, struct options *ret); // ends the program when they are wrong
