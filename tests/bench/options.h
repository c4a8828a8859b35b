#pragma once
#include "tests/bench/series.h"

enum { MOST_SIZES = 32 };

struct options {
    size_t n_runs;
    bool workloads[WORKLOAD_N];
    unsigned parts;                        // of READING
    size_t sizes[MOST_SIZES], n_sizes;     // MiB
    size_t limited[MOST_SIZES], n_limited; // MiB: the vectors of workloads under a memory limit
    size_t threads[MOST_SIZES], n_threads; // of READING
    size_t read_ms;                        // for which reading is measured
    size_t limit_mib;                      // the memory limit
    const struct contender *contenders[32];
    size_t n_contenders;
    const char *json, *svg; // svg NULL: no charts
    bool cold;              // no run is preceded by processes that touch memory
    const char *on;         // file system that is made for the series; NULL: none
    const char *thp;        // setting of large pages for the time of the series; NULL: as it is
};

void options_parse(int argc, char **argv, struct options *ret); // ends the program when they are wrong
