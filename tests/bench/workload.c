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
    [READING] = {"R",
                 "more than memory is read",
                 {[READ_RANDOM] = "R1 random reads",
                  [READ_UPDATE] = "R2 random read-modify-writes",
                  [READ_ANNOUNCED] = "R3 announced reads",
                  [READ_SCAN] = "R4 scan",
                  [READ_SCAN_AFTER] = "R4 scan after random reads",
                  [READ_LOOK] = "R2 the same, the old value is looked at first"},
                 .limited = true,
                 .rate = {"reads/s", "updates/s", "reads/s", "MB/s", "MB/s", "updates/s"}},
    [READING_BOTH] = {"R4B",
                      "one vector read at random, another one scanned",
                      {"random reads", "scan"},
                      .limited = true,
                      .rate = {"reads/s", "MB/s"}},
    [ONCE] =
        {"W7", "batches pushed, consumed once", {"push", "consume", "drop"}, .limited = true, .part_of_limited = 2},
    [ONCE_SMALL] =
        {"W7C", "the same, can be compressed", {"push", "consume", "drop"}, .limited = true, .part_of_limited = 2},
};

// R1, R3: one part; R2: two, by what the first access to a page is; R4: two, since the second scan is compared with the
// first one.
static const struct {
    const char *id;
    unsigned parts;
} parts_of_reading[] = {
    {"R1", 1u << READ_RANDOM},
    {"R2", 1u << READ_UPDATE | 1u << READ_LOOK},
    {"R3", 1u << READ_ANNOUNCED},
    {"R4", 1u << READ_SCAN | 1u << READ_SCAN_AFTER},
    {"R", ~0u},
};

bool workload_find(const char *id, enum workload *ret, unsigned *ret_parts)
{
    *ret_parts = 0;
    for (size_t i = 0; i < sizeof parts_of_reading / sizeof *parts_of_reading; i++) {
        if (!strcmp(parts_of_reading[i].id, id)) {
            *ret = READING;
            *ret_parts = parts_of_reading[i].parts;
            return true;
        }
    }
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
    if (workload_infos[w].rate[0])
        return 1;
    return workload_infos[w].operations ? workload_infos[w].operations : n;
}
