// Charging: taking from accounts and giving back.
//
// The part of the accounts that one consumer holds is a `struct quota_charge`, which lies inside the consumer (a
// region, a connection). A charge counts in several accounts at once: the user's own, the sum of each configured
// group of the user, the total, and the sum of each configured control group that the program is in (job.h).  The
// charges of a uid that the user database does not know count in the account that all such uids share, or in that of
// the user to whom the uid was lent (daemon/account.c). quota_charge_add and quota_charge_sub are exact inverses.  A
// consumer that ends gives back all that it holds by quota_charge_deinit, so no number has to be remembered elsewhere.
//
// Guarantees: a charge counts in all of its accounts or in none.  No account passes its limit through
// quota_charge_add, whatever came before. An account that is over its limit (the limit was lowered, or
// quota_charge_force was used) keeps what it has, and only growth is refused.  An account is the sum of the charges
// of its users: when a user changes groups, the user's charges move along, whatever the limits there.  Every sum is
// at most the total's, because a user counts once in an account.  So it is enough to check for a wrap when charging:
// moving between groups can't wrap.
//
// It relies on one thread, the loop, and on nothing else: no I/O, no clock, no locks.  A charge holds a pointer to
// its user, and the user holds pointers to its accounts, so charging looks nothing up.  Users and groups are found by
// their numbers in trees (among 100,000: 0.3 µs, where a hash table took 0.04 µs), and only when somebody connects,
// changes groups, or asks for usage.  A user's account lives as long as somebody refers to it; the total and the
// groups live as long as the quota.  An account that was given no limits has none.
//
// It does not know what the limits mean, where they come from, or what a percentage is: that is daemon/config/limits.c.
#include "daemon/quota/charge.h"
#include "daemon/quota/quota.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>

#include "daemon/quota/quota_internal.h"
#include "proto/util/checked.h"
#include "proto/util/cleanup.h"

// All accounts that a charge falls on: those of its user, then those of its job.
static size_t charge_n_accounts(const struct quota_charge *c)
{
    return c->user->n_accounts + (c->job ? c->job->n_accounts : 0);
}

static struct quota_account *charge_account_at(const struct quota_charge *c, size_t i)
{
    return i < c->user->n_accounts ? user_account_at(c->user, i) : c->job->accounts[i - c->user->n_accounts];
}

const char *const quota_limit_names[QUOTA_LIMIT_N] = {
    [QUOTA_LIMIT_BYTES] = "bytes",
    [QUOTA_LIMIT_REGIONS] = "regions",
    [QUOTA_LIMIT_CONNECTIONS] = "connections",
    [QUOTA_LIMIT_REGION_BYTES] = "region_bytes",
    [QUOTA_LIMIT_SOFT_BYTES] = "soft_bytes",
};

static int refuse(const struct quota_account *a, enum quota_limit which, enum quota_resource resource, uint64_t limit,
                  uint64_t used, uint64_t asked, struct quota_refusal *ret)
{
    *ret = (struct quota_refusal){
        .limit = limit, .used = used, .asked = asked, .resource = resource, .which = which, .account = a};
    snprintf(ret->limit_name, sizeof(ret->limit_name), "%s %s", quota_account_label(a), quota_limit_names[which]);
    return -EDQUOT;
}

void quota_charge_init(struct quota_charge *c, struct quota_user *user)
{
    *c = (struct quota_charge){.user = user};
    user->n_refs++;
}

void quota_charge_deinit(struct quota_charge *c)
{
    for (size_t r = 0; c->user && r < QUOTA_RESOURCE_N; r++)
        quota_charge_sub(c, (enum quota_resource)r, c->amount[r]);
    quota_user_unref(steal(&c->user));
    quota_job_unref(steal(&c->job));
}

void quota_charge_set_job(struct quota_charge *c, struct quota_job *job)
{
    for (size_t r = 0; r < QUOTA_RESOURCE_N; r++)
        assert(c->amount[r] == 0);
    if (job)
        job->n_refs++;
    quota_job_unref(c->job);
    c->job = job;
}

void quota_charge_set_tally(struct quota_charge *c, struct quota_tally *tally)
{
    for (size_t r = 0; r < QUOTA_RESOURCE_N; r++) {
        if (c->tally)
            c->tally->used[r] -= c->amount[r];
        if (tally)
            tally->used[r] += c->amount[r];
    }
    c->tally = tally;
}

void quota_count_refusal(const struct quota_refusal *refusal)
{
    struct quota_account *a = (struct quota_account *)refusal->account;

    if (!a)
        return;
    a->n_refusals[refusal->which]++;
    a->quota->n_refusals[a->kind][refusal->which]++;
}

uint64_t quota_account_refusals(const struct quota_account *a, enum quota_limit which)
{
    return a->n_refusals[which];
}

uint64_t quota_refusals(const struct quota *q, enum quota_kind kind, enum quota_limit which)
{
    return q->n_refusals[kind][which];
}

void quota_begin_count(struct quota *q)
{
    q->n_counts++;
}

void quota_count_charge(const struct quota_charge *c)
{
    for (size_t i = 0; c->user && i < charge_n_accounts(c); i++) {
        struct quota_account *a = charge_account_at(c, i);

        if (a->counted_in != a->quota->n_counts)
            a->n_counted = 0;
        a->counted_in = a->quota->n_counts;
        a->n_counted++;
    }
}

uint64_t quota_account_counted(const struct quota_account *a)
{
    return a->counted_in == a->quota->n_counts ? a->n_counted : 0;
}

bool quota_refusal_is_news(const struct quota_refusal *refusal)
{
    struct quota_account *a = (struct quota_account *)refusal->account;

    if (!a || a->refused[refusal->resource])
        return false;
    a->refused[refusal->resource] = true;
    return true;
}

// An account that has recovered is logged again the next time.
static void recover(struct quota_account *a, enum quota_resource resource)
{
    uint64_t max = a->limits.max[resource];

    if (a->refused[resource] && a->used[resource] <= max - max / 8)
        a->refused[resource] = false;
    // Further below the mark than a client that grows and shrinks around it.
    if (a->warned && a->used[QUOTA_BYTES] <= a->limits.warn_bytes - a->limits.warn_bytes / 8 &&
        a->used[QUOTA_BYTES] < a->limits.warn_bytes)
        a->warned = false;
}

static int add(struct quota_charge *c, enum quota_resource resource, uint64_t amount)
{
    uint64_t sum;

    // The total is the greatest of all sums: if it does not wrap, none does.
    if (!checked_add(c->user->quota->total.used[resource], amount, &sum))
        return -EOVERFLOW;
    for (size_t i = 0; i < charge_n_accounts(c); i++) {
        struct quota_account *a = charge_account_at(c, i);

        a->used[resource] += amount;
        if (a->limits.soft.is_set)
            quota_account_use_has_changed(a);
    }
    c->user->held[resource] += amount;
    if (c->job)
        c->job->held[resource] += amount;
    if (c->tally)
        c->tally->used[resource] += amount;
    c->amount[resource] += amount;
    return 0;
}

void quota_charge_tell(struct quota_charge *c)
{
    for (size_t i = 0; i < charge_n_accounts(c); i++)
        quota_account_tell(charge_account_at(c, i));
}

int quota_charge_force(struct quota_charge *c, enum quota_resource resource, uint64_t amount)
{
    return add(c, resource, amount);
}

int quota_charge_add(struct quota_charge *c, enum quota_resource resource, uint64_t amount, struct quota_refusal *ret)
{
    for (size_t i = 0; amount > 0 && i < charge_n_accounts(c); i++) {
        const struct quota_account *a = charge_account_at(c, i);
        uint64_t limit = a->limits.max[resource];

        if (resource == QUOTA_BYTES && quota_account_is_past_grace(a))
            return refuse(a, QUOTA_LIMIT_SOFT_BYTES, resource, a->limits.soft.bytes, a->used[resource], amount, ret);
        if (limit != QUOTA_UNLIMITED && amount > quota_account_left(a, resource))
            return refuse(a, (enum quota_limit)resource, resource, limit, a->used[resource], amount, ret);
    }
    return quota_charge_force(c, resource, amount);
}

uint64_t quota_early_part(uint64_t limit)
{
    return limit / 4 * 3 + limit % 4 * 3 / 4;
}

int quota_charge_add_early(struct quota_charge *c, enum quota_resource resource, uint64_t amount, uint64_t size)
{
    for (size_t i = 0; i < charge_n_accounts(c); i++) {
        const struct quota_account *a = charge_account_at(c, i);
        uint64_t limit = a->limits.max[resource], most;

        if (resource == QUOTA_BYTES && a->limits.soft.is_set && a->limits.soft.bytes < limit)
            limit = a->limits.soft.bytes;
        most = quota_early_part(limit);
        if (limit != QUOTA_UNLIMITED && (amount > most || a->used[resource] > most - amount))
            return -EXFULL;
        if (a->limits.region_bytes != QUOTA_UNLIMITED && size > quota_early_part(a->limits.region_bytes))
            return -EXFULL;
    }
    return add(c, resource, amount);
}

void quota_charge_sub(struct quota_charge *c, enum quota_resource resource, uint64_t amount)
{
    assert(amount <= c->amount[resource]);
    for (size_t i = 0; i < charge_n_accounts(c); i++) {
        struct quota_account *a = charge_account_at(c, i);

        a->used[resource] -= amount;
        if (a->refused[resource] || a->warned)
            recover(a, resource);
        if (a->is_over)
            quota_account_use_has_changed(a);
    }
    c->user->held[resource] -= amount;
    if (c->job)
        c->job->held[resource] -= amount;
    if (c->tally)
        c->tally->used[resource] -= amount;
    c->amount[resource] -= amount;
}

int quota_check_region_size(const struct quota_charge *c, uint64_t old_size, uint64_t new_size,
                            struct quota_refusal *ret)
{
    for (size_t i = 0; new_size > old_size && i < charge_n_accounts(c); i++) {
        const struct quota_account *a = charge_account_at(c, i);
        int r;

        if (new_size <= a->limits.region_bytes)
            continue;
        r = refuse(a, QUOTA_LIMIT_REGION_BYTES, QUOTA_BYTES, a->limits.region_bytes, old_size, new_size - old_size,
                   ret);
        ret->of_one_region = true;
        return r;
    }
    return 0;
}

uint64_t quota_charge_left(const struct quota_charge *c, enum quota_resource resource)
{
    uint64_t least = UINT64_MAX;

    for (size_t i = 0; i < charge_n_accounts(c); i++) {
        uint64_t left = quota_account_left(charge_account_at(c, i), resource);

        if (left < least)
            least = left;
    }
    return least;
}

uint64_t quota_charge_region_max(const struct quota_charge *c)
{
    uint64_t least = QUOTA_UNLIMITED;

    for (size_t i = 0; i < charge_n_accounts(c); i++)
        least = u64_min(least, quota_account_region_max(charge_account_at(c, i)));
    return least;
}

bool quota_charge_counts_in(const struct quota_charge *c, const struct quota_account *a)
{
    for (size_t i = 0; i < charge_n_accounts(c); i++)
        if (charge_account_at(c, i) == a)
            return true;
    return false;
}
