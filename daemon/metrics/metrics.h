// Metrics: what the daemon holds, for whom, and how it fares.  The text is made when somebody asks for it, at most once
// a second, from counters and tables that exist anyway.  All functions are called on the loop.
#pragma once
#include <stddef.h>
#include <stdint.h>

#include "daemon/metrics/output.h"

struct biggest;
struct history;
struct metrics;
struct metrics_source;
struct shown_accounts;
struct user;

int metrics_new(struct metrics **ret); // 0 or -ENOMEM
void metrics_free(struct metrics *m);
// To be called every few seconds: keeps the history, and the list of the biggest regions.
void metrics_tick(struct metrics *m, const struct metrics_source *s);

enum metrics_format {
    METRICS_OPENMETRICS, // OpenMetrics 1.0
    METRICS_TEXT,        // Prometheus' text format 0.0.4
    METRICS_FORMAT_N,
};

// The whole text as of a moment.
struct snapshot {
    unsigned n_refs;
    uint64_t number;  // each has another one
    uint64_t made_at; // ms, monotonic
    size_t n;
    char *data;
};
// Takes the text of O.  A reference; NULL: there was no memory, at O as well.
struct snapshot *snapshot_new(struct output *o);
void snapshot_unref(struct snapshot *snapshot); // NULL is fine

enum { SNAPSHOT_MS = 1000 }; // the age up to which a snapshot is given to further askers

// A snapshot that is at most SNAPSHOT_MS old, for administrators.  A reference; NULL: no memory.
struct snapshot *metrics_snapshot(struct metrics *m, const struct metrics_source *s, enum metrics_format format);
// The snapshot of this number, which is one of the last two of its format.  Borrowed; NULL: it is gone.
struct snapshot *metrics_find_snapshot(const struct metrics *m, uint64_t number);
// Writes the metrics that VIEWER may see, who is no administrator.  They have some lines for each disk, and are made
// anew each time: the part from the family with the number FIRST on that has about MOST bytes.  Returns the FIRST of
// the next part; 0: this one was the last, or there was no memory.
size_t metrics_write_for(const struct metrics_source *s, const struct user *viewer, enum metrics_format format,
                         size_t first, size_t most, struct output *ret);

// The page shows these.  They are valid until the next call.
const struct shown_accounts *metrics_accounts(struct metrics *m, const struct metrics_source *s);
const struct biggest *metrics_biggest(struct metrics *m, const struct metrics_source *s);
const struct history *metrics_history(const struct metrics *m);
