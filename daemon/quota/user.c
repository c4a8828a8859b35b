// Users: each has an account of its own, and counts in those of its groups and in the total.
#include <assert.h>
#include <errno.h>
#include <stdlib.h>

#include "daemon/quota/quota.h"
#include "daemon/quota/quota_internal.h"
#include "proto/util/checked.h"
#include "proto/util/container.h"

struct quota_user *quota_find_user(struct quota *q, uid_t uid)
{
    struct quota_account *own = quota_find_account(&q->users, uid);

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
        quota_account_init(&u->own, q, QUOTA_KIND_USER, "user:+%u", uid);
        u->quota = q;
        u->n_accounts = 2;
        quota_insert_account(&q->users, &u->own);
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
    quota_remove_account(&u->quota->users, &u->own);
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
    for (size_t i = 0; i < u->n_groups; i++)
        quota_account_use_has_changed(u->groups[i]);
    for (size_t i = 0; i < n_copy; i++)
        quota_account_use_has_changed(copy[i]);
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

uint64_t quota_user_region_max(const struct quota_user *u)
{
    uint64_t least = QUOTA_UNLIMITED;

    for (size_t i = 0; i < u->n_accounts; i++)
        least = u64_min(least, quota_account_region_max(user_account_at(u, i)));
    return least;
}

bool quota_user_counts_in(const struct quota_user *u, const struct quota_account *a)
{
    for (size_t i = 0; i < u->n_accounts; i++)
        if (user_account_at(u, i) == a)
            return true;
    return false;
}
