// Snapshots of the metrics, and what is kept between them: see metrics.h.
//
// A snapshot is shared by all who ask within a second: by HTTP clients that are sent the same bytes, and by clients of
// the socket, who get it page by page.  The one before is kept, so that a client whose pages come from both sides of
// that second still gets one whole text.
#include "daemon/metrics/metrics.h"

#include <errno.h>
#include <stdlib.h>

#include "daemon/metrics/accounts.h"
#include "daemon/metrics/biggest.h"
#include "daemon/metrics/exposition.h"
#include "daemon/metrics/families.h"
#include "daemon/metrics/history.h"
#include "daemon/metrics/source.h"
#include "daemon/op/env.h"
#include "proto/util/clock.h"

struct metrics {
    struct snapshot *last[METRICS_FORMAT_N], *before[METRICS_FORMAT_N];
    uint64_t n_snapshots;
    struct shown_accounts accounts;
    struct biggest biggest;
    struct history history;
};

int metrics_new(struct metrics **ret)
{
    *ret = calloc(1, sizeof **ret);
    return *ret ? 0 : -ENOMEM;
}

void metrics_free(struct metrics *m)
{
    if (!m)
        return;
    for (int i = 0; i < METRICS_FORMAT_N; i++) {
        snapshot_unref(m->last[i]);
        snapshot_unref(m->before[i]);
    }
    free(m);
}

void metrics_tick(struct metrics *m, const struct metrics_source *s)
{
    uint64_t now = clock_now();

    history_tick(&m->history, s, now);
    biggest_tick(&m->biggest, s->op->regions, now);
}

struct snapshot *snapshot_new(struct output *o)
{
    struct snapshot *snapshot = o->failed ? NULL : calloc(1, sizeof *snapshot);

    if (!snapshot) {
        free(o->data);
        return NULL;
    }
    *snapshot = (struct snapshot){.n_refs = 1, .made_at = clock_now(), .n = o->n, .data = o->data};
    return snapshot;
}

void snapshot_unref(struct snapshot *snapshot)
{
    if (!snapshot || --snapshot->n_refs > 0)
        return;
    free(snapshot->data);
    free(snapshot);
}

static struct exposition begin(const struct metrics_source *s, const struct shown_accounts *accounts,
                               enum metrics_format format)
{
    return (struct exposition){.openmetrics = format == METRICS_OPENMETRICS, .source = s, .accounts = accounts};
}

static struct snapshot *take(struct metrics *m, const struct metrics_source *s, enum metrics_format format)
{
    struct exposition e = begin(s, metrics_accounts(m, s), format);
    struct snapshot *snapshot;

    families_write(&e);
    snapshot = snapshot_new(&e.out);
    if (!snapshot)
        return NULL;
    snapshot->number = ++m->n_snapshots;
    snapshot_unref(m->before[format]);
    m->before[format] = m->last[format];
    m->last[format] = snapshot;
    return snapshot;
}

struct snapshot *metrics_snapshot(struct metrics *m, const struct metrics_source *s, enum metrics_format format)
{
    struct snapshot *snapshot = m->last[format];

    if (!snapshot || clock_now() - snapshot->made_at > SNAPSHOT_MS)
        snapshot = take(m, s, format);
    if (snapshot)
        snapshot->n_refs++;
    return snapshot;
}

struct snapshot *metrics_find_snapshot(const struct metrics *m, uint64_t number)
{
    for (int i = 0; i < METRICS_FORMAT_N; i++) {
        if (m->last[i] && m->last[i]->number == number)
            return m->last[i];
        if (m->before[i] && m->before[i]->number == number)
            return m->before[i];
    }
    return NULL;
}

size_t metrics_write_for(const struct metrics_source *s, const struct user *viewer, enum metrics_format format,
                         size_t first, size_t most, struct output *ret)
{
    struct shown_accounts *accounts = malloc(sizeof *accounts);
    struct exposition e = begin(s, accounts, format);
    size_t next;

    *ret = (struct output){.failed = true};
    if (!accounts)
        return 0;
    accounts_collect_for(s, viewer, accounts);
    next = families_write_part(&e, first, most);
    *ret = e.out;
    free(accounts);
    return next;
}

const struct shown_accounts *metrics_accounts(struct metrics *m, const struct metrics_source *s)
{
    accounts_collect(s, &m->accounts);
    return &m->accounts;
}

const struct biggest *metrics_biggest(struct metrics *m, const struct metrics_source *s)
{
    biggest_want(&m->biggest, s->op->regions, clock_now());
    return &m->biggest;
}

const struct history *metrics_history(const struct metrics *m)
{
    return &m->history;
}
