// The last hour, for the charts of the page: a ring of samples, which never grows.
#pragma once
#include <stdint.h>

struct metrics_source;
struct output;

enum {
    HISTORY_STEP_SECONDS = 10,
    HISTORY_SAMPLES = 360,
};

// The series that are sampled.  The rates are of the time since the sample before.
enum history_series {
    HISTORY_BYTES,
    HISTORY_REGIONS,
    HISTORY_CONNECTIONS,
    HISTORY_WAITERS,
    HISTORY_AVAILABLE,  // bytes of all disks: each file system once
    HISTORY_OPERATIONS, // that ended, of this step
    HISTORY_REFUSALS,
    HISTORY_BUSY_US, // mean duration of operations that were done, in microseconds
    HISTORY_SERIES_N,
};

struct history {
    uint64_t samples[HISTORY_SAMPLES][HISTORY_SERIES_N];
    uint64_t n;                                        // taken so far
    uint64_t last_at;                                  // seconds since 1970: of the last one
    uint64_t due_at;                                   // ms, monotonic: of the next one
    uint64_t n_operations, n_refusals, n_done, sum_us; // as of the last sample
};

// To be called every few seconds; NOW is ms, monotonic.  Takes a sample if one is due.
void history_tick(struct history *h, const struct metrics_source *s, uint64_t now);
// {"step":10,"end":1700000000,"bytes":[...],...}: the oldest sample first.
void history_write(const struct history *h, struct output *o);
