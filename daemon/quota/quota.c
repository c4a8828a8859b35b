// The accounts, in trees by the numbers of users and groups, or by the path of a control group.
//
// An account knows since when it has been above its soft limit: whatever changes the account's use or its limits calls
// quota_account_use_has_changed.  The grace period counts from then on, whatever else happens above the limit.
#include <assert.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/quota/quota.h"
#include "daemon/quota/quota_internal.h"
#include "proto/util/checked.h"
#include "proto/util/cleanup.h"
#include "proto/util/container.h"
#include "proto/util/text.h"

static const struct quota_limits no_limits = {
    .max = {QUOTA_UNLIMITED, QUOTA_UNLIMITED, QUOTA_UNLIMITED},
    .region_bytes = QUOTA_UNLIMITED,
    .warn_bytes = QUOTA_UNLIMITED,
};

static int compare_ids(const struct quota_account *a, const struct quota_account *b)
{
    return (a->id > b->id) - (a->id < b->id);
}

static int compare_cgroups(const struct quota_cgroup *a, const struct quota_cgroup *b)
{
    return strcmp(a->path, b->path);
}

// The branches are those of functions of libbsd, of which only a few are called.
TREE_GENERATE(quota_cgroups, quota_cgroup, node, compare_cgroups) // GCOVR_EXCL_BR_LINE
TREE_GENERATE(quota_accounts, quota_account, node, compare_ids)   // GCOVR_EXCL_BR_LINE

struct quota_account *quota_find_account(const struct quota_accounts *accounts, uint32_t id)
{
    struct quota_account wanted = {.id = id};

    return RB_FIND(quota_accounts, (struct quota_accounts *)accounts, &wanted);
}

void quota_insert_account(struct quota_accounts *accounts, struct quota_account *a)
{
    RB_INSERT(quota_accounts, accounts, a);
}

void quota_remove_account(struct quota_accounts *accounts, struct quota_account *a)
{
    RB_REMOVE(quota_accounts, accounts, a);
}

void quota_account_use_has_changed(struct quota_account *a)
{
    bool over = a->limits.soft.is_set && a->used[QUOTA_BYTES] > a->limits.soft.bytes;

    if (over == a->is_over)
        return;
    a->is_over = over;
    a->soft_told = false;
    a->over_since = over ? a->quota->now : 0;
    a->quota->n_over_changes++;
}

uint64_t quota_account_grace_ends(const struct quota_account *a)
{
    uint64_t end;

    if (!a->is_over)
        return 0;
    return checked_add(a->over_since, a->limits.soft.grace, &end) ? end : UINT64_MAX;
}

bool quota_account_is_past_grace(const struct quota_account *a)
{
    return a->is_over && a->quota->now >= quota_account_grace_ends(a);
}

void quota_account_init(struct quota_account *a, struct quota *q, enum quota_kind kind, const char *format, ...)
{
    va_list args;

    a->quota = q;
    a->kind = kind;
    a->limits = no_limits;
    va_start(args, format);
    if (vasprintf(&a->label, format, args) < 0)
        a->label = NULL;
    va_end(args);
    if (a->label)
        a->label[utf8_cut(a->label, LABEL_MAX)] = '\0';
}

struct quota_account *quota_first_account(const struct quota_accounts *accounts)
{
    return RB_MIN(quota_accounts, (struct quota_accounts *)accounts);
}

struct quota_account *quota_next_account(struct quota_account *a)
{
    return RB_NEXT(quota_accounts, NULL, a);
}

void quota_account_deinit(struct quota_account *a)
{
    for (size_t r = 0; r < QUOTA_RESOURCE_N; r++)
        assert(a->used[r] == 0);
    free(a->label);
}

struct quota *quota_new(void)
{
    struct quota *q = calloc(1, sizeof(*q));

    if (!q)
        return NULL;
    RB_INIT(&q->users);
    RB_INIT(&q->groups);
    RB_INIT(&q->cgroups);
    RB_INIT(&q->jobs);
    quota_account_init(&q->total, q, QUOTA_KIND_TOTAL, "total");
    quota_account_init(&q->unlisted, q, QUOTA_KIND_UNLISTED, "unlisted");
    return q;
}

static void free_cgroups(struct quota *q)
{
    struct quota_cgroup *g;

    while ((g = RB_ROOT(&q->cgroups))) {
        RB_REMOVE(quota_cgroups, &q->cgroups, g);
        quota_account_deinit(&g->account);
        free(g->path);
        free(g);
    }
}

void quota_free(struct quota *q)
{
    struct quota_account *a;

    if (!q)
        return;
    assert(RB_EMPTY(&q->users) && RB_EMPTY(&q->jobs));
    while ((a = RB_ROOT(&q->groups))) {
        RB_REMOVE(quota_accounts, &q->groups, a);
        quota_account_deinit(a);
        free(a);
    }
    free_cgroups(q);
    quota_account_deinit(&q->total);
    quota_account_deinit(&q->unlisted);
    free(q);
}

struct quota_account *quota_total(struct quota *q)
{
    return &q->total;
}

struct quota_account *quota_unlisted(struct quota *q)
{
    return &q->unlisted;
}

static struct quota_account *if_configured(struct quota_account *a)
{
    return a && a->is_configured ? a : NULL;
}

struct quota_account *quota_find_group(struct quota *q, gid_t gid)
{
    return if_configured(quota_find_account(&q->groups, gid));
}

static struct quota_cgroup *find_cgroup(struct quota *q, const char *path)
{
    struct quota_cgroup wanted = {.path = (char *)path};

    return RB_FIND(quota_cgroups, &q->cgroups, &wanted);
}

struct quota_account *quota_find_cgroup(struct quota *q, const char *path)
{
    struct quota_cgroup *found = find_cgroup(q, path);

    return found ? if_configured(&found->account) : NULL;
}

struct quota_account *quota_cgroup(struct quota *q, const char *path)
{
    struct quota_cgroup *g = find_cgroup(q, path);
    _cleanup_free_ char *copy = NULL;

    if (!g) {
        copy = strdup(path);
        g = copy ? calloc(1, sizeof *g) : NULL;
        if (!g)
            return NULL;
        g->path = steal(&copy);
        quota_account_init(&g->account, q, QUOTA_KIND_CGROUP, "cgroup:%s", g->path);
        RB_INSERT(quota_cgroups, &q->cgroups, g);
    }
    g->account.is_configured = true;
    return &g->account;
}

struct quota_cgroup *quota_first_cgroup(struct quota *q)
{
    return RB_MIN(quota_cgroups, &q->cgroups);
}

struct quota_cgroup *quota_next_cgroup(struct quota_cgroup *g)
{
    return RB_NEXT(quota_cgroups, NULL, g);
}

bool quota_account_is_of_cgroup(const struct quota_account *a)
{
    return a->kind == QUOTA_KIND_CGROUP;
}

enum quota_kind quota_account_kind(const struct quota_account *a)
{
    return a->kind;
}

static struct quota_account *next_of_cgroup(struct quota *q, struct quota_account *after)
{
    struct quota_cgroup *g =
        after ? quota_next_cgroup(container_of(after, struct quota_cgroup, account)) : quota_first_cgroup(q);

    return g ? &g->account : NULL;
}

static struct quota_account *next_of_kind(struct quota *q, enum quota_kind kind, struct quota_account *after)
{
    if (kind == QUOTA_KIND_CGROUP)
        return next_of_cgroup(q, after);
    if (after)
        return quota_next_account(after);
    return quota_first_account(kind == QUOTA_KIND_USER ? &q->users : &q->groups);
}

struct quota_account *quota_next_account_of(struct quota *q, enum quota_kind kind, struct quota_account *after)
{
    struct quota_account *a = next_of_kind(q, kind, after);

    while (a && kind != QUOTA_KIND_USER && !a->is_configured)
        a = next_of_kind(q, kind, a);
    return a;
}

struct quota_account *quota_group(struct quota *q, gid_t gid)
{
    struct quota_account *a = quota_find_account(&q->groups, gid);

    if (!a && (a = calloc(1, sizeof(*a)))) {
        a->id = gid;
        quota_account_init(a, q, QUOTA_KIND_GROUP, "group:+%u", gid);
        RB_INSERT(quota_accounts, &q->groups, a);
    }
    if (a)
        a->is_configured = true;
    return a;
}

static const enum quota_kind configured_kinds[] = {QUOTA_KIND_GROUP, QUOTA_KIND_CGROUP};

void quota_begin_limits(struct quota *q)
{
    for (size_t i = 0; i < sizeof configured_kinds / sizeof *configured_kinds; i++)
        for (struct quota_account *a = NULL; (a = next_of_kind(q, configured_kinds[i], a));)
            a->is_configured = false;
}

void quota_end_limits(struct quota *q)
{
    for (size_t i = 0; i < sizeof configured_kinds / sizeof *configured_kinds; i++) {
        for (struct quota_account *a = NULL; (a = next_of_kind(q, configured_kinds[i], a));) {
            if (a->is_configured)
                continue;
            a->limits = no_limits;
            quota_account_use_has_changed(a);
        }
    }
}

static bool limits_equal(const struct quota_limits *a, const struct quota_limits *b)
{
    return memcmp(a->max, b->max, sizeof a->max) == 0 && a->region_bytes == b->region_bytes &&
           a->warn_bytes == b->warn_bytes && a->soft.is_set == b->soft.is_set && a->soft.bytes == b->soft.bytes &&
           a->soft.grace == b->soft.grace;
}

void quota_account_set(struct quota_account *a, const char *label, const struct quota_limits *limits)
{
    char *copy = strndup(label, utf8_cut(label, LABEL_MAX));

    if (copy) {
        free(a->label);
        a->label = copy;
    }
    // The administrator was told about the old limits: about the new ones nobody was told yet.
    if (!limits_equal(&a->limits, limits))
        memset(a->refused, 0, sizeof(a->refused));
    a->warned = a->warned && a->used[QUOTA_BYTES] >= limits->warn_bytes;
    a->limits = *limits;
    quota_account_use_has_changed(a);
}

const struct quota_limits *quota_account_limits(const struct quota_account *a)
{
    return &a->limits;
}

const char *quota_account_label(const struct quota_account *a)
{
    return a->label ? a->label : "account";
}

uint64_t quota_account_used(const struct quota_account *a, enum quota_resource resource)
{
    return a->used[resource];
}

uint64_t quota_account_left(const struct quota_account *a, enum quota_resource resource)
{
    uint64_t max = a->limits.max[resource], used = a->used[resource];

    if (resource == QUOTA_BYTES && quota_account_is_past_grace(a))
        return 0;
    return used < max ? max - used : 0;
}

uint64_t quota_account_region_max(const struct quota_account *a)
{
    return a->limits.region_bytes;
}

struct quota_told *quota_account_told(struct quota_account *a)
{
    return &a->told;
}

static bool warn(struct quota_account *a, enum quota_mark mark)
{
    const struct quota *q = a->quota;

    return !q->warning || q->warning(q->warning_data, a, mark);
}

void quota_account_tell(struct quota_account *a)
{
    if (a->used[QUOTA_BYTES] >= a->limits.warn_bytes && !a->warned)
        a->warned = warn(a, QUOTA_MARK_WARN);
    if (a->is_over && !a->soft_told)
        a->soft_told = warn(a, QUOTA_MARK_SOFT);
}

void quota_on_warning(struct quota *q, quota_warning_fn fn, void *data)
{
    q->warning = fn;
    q->warning_data = data;
}
