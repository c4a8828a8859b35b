// The names of the workloads, and how their operations are counted.
#pragma once
#include "tests/bench/bench.h"

struct workload_info {
    const char *id, *title;
    const char *part[N_PARTS]; // NULL: not told apart
    size_t operations;         // 0: one a number
    bool sized;                // its cost is of interest at every size
    bool limited;              // runs under a memory limit
    unsigned part_of_limited;  // its vector and its limit are this part of --limited-mib and --limit-mib; 0: all
};

extern const struct workload_info workload_infos[WORKLOAD_N];
bool workload_find(const char *id, enum workload *ret);
size_t workload_operations(enum workload w, size_t n);
