// The accounts and the users they belong to, in trees by their numbers.
#include <assert.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/quota/quota.h"
#include "daemon/quota/quota_internal.h"
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

// The branches are those of functions of libbsd, of which only a few are called.
TREE_GENERATE(quota_accounts, quota_account, node, compare_ids) // GCOVR_EXCL_BR_LINE

static struct quota_account *find_account(const struct quota_accounts *accounts, uint32_t id)
{
    struct quota_account wanted = {.id = id};

    return RB_FIND(quota_accounts, (struct quota_accounts *)accounts, &wanted);
}

void quota_account_init(struct quota_account *a, const char *format, ...)
{
    va_list args;

    a->limits = no_limits;
    va_start(args, format);
    if (vasprintf(&a->label, format, args) < 0)
        a->label = NULL;
    va_end(args);
    if (a->label)
        a->label[utf8_cut(a->label, LABEL_MAX)] = '\0';
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
    quota_account_set(&q->total, "total", &no_limits);
    quota_account_set(&q->unlisted, "unlisted", &no_limits);
    return q;
}

void quota_free(struct quota *q)
{
    struct quota_account *a;

    if (!q)
        return;
    assert(RB_EMPTY(&q->users));
    while ((a = RB_ROOT(&q->groups))) {
        RB_REMOVE(quota_accounts, &q->groups, a);
        quota_account_deinit(a);
        free(a);
    }
    quota_free_cgroups(q);
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

struct quota_account *quota_find_group(struct quota *q, gid_t gid)
{
    return find_account(&q->groups, gid);
}

struct quota_account *quota_group(struct quota *q, gid_t gid)
{
    struct quota_account *a = quota_find_group(q, gid);

    if (!a && (a = calloc(1, sizeof(*a)))) {
        a->id = gid;
        quota_account_init(a, "group:+%u", gid);
        RB_INSERT(quota_accounts, &q->groups, a);
    }
    return a;
}

void quota_account_set(struct quota_account *a, const char *label, const struct quota_limits *limits)
{
    char *copy = strndup(label, utf8_cut(label, LABEL_MAX));

    if (copy) {
        free(a->label);
        a->label = copy;
    }
    // The administrator was told about the old limits: about the new ones nobody was told yet.
    if (memcmp(&a->limits, limits, sizeof(*limits)) != 0)
        memset(a->refused, 0, sizeof(a->refused));
    a->warned = a->warned && a->used[QUOTA_BYTES] >= limits->warn_bytes;
    a->limits = *limits;
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

    return used < max ? max - used : 0;
}

struct quota_user *quota_find_user(struct quota *q, uid_t uid)
{
    struct quota_account *own = find_account(&q->users, uid);

    return own ? container_of(own, struct quota_user, own) : NULL;
}

struct quota_user *quota_user_ref(struct quota *q, uid_t uid)
{
    struct quota_user *u = quota_find_user(q, uid);

    if (!u) {
        u = calloc(1, sizeof(*u));
        if (!u)
            return NULL;
        u->own.id = uid;
        quota_account_init(&u->own, "user:+%u", uid);
        u->quota = q;
        u->n_accounts = 2;
        RB_INSERT(quota_accounts, &q->users, &u->own);
    }
    u->n_refs++;
    return u;
}

void quota_user_unref(struct quota_user *u)
{
    if (!u)
        return;
    assert(u->n_refs > 0);
    if (--u->n_refs > 0)
        return;
    RB_REMOVE(quota_accounts, &u->quota->users, &u->own);
    quota_account_deinit(&u->own);
    free(u->groups);
    free(u);
}

uid_t quota_user_uid(const struct quota_user *u)
{
    return u->own.id;
}

uint64_t quota_user_used(const struct quota_user *u, enum quota_resource resource)
{
    return u->held[resource];
}

struct quota_account *quota_user_account(struct quota_user *u)
{
    return &u->own;
}

static bool contains(struct quota_account *const *accounts, size_t n, const struct quota_account *a)
{
    for (size_t i = 0; i < n; i++)
        if (accounts[i] == a)
            return true;
    return false;
}

int quota_user_set_groups(struct quota_user *u, struct quota_account *const *groups, size_t n)
{
    struct quota_account **copy = calloc(n + 1, sizeof(struct quota_account *));
    size_t n_copy = 0;

    if (!copy)
        return -ENOMEM;
    for (size_t i = 0; i < n; i++)
        if (!contains(copy, n_copy, groups[i]))
            copy[n_copy++] = groups[i];
    for (size_t r = 0; r < QUOTA_RESOURCE_N; r++) {
        for (size_t i = 0; i < u->n_groups; i++)
            u->groups[i]->used[r] -= u->held[r];
        for (size_t i = 0; i < n_copy; i++)
            copy[i]->used[r] += u->held[r];
    }
    free(u->groups);
    u->groups = copy;
    u->n_groups = n_copy;
    u->n_accounts = n_copy + 2;
    return 0;
}

uint64_t quota_user_left(const struct quota_user *u, enum quota_resource resource)
{
    uint64_t least = UINT64_MAX;

    for (size_t i = 0; i < u->n_accounts; i++) {
        uint64_t left = quota_account_left(user_account_at(u, i), resource);

        if (left < least)
            least = left;
    }
    return least;
}

bool quota_user_counts_in(const struct quota_user *u, const struct quota_account *a)
{
    for (size_t i = 0; i < u->n_accounts; i++)
        if (user_account_at(u, i) == a)
            return true;
    return false;
}

struct quota_told *quota_account_told(struct quota_account *a)
{
    return &a->told;
}

void quota_on_warning(struct quota *q, quota_warning_fn fn, void *data)
{
    q->warning = fn;
    q->warning_data = data;
}
