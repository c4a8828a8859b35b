// Which accounts are shown: see accounts.h.
//
// For administrators: one pass over the users, the groups and the control groups, each some 100 ns, and one over the
// operations that wait.  A user can have very many of these, and may ask for the metrics as often as for anything else.
// So what others see takes no such pass.
// Of each kind the accounts with most bytes are kept, in a list that is sorted while it is filled.  The sum of all
// other users is shown as one; groups overlap, so that a sum of groups would mean nothing.
#include "daemon/metrics/accounts.h"

#include <string.h>

#include "daemon/account.h"
#include "daemon/config/config.h"
#include "daemon/metrics/source.h"
#include "daemon/op/env.h"
#include "daemon/op/wait.h"
#include "daemon/quota/charge.h"
#include "daemon/user.h"

const char *const account_kind_names[QUOTA_KIND_N + 1] = {
    [QUOTA_KIND_TOTAL] = "total", [QUOTA_KIND_UNLISTED] = "unlisted", [QUOTA_KIND_USER] = "user",
    [QUOTA_KIND_GROUP] = "group", [QUOTA_KIND_CGROUP] = "cgroup",     [QUOTA_KIND_N] = "other_users",
};

// The accounts of one kind with most bytes, the largest first.
struct top {
    const struct quota_account *items[ACCOUNTS_OF_A_KIND];
    size_t n, most;
    uint64_t n_seen;
};

static void top_offer(struct top *t, const struct quota_account *a)
{
    const uint64_t bytes = quota_account_used(a, QUOTA_BYTES);
    size_t i;

    t->n_seen++;
    if (t->n == t->most && bytes <= quota_account_used(t->items[t->n - 1], QUOTA_BYTES))
        return;
    if (t->n < t->most)
        t->n++;
    for (i = t->n - 1; i > 0 && bytes > quota_account_used(t->items[i - 1], QUOTA_BYTES); i--)
        t->items[i] = t->items[i - 1];
    t->items[i] = a;
}

// The label of an account is KIND:NAME.
static const char *name_of(const struct quota_account *a)
{
    const char *colon = strchr(quota_account_label(a), ':');

    return colon ? colon + 1 : "";
}

static struct shown_account *add(struct shown_accounts *all, enum quota_kind kind, const char *name)
{
    struct shown_account *item = &all->items[all->n++];

    *item = (struct shown_account){.kind = kind, .name = name};
    return item;
}

static void show(struct shown_accounts *all, const struct quota_account *a)
{
    struct shown_account *item = add(all, quota_account_kind(a), name_of(a));

    item->account = a;
    for (int r = 0; r < QUOTA_RESOURCE_N; r++)
        item->used[r] = quota_account_used(a, (enum quota_resource)r);
    item->waiters = quota_account_counted(a);
}

static void show_top(struct shown_accounts *all, const struct top *t, enum quota_kind kind)
{
    for (size_t i = 0; i < t->n; i++)
        show(all, t->items[i]);
    all->hidden[kind] = t->n_seen - t->n;
}

static void show_kind(const struct metrics_source *s, enum quota_kind kind, struct shown_accounts *all)
{
    struct top top = {.most = ACCOUNTS_OF_A_KIND};

    for (struct quota_account *a = NULL; (a = quota_next_account_of(s->quota, kind, a));)
        top_offer(&top, a);
    show_top(all, &top, kind);
}

static bool is_shown(const struct shown_accounts *all, const struct quota_account *a)
{
    for (size_t i = 0; i < all->n; i++)
        if (all->items[i].account == a)
            return true;
    return false;
}

// A uid that is lent, or that the user database does not know, counts in the account of somebody else.
static bool has_own_account(const struct user *u)
{
    return account_of(u) == quota_user_account(u->quota);
}

// The own account of the user of that section; NULL: there is no such user here, or no account of its own.
static const struct quota_account *account_of_subject(const struct metrics_source *s,
                                                      const struct config_subject *subject)
{
    const struct user *u = NULL;

    if (subject->kind == CONFIG_USER && subject->known)
        u = user_from(s->users, subject->id);
    return u && u->uid == subject->id && has_own_account(u) ? quota_user_account(u->quota) : NULL;
}

// Users with a section of their own that the list of the largest has left out.
static void show_configured(const struct metrics_source *s, struct shown_accounts *all)
{
    unsigned n = 0;

    for (size_t i = 0; i < s->config->n_subjects && n < ACCOUNTS_CONFIGURED; i++) {
        const struct quota_account *a = account_of_subject(s, s->config->subjects[i]);

        if (!a || is_shown(all, a))
            continue;
        show(all, a);
        all->hidden[QUOTA_KIND_USER]--;
        n++;
    }
}

static void subtract(struct shown_account *rest, const struct shown_account *shown)
{
    for (int r = 0; r < QUOTA_RESOURCE_N; r++)
        rest->used[r] -= shown->used[r];
    rest->waiters -= shown->waiters;
}

static void show_users(const struct metrics_source *s, struct shown_accounts *all)
{
    struct top top = {.most = ACCOUNTS_OF_USERS};
    struct shown_account rest = {.kind = QUOTA_KIND_N, .name = ""};
    const size_t first = all->n;

    for (const struct user *u = NULL; (u = user_next(s->users, u));) {
        const struct quota_account *a = quota_user_account(u->quota);

        if (!has_own_account(u)) {
            all->n_unlisted += account_of(u) == quota_unlisted(s->quota);
            continue;
        }
        top_offer(&top, a);
        for (int r = 0; r < QUOTA_RESOURCE_N; r++)
            rest.used[r] += quota_account_used(a, (enum quota_resource)r);
        rest.waiters += quota_account_counted(a);
    }
    all->n_users = top.n_seen;
    show_top(all, &top, QUOTA_KIND_USER);
    if (all->hidden[QUOTA_KIND_USER] == 0)
        return;
    show_configured(s, all);
    for (size_t i = first; i < all->n; i++)
        subtract(&rest, &all->items[i]);
    if (all->hidden[QUOTA_KIND_USER] > 0)
        *add(all, QUOTA_KIND_N, "") = rest;
}

void accounts_collect(const struct metrics_source *s, struct shown_accounts *ret)
{
    memset(ret, 0, sizeof *ret);
    quota_begin_count(s->quota);
    wait_count_charges(s->op->wait);
    ret->n_waiting = quota_account_counted(quota_total(s->quota));
    show(ret, quota_total(s->quota));
    show(ret, quota_unlisted(s->quota));
    show_users(s, ret);
    show_kind(s, QUOTA_KIND_GROUP, ret);
    show_kind(s, QUOTA_KIND_CGROUP, ret);
}

// Without a look at each operation that waits.
static void show_for_viewer(const struct metrics_source *s, struct shown_accounts *all, const struct quota_account *a)
{
    show(all, a);
    all->items[all->n - 1].waiters = wait_count(s->op->wait, a);
}

void accounts_collect_for(const struct metrics_source *s, const struct user *viewer, struct shown_accounts *ret)
{
    const struct quota_account *a = account_of(viewer);

    memset(ret, 0, sizeof *ret);
    show_for_viewer(s, ret, quota_total(s->quota));
    ret->n_waiting = ret->items[0].waiters;
    if (has_own_account(viewer) || a == quota_unlisted(s->quota))
        show_for_viewer(s, ret, a);
}
