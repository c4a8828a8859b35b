// The rows that `top` shows: accounts and regions, sorted and filtered, and how fast each grows.
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "client/ctl/ctl.h"

enum { TOP_UNKNOWN_RATE = INT64_MIN }; // there is no earlier sample

enum top_view { TOP_ACCOUNTS, TOP_REGIONS, TOP_VIEW_N };

enum top_column { TOP_BYTES, TOP_RATE, TOP_N_REGIONS, TOP_CONNECTIONS, TOP_WAITING, TOP_NAME, TOP_COLUMN_N };

struct top_row {
    char *key;         // what the row is known by from sample to sample: the subject, or the handle
    char *name;        // as it is shown: the subject, or the name or handle of the region
    char *owner;       // of a region; NULL
    char *dir;         // of a region: the spill directory that has its file; NULL: the daemon does not say
    const char *state; // of a region; a constant
    uid_t owner_uid;
    uint64_t bytes, limit; // granted; UINT64_MAX: no limit
    int64_t rate;          // bytes a second, since the sample before
    uint64_t regions, regions_limit, connections, connections_limit, waiters;
    uint64_t resident, dirty; // bytes of a region; UINT64_MAX: not known
    bool looked;              // resident and dirty were asked for
};

struct top_rows {
    struct top_row *rows;
    size_t n, n_room;
    size_t n_shown; // the first of them; the others do not fit the filter
};

struct top_sample {
    struct top_rows views[TOP_VIEW_N];
    Diskalloc__V1__Reply *status; // has a status; NULL before the first sample
    bool everything;              // the caller is an administrator
    uint64_t taken_ms;            // monotonic
    uint64_t took_ms;             // to ask the daemon
    bool failed;                  // memory has run out
};

// Asks the daemon, and replaces SAMPLE, whose rates follow from what it was before.  An exit status, after a complaint.
int top_take(struct ctl *ctl, struct top_sample *sample);
void top_sample_deinit(struct top_sample *sample);
// Sorts both views; rows without FILTER in name or owner go to the end, and are not shown.  FILTER "" or NULL: all are.
void top_arrange(struct top_sample *sample, enum top_column column, bool reverse, const char *filter);
// The column called NAME, or TOP_COLUMN_N.
enum top_column top_find_column(const char *name);
const char *top_column_name(enum top_column column);
// Finds out how much of the regions' files is in memory, for N rows from FIRST on, as far as this process may open them
// and the kernel tells (Linux 6.5).  It takes 50 ms at most.
void top_look(struct top_sample *sample, size_t first, size_t n);
