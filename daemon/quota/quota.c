// The accounts and the users they belong to: found by hashing their numbers.
#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/quota/quota.h"
#include "daemon/quota/quota_internal.h"
#include "proto/util/container.h"

enum { BUCKETS_FIRST = 64 };

static const struct quota_limits no_limits = {
    .max = {QUOTA_UNLIMITED, QUOTA_UNLIMITED, QUOTA_UNLIMITED},
    .region_bytes = QUOTA_UNLIMITED,
    .warn_bytes = QUOTA_UNLIMITED,
};

static struct quota_account **table_bucket(const struct table *t, uint32_t id)
{
    return &t->buckets[((id * UINT64_C(0x9e3779b97f4a7c15)) >> 32) & (t->n_buckets - 1)];
}

static struct quota_account *table_find(const struct table *t, uint32_t id)
{
    struct quota_account *a = *table_bucket(t, id);

    while (a && a->id != id)
        a = a->next;
    return a;
}

static void table_link(struct table *t, struct quota_account *a)
{
    struct quota_account **bucket = table_bucket(t, a->id);

    a->next = *bucket;
    *bucket = a;
}

// Without memory for it the table stays as it is, and is only slower.
static void table_grow(struct table *t)
{
    struct table bigger = {.n_buckets = 2 * t->n_buckets, .n = t->n};

    bigger.buckets = calloc(bigger.n_buckets, sizeof(*bigger.buckets));
    if (!bigger.buckets)
        return;
    for (size_t i = 0; i < t->n_buckets; i++)
        for (struct quota_account *a = t->buckets[i], *next; a; a = next) {
            next = a->next;
            table_link(&bigger, a);
        }
    free(t->buckets);
    *t = bigger;
}

static void table_insert(struct table *t, struct quota_account *a)
{
    if (t->n >= t->n_buckets)
        table_grow(t);
    table_link(t, a);
    t->n++;
}

static void table_remove(struct table *t, struct quota_account *a)
{
    struct quota_account **at = table_bucket(t, a->id);

    while (*at != a)
        at = &(*at)->next;
    *at = a->next;
    t->n--;
}

static void account_init(struct quota_account *a, const char *kind, uint32_t id)
{
    a->id = id;
    a->limits = no_limits;
    snprintf(a->label, sizeof(a->label), "%s:+%u", kind, id);
}

static void account_assert_zero(const struct quota_account *a)
{
    for (size_t r = 0; r < QUOTA_RESOURCE_N; r++)
        assert(a->used[r] == 0);
    (void)a;
}

struct quota *quota_new(void)
{
    struct quota *q = calloc(1, sizeof(*q));

    if (!q)
        return NULL;
    q->users.n_buckets = q->groups.n_buckets = BUCKETS_FIRST;
    q->users.buckets = calloc(BUCKETS_FIRST, sizeof(struct quota_account *));
    q->groups.buckets = calloc(BUCKETS_FIRST, sizeof(struct quota_account *));
    if (!q->users.buckets || !q->groups.buckets) {
        free(q->groups.buckets);
        free(q->users.buckets);
        free(q);
        return NULL;
    }
    quota_account_set(&q->total, "total", &no_limits);
    return q;
}

void quota_free(struct quota *q)
{
    if (!q)
        return;
    assert(q->users.n == 0);
    account_assert_zero(&q->total);
    for (size_t i = 0; i < q->groups.n_buckets; i++)
        for (struct quota_account *a = q->groups.buckets[i], *next; a; a = next) {
            next = a->next;
            account_assert_zero(a);
            free(a);
        }
    free(q->groups.buckets);
    free(q->users.buckets);
    free(q);
}

struct quota_account *quota_total(struct quota *q)
{
    return &q->total;
}

struct quota_account *quota_find_group(struct quota *q, gid_t gid)
{
    return table_find(&q->groups, gid);
}

struct quota_account *quota_group(struct quota *q, gid_t gid)
{
    struct quota_account *a = quota_find_group(q, gid);

    if (!a && (a = calloc(1, sizeof(*a)))) {
        account_init(a, "group", gid);
        table_insert(&q->groups, a);
    }
    return a;
}

void quota_account_set(struct quota_account *a, const char *label, const struct quota_limits *limits)
{
    size_t n = strlen(label);

    if (n >= sizeof(a->label)) {
        n = sizeof(a->label) - 1;
        while (n > 0 && ((unsigned char)label[n] & 0xc0) == 0x80) // a UTF-8 character is kept or dropped as a whole
            n--;
    }
    memmove(a->label, label, n);
    a->label[n] = '\0';
    // What was told of other limits has to be told again.
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
    return a->label;
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
    struct quota_account *own = table_find(&q->users, uid);

    return own ? container_of(own, struct quota_user, own) : NULL;
}

struct quota_user *quota_user_ref(struct quota *q, uid_t uid)
{
    struct quota_user *u = quota_find_user(q, uid);

    if (!u) {
        u = calloc(1, sizeof(*u));
        if (!u)
            return NULL;
        account_init(&u->own, "user", uid);
        u->quota = q;
        u->n_accounts = 2;
        table_insert(&q->users, &u->own);
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
    account_assert_zero(&u->own);
    table_remove(&u->quota->users, &u->own);
    free(u->groups);
    free(u);
}

struct quota *quota_of_user(const struct quota_user *u)
{
    return u->quota;
}

uid_t quota_user_uid(const struct quota_user *u)
{
    return u->own.id;
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
            u->groups[i]->used[r] -= u->own.used[r];
        for (size_t i = 0; i < n_copy; i++)
            copy[i]->used[r] += u->own.used[r];
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

void quota_on_warning(struct quota *q, quota_warning_fn fn, void *data)
{
    q->warning = fn;
    q->warning_data = data;
}
