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
    // Parts that are rates: results are seconds for one read, or for one MB.  There is no sum of such parts.
    const char *rate[N_PARTS];
};

extern const struct workload_info workload_infos[WORKLOAD_N];
// A workload, or one of READING's parts by itself (R1 to R4), whose bits are then in *RET_PARTS.
bool workload_find(const char *id, enum workload *ret, unsigned *ret_parts);
size_t workload_operations(enum workload w, size_t n);
