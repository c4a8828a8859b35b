// Where the metrics are read from.
#pragma once
#include "daemon/metrics/source.h"

struct request_env;

struct metrics_readings {
    struct metrics_source source;
    struct metrics_disk disks[1];
};
// RET points to parts of ENV and into itself: it is to be used at once, and not copied.
void request_read_metrics(struct request_env *env, struct metrics_readings *ret);
