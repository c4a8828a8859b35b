// The state of the daemon as JSON: see state.h.
#include "daemon/http/state.h"

#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "daemon/disk.h"
#include "daemon/fence/fence.h"
#include "daemon/metrics/accounts.h"
#include "daemon/metrics/biggest.h"
#include "daemon/metrics/history.h"
#include "daemon/metrics/metrics.h"
#include "daemon/metrics/output.h"
#include "daemon/metrics/source.h"
#include "daemon/op/env.h"
#include "daemon/request/peer.h"
#include "daemon/store/store.h"
#include "daemon/user.h"
#include "daemon/work/worker.h"

// Begins an element of an object or list: with a comma, unless it is the first.
static void next(struct output *o)
{
    if (o->n > 0 && !strchr("[{:", o->data[o->n - 1]))
        output_add(o, ",");
}

static void key(struct output *o, const char *name)
{
    next(o);
    output_format(o, "\"%s\":", name);
}

// Begins a list ("[") or an object ("{") under NAME.
static void begin(struct output *o, const char *name, const char *bracket)
{
    key(o, name);
    output_add(o, bracket);
}

// Begins an object that is an element of a list.
static void begin_element(struct output *o)
{
    next(o);
    output_add(o, "{");
}

static void number(struct output *o, const char *name, uint64_t value)
{
    key(o, name);
    output_number(o, value);
}

// UINT64_MAX: none.
static void limit(struct output *o, const char *name, uint64_t value)
{
    key(o, name);
    if (value == UINT64_MAX)
        output_add(o, "null");
    else
        output_number(o, value);
}

static void text(struct output *o, const char *name, const char *value)
{
    key(o, name);
    output_json(o, value, strlen(value));
}

static void truth(struct output *o, const char *name, bool value)
{
    key(o, name);
    output_add(o, value ? "true" : "false");
}

static void write_account(struct output *o, const struct shown_account *a)
{
    const struct quota_limits *limits = a->account ? quota_account_limits(a->account) : NULL;
    uint64_t refusals = 0;

    begin_element(o);
    text(o, "kind", account_kind_names[a->kind]);
    text(o, "name", a->name);
    number(o, "bytes", a->used[QUOTA_BYTES]);
    number(o, "regions", a->used[QUOTA_REGIONS]);
    number(o, "connections", a->used[QUOTA_CONNECTIONS]);
    limit(o, "bytes_limit", limits ? limits->max[QUOTA_BYTES] : UINT64_MAX);
    limit(o, "regions_limit", limits ? limits->max[QUOTA_REGIONS] : UINT64_MAX);
    limit(o, "connections_limit", limits ? limits->max[QUOTA_CONNECTIONS] : UINT64_MAX);
    limit(o, "warn_bytes", limits ? limits->warn_bytes : UINT64_MAX);
    limit(o, "soft_bytes", limits && limits->soft.is_set ? limits->soft.bytes : UINT64_MAX);
    number(o, "grace_ends", a->account ? quota_account_grace_ends(a->account) : 0);
    number(o, "waiters", a->waiters);
    for (int which = 0; a->account && which < QUOTA_LIMIT_N; which++)
        refusals += quota_account_refusals(a->account, (enum quota_limit)which);
    number(o, "refusals", refusals);
    output_add(o, "}");
}

static void write_accounts(struct output *o, const struct shown_accounts *all)
{
    begin(o, "accounts", "[");
    for (size_t i = 0; i < all->n; i++)
        write_account(o, &all->items[i]);
    output_add(o, "]");
    begin(o, "hidden", "{");
    for (int kind = QUOTA_KIND_USER; kind < QUOTA_KIND_N; kind++)
        number(o, account_kind_names[kind], all->hidden[kind]);
    output_add(o, "}");
    number(o, "waiters", all->n_waiting);
}

static void write_disk(struct output *o, const struct metrics_disk *d)
{
    begin_element(o);
    text(o, "path", d->path);
    text(o, "file_system", d->guarantee->file_system);
    truth(o, "hard", d->guarantee->hard);
    text(o, "reason", d->guarantee->reason);
    text(o, "problem", d->health->problem);
    truth(o, "stopped", d->is_stopped);
    truth(o, "leaving", d->is_leaving);
    text(o, "fences", d->fence ? fence_names(d->fence) : "");
    text(o, "fences_missing", d->fence ? fence_missing(d->fence) : "");
    number(o, "device", d->device);
    number(o, "size", d->space->total);
    number(o, "available", d->space->available);
    number(o, "keep_free", d->keep_free);
    number(o, "free", d->free);
    number(o, "granted", d->granted);
    number(o, "regions", d->n_regions);
    output_add(o, "}");
}

static void write_disks(struct output *o, const struct metrics_source *s)
{
    begin(o, "disks", "[");
    for (size_t i = 0; i < s->n_disks; i++)
        write_disk(o, &s->disks[i]);
    output_add(o, "]");
    begin(o, "absent", "[");
    for (const struct disk_absence *a = s->absences; a; a = a->next) {
        begin_element(o);
        text(o, "path", a->dir);
        text(o, "problem", a->problem);
        output_add(o, "}");
    }
    output_add(o, "]");
}

static void write_region(struct output *o, const struct region *r)
{
    const struct attachment *a = TAILQ_FIRST(&r->holders.attachments);
    char handle[HANDLE_TEXT_LENGTH + 1];

    handle_format(&r->record.handle, handle);
    begin_element(o);
    text(o, "handle", handle);
    key(o, "name");
    output_json(o, r->record.name, r->record.name_length);
    text(o, "owner", user_name(r->owner));
    number(o, "size", r->size);
    number(o, "granted", r->charge.amount[QUOTA_BYTES]);
    number(o, "attached", r->holders.n_attached);
    number(o, "created", r->record.created);
    text(o, "program", a ? a->peer->client_name : "");
    number(o, "pid", a && a->holder.pid > 0 ? (uint64_t)a->holder.pid : 0);
    output_add(o, "}");
}

static void write_regions(struct output *o, const struct metrics_source *s, const struct biggest *b)
{
    begin(o, "biggest", "[");
    for (size_t i = 0; i < BIGGEST_MOST; i++) {
        const struct region *r = biggest_region(b, s->op->regions, i);

        if (r)
            write_region(o, r);
    }
    output_add(o, "]");
    truth(o, "biggest_is_whole", b->is_whole);
    number(o, "regions", s->op->regions->n_regions);
    number(o, "orphans", s->op->regions->n_orphans);
}

// The user may have gone, and has a number only then.
static void write_user(struct output *o, struct quota *q, uid_t uid)
{
    struct quota_user *u = quota_find_user(q, uid);
    const char *label = u ? quota_account_label(quota_user_account(u)) : "", *colon = strchr(label, ':');
    char number_text[16];

    snprintf(number_text, sizeof number_text, "+%u", uid);
    text(o, "user", colon ? colon + 1 : number_text);
}

static void write_refusal(struct output *o, const struct metrics_source *s, const struct tally_refusal *r)
{
    begin_element(o);
    write_user(o, s->quota, r->uid);
    number(o, "at", r->at);
    number(o, "n", r->n);
    text(o, "limit_name", r->limit_name);
    number(o, "limit", r->limit);
    number(o, "used", r->used);
    number(o, "asked", r->asked);
    truth(o, "bytes", r->counts_bytes);
    output_add(o, "}");
}

static void write_refusals(struct output *o, const struct metrics_source *s)
{
    begin(o, "refusals", "[");
    for (int i = 0; i < TALLY_REFUSALS; i++)
        if (s->op->tally.refusals[i].at)
            write_refusal(o, s, &s->op->tally.refusals[i]);
    output_add(o, "]");
}

static void write_fences(struct output *o, const struct metrics_source *s)
{
    const struct op_env *env = s->op;

    begin(o, "fences", "{");
    number(o, "events", env->tally.fence_events);
    number(o, "tampered", env->tally.fence_tampered);
    number(o, "frozen", env->tally.fence_frozen);
    number(o, "mended", env->n_mended);
    output_add(o, "}");
}

static void write_operations(struct output *o, const struct op_env *env)
{
    struct worker_load load;

    begin(o, "operations", "[");
    for (int i = TALLY_CREATE; i < TALLY_OPERATION_N; i++) {
        const struct tally *t = &env->tally;

        begin_element(o);
        text(o, "name", tally_operation_names[i]);
        number(o, "done", t->results[i][TALLY_DONE]);
        number(o, "refused", t->results[i][TALLY_LIMIT] + t->results[i][TALLY_FULL]);
        number(o, "failed", t->results[i][TALLY_IO] + t->results[i][TALLY_FAILED] + t->results[i][TALLY_TIMED_OUT]);
        number(o, "sum_us", t->operations[i].sum_us);
        output_add(o, "}");
    }
    output_add(o, "]");
    worker_get_load(env->pool, &load);
    number(o, "io_errors", env->tally.io_errors);
    number(o, "worker_threads", load.threads);
    number(o, "worker_queued", load.queued);
    number(o, "worker_running", load.running);
}

void state_write(struct output *o, struct metrics *m, const struct metrics_source *s)
{
    output_add(o, "{");
    text(o, "version", DISKALLOC_VERSION);
    number(o, "pid", (uint64_t)getpid());
    number(o, "started", s->started);
    number(o, "now", (uint64_t)time(NULL));
    write_accounts(o, metrics_accounts(m, s));
    write_disks(o, s);
    write_fences(o, s);
    write_regions(o, s, metrics_biggest(m, s));
    write_refusals(o, s);
    write_operations(o, s->op);
    key(o, "history");
    history_write(metrics_history(m), o);
    output_add(o, "}\n");
}
