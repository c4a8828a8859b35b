// The samples of accounts: what they use, their limits, and what was refused.
#include "daemon/metrics/samples.h"

#include "daemon/metrics/accounts.h"
#include "daemon/metrics/exposition.h"
#include "daemon/metrics/source.h"
#include "daemon/op/env.h"

static void begin_account(struct exposition *e, const struct shown_account *a)
{
    exposition_begin(e);
    exposition_label(e, "kind", account_kind_names[a->kind]);
    exposition_label(e, "name", a->name);
}

void samples_used(struct exposition *e, const struct family *f)
{
    for (size_t i = 0; i < e->accounts->n; i++) {
        begin_account(e, &e->accounts->items[i]);
        exposition_value(e, e->accounts->items[i].used[f->argument]);
    }
}

void samples_limit(struct exposition *e, const struct family *f)
{
    for (size_t i = 0; i < e->accounts->n; i++) {
        const struct shown_account *a = &e->accounts->items[i];

        if (!a->account)
            continue;
        begin_account(e, a);
        exposition_value(e, quota_account_limits(a->account)->max[f->argument]);
    }
}

void samples_soft_limit(struct exposition *e, const struct family *f)
{
    (void)f;
    for (size_t i = 0; i < e->accounts->n; i++) {
        const struct shown_account *a = &e->accounts->items[i];

        if (!a->account || !quota_account_limits(a->account)->soft.is_set)
            continue;
        begin_account(e, a);
        exposition_value(e, quota_account_limits(a->account)->soft.bytes);
    }
}

void samples_grace_end(struct exposition *e, const struct family *f)
{
    (void)f;
    for (size_t i = 0; i < e->accounts->n; i++) {
        const struct shown_account *a = &e->accounts->items[i];

        if (!a->account || quota_account_grace_ends(a->account) == 0)
            continue;
        begin_account(e, a);
        exposition_value(e, quota_account_grace_ends(a->account));
    }
}

void samples_waiters(struct exposition *e, const struct family *f)
{
    (void)f;
    for (size_t i = 0; i < e->accounts->n; i++) {
        begin_account(e, &e->accounts->items[i]);
        exposition_value(e, e->accounts->items[i].waiters);
    }
}

void samples_account_refusals(struct exposition *e, const struct family *f)
{
    (void)f;
    for (size_t i = 0; i < e->accounts->n; i++) {
        const struct shown_account *a = &e->accounts->items[i];

        for (int which = 0; a->account && which < QUOTA_LIMIT_N; which++) {
            uint64_t n = quota_account_refusals(a->account, (enum quota_limit)which);

            if (n == 0)
                continue;
            begin_account(e, a);
            exposition_label(e, "limit", quota_limit_names[which]);
            exposition_value(e, n);
        }
    }
}

void samples_users(struct exposition *e, const struct family *f)
{
    (void)f;
    exposition_sample(e, e->accounts->n_users + e->accounts->n_unlisted);
}

void samples_hidden(struct exposition *e, const struct family *f)
{
    (void)f;
    for (int kind = QUOTA_KIND_USER; kind < QUOTA_KIND_N; kind++)
        exposition_sample_of(e, "kind", account_kind_names[kind], e->accounts->hidden[kind]);
}

static void sample_refusals(struct exposition *e, const char *kind, const char *limit, uint64_t n)
{
    exposition_begin(e);
    exposition_label(e, "kind", kind);
    exposition_label(e, "limit", limit);
    exposition_value(e, n);
}

void samples_refusals(struct exposition *e, const struct family *f)
{
    (void)f;
    for (int kind = 0; kind < QUOTA_KIND_N; kind++)
        for (int which = 0; which < QUOTA_LIMIT_N; which++)
            sample_refusals(e, account_kind_names[kind], quota_limit_names[which],
                            quota_refusals(e->source->quota, (enum quota_kind)kind, (enum quota_limit)which));
    for (int limit = 0; limit < TALLY_DISK_LIMIT_N; limit++)
        sample_refusals(e, "disk", tally_disk_limit_names[limit], e->source->op->tally.disk_refusals[limit]);
}
