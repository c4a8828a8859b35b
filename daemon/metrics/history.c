// The last hour: see history.h.
#include "daemon/metrics/history.h"

#include <string.h>
#include <time.h>

#include "daemon/metrics/output.h"
#include "daemon/metrics/source.h"
#include "daemon/op/env.h"
#include "daemon/op/wait.h"
#include "daemon/quota/charge.h"
#include "daemon/store/store.h"

enum { STEP_MS = HISTORY_STEP_SECONDS * 1000 };

static const char *const names[HISTORY_SERIES_N] = {
    [HISTORY_BYTES] = "bytes",       [HISTORY_REGIONS] = "regions",     [HISTORY_CONNECTIONS] = "connections",
    [HISTORY_WAITERS] = "waiters",   [HISTORY_AVAILABLE] = "available", [HISTORY_OPERATIONS] = "operations",
    [HISTORY_REFUSALS] = "refusals", [HISTORY_BUSY_US] = "busy_us",
};

static uint64_t count_refusals(const struct metrics_source *s)
{
    uint64_t n = 0;

    for (int kind = 0; kind < QUOTA_KIND_N; kind++)
        for (int which = 0; which < QUOTA_LIMIT_N; which++)
            n += quota_refusals(s->quota, (enum quota_kind)kind, (enum quota_limit)which);
    for (int limit = 0; limit < TALLY_DISK_LIMIT_N; limit++)
        n += s->op->tally.disk_refusals[limit];
    return n;
}

static void add_operations(const struct tally *t, uint64_t *n, uint64_t *n_done, uint64_t *sum_us)
{
    for (int i = 0; i < TALLY_OPERATION_N; i++) {
        for (int result = 0; result < TALLY_RESULT_N; result++)
            *n += t->results[i][result];
        *n_done += tally_count(&t->operations[i]);
        *sum_us += t->operations[i].sum_us;
    }
}

static void take_sample(struct history *h, const struct metrics_source *s)
{
    uint64_t *sample = h->samples[h->n % HISTORY_SAMPLES];
    const struct quota_account *total = quota_total(s->quota);
    uint64_t n_operations = 0, n_done = 0, sum_us = 0, n_refusals = count_refusals(s);

    add_operations(&s->op->tally, &n_operations, &n_done, &sum_us);
    quota_begin_count(s->quota);
    wait_count_charges(s->op->wait);
    sample[HISTORY_BYTES] = quota_account_used(total, QUOTA_BYTES);
    sample[HISTORY_REGIONS] = quota_account_used(total, QUOTA_REGIONS);
    sample[HISTORY_CONNECTIONS] = quota_account_used(total, QUOTA_CONNECTIONS);
    sample[HISTORY_WAITERS] = quota_account_counted(total);
    sample[HISTORY_AVAILABLE] = s->available;
    sample[HISTORY_OPERATIONS] = n_operations - h->n_operations;
    sample[HISTORY_REFUSALS] = n_refusals - h->n_refusals;
    sample[HISTORY_BUSY_US] = n_done > h->n_done ? (sum_us - h->sum_us) / (n_done - h->n_done) : 0;
    h->n_operations = n_operations;
    h->n_refusals = n_refusals;
    h->n_done = n_done;
    h->sum_us = sum_us;
    h->last_at = (uint64_t)time(NULL);
    h->n++;
}

// A loop that stood still for a while leaves the places of the missed samples out: the chart is shorter, and not wrong
// by more than that while.
void history_tick(struct history *h, const struct metrics_source *s, uint64_t now)
{
    if (now < h->due_at)
        return;
    take_sample(h, s);
    // Ticks that come a little late do not add up.
    h->due_at = (h->due_at > 0 && now - h->due_at < STEP_MS ? h->due_at : now) + STEP_MS;
}

void history_write(const struct history *h, struct output *o)
{
    const uint64_t n = h->n < HISTORY_SAMPLES ? h->n : HISTORY_SAMPLES;

    output_add(o, "{\"step\":");
    output_number(o, HISTORY_STEP_SECONDS);
    output_add(o, ",\"end\":");
    output_number(o, h->last_at);
    for (int series = 0; series < HISTORY_SERIES_N; series++) {
        output_format(o, ",\"%s\":[", names[series]);
        for (uint64_t i = h->n - n; i < h->n; i++) {
            if (i > h->n - n)
                output_add(o, ",");
            output_number(o, h->samples[i % HISTORY_SAMPLES][series]);
        }
        output_add(o, "]");
    }
    output_add(o, "}");
}
