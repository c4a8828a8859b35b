// Where the metrics are read from.
#pragma once
#include "daemon/metrics/source.h"

struct request_env;

enum { METRICS_MOST_DISKS = 64 }; // as many as a daemon has: see disk.number

struct metrics_readings {
    struct metrics_source source;
    struct metrics_disk disks[METRICS_MOST_DISKS];
};
// RET points to parts of ENV and into itself: it is to be used at once, and not copied.
void request_read_metrics(struct request_env *env, struct metrics_readings *ret);
