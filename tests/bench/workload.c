#include "tests/bench/workload.h"

#include <string.h>

const struct workload_info workload_infos[WORKLOAD_N] = {
    [PUSH_AND_DROP] = {"W1", "push one by one, drop", {"push", "drop"}, .sized = true},
    [RANDOM_UPDATE] = {"W2", "20 million updates at random", .operations = 20000000, .sized = true},
    [SCAN] = {"W3", "scan", .sized = true},
    [RESIZE] =
        {"W4T", "20 times to 1 MiB and back, touched", {"shrink", "grow", "touch"}, .operations = 20, .sized = true},
    [MANY_SMALL] = {"W5", "200 vectors of 1 MiB", {"make", "drop"}, .operations = 200},
    [UNDER_LIMIT] = {"W6", "push and scan under a memory limit", {"push", "scan", "drop"}, .limited = true},
    [SORT] = {"R5M", "sort in memory", .sized = true},
    [SORT_LIMITED] = {"R5", "sort under a memory limit", .limited = true, .part_of_limited = 2},
};

bool workload_find(const char *id, enum workload *ret)
{
    for (int w = 0; w < WORKLOAD_N; w++) {
        if (!strcmp(workload_infos[w].id, id)) {
            *ret = (enum workload)w;
            return true;
        }
    }
    return false;
}

size_t workload_operations(enum workload w, size_t n)
{
    return workload_infos[w].operations ? workload_infos[w].operations : n;
}
