// The format in which Prometheus reads metrics, in its two versions.  A family of metrics has a name, a type, a unit, a
// sentence of help, and any number of samples, which its function writes.
#pragma once
#include <stdbool.h>
#include <stdint.h>

#include "daemon/metrics/output.h"

struct metrics_source;
struct shown_accounts;
struct tally_histogram;

enum family_type {
    FAMILY_GAUGE,
    FAMILY_COUNTER,   // samples end in _total
    FAMILY_HISTOGRAM, // samples end in _bucket, _sum and _count
    FAMILY_INFO,      // samples end in _info, and are 1
};

struct exposition {
    struct output out;
    bool openmetrics; // OpenMetrics 1.0; otherwise the text format 0.0.4
    const struct metrics_source *source;
    const struct shown_accounts *accounts;
    const struct family *family; // that is being written
};

struct family {
    const char *name; // without the ending of the samples
    enum family_type type;
    const char *unit; // with which the name ends; NULL: none
    const char *help;
    bool for_all; // also for those who are no administrators
    void (*write)(struct exposition *e, const struct family *f);
    uint64_t argument; // the function's
};

// Writes the family with all its samples.
void exposition_family(struct exposition *e, const struct family *f);
void exposition_end(struct exposition *e);

// A sample: begin, its labels, and its value.
void exposition_begin(struct exposition *e);
void exposition_label(struct exposition *e, const char *name, const char *value);
void exposition_value(struct exposition *e, uint64_t value); // UINT64_MAX: no limit, +Inf
// A sample without labels, and one with a label.
void exposition_sample(struct exposition *e, uint64_t value);
void exposition_sample_of(struct exposition *e, const char *label, const char *label_value, uint64_t value);
// A value of microseconds, in seconds.
void exposition_seconds(struct exposition *e, uint64_t us);
// All samples of a histogram.  LABEL NULL: it has no label.
void exposition_histogram(struct exposition *e, const char *label, const char *value, const struct tally_histogram *h);
