// What quota.c (charges) and quota_account.c (accounts) share.
#pragma once
#include "daemon/quota/quota.h"

enum { LABEL_SIZE = 51 }; // with the longest resource's name behind it, it fits a refusal's limit_name

struct quota_account {
    struct quota_account *next; // in its bucket
    uint32_t id;
    uint64_t used[QUOTA_RESOURCE_N];
    struct quota_limits limits;
    bool refused[QUOTA_RESOURCE_N], warned; // the administrator was told
    char label[LABEL_SIZE];
};

struct quota_user {
    struct quota *quota;
    size_t n_refs;
    struct quota_account **groups;
    size_t n_groups;
    size_t n_accounts;        // its own, the groups', the total
    struct quota_account own; // last: what a charge touches lies together, the label behind it
};

struct table {
    struct quota_account **buckets;
    size_t n_buckets; // a power of two
    size_t n;
};

struct quota {
    struct quota_account total;
    struct table users, groups;
    quota_warning_fn warning;
    void *warning_data;
};

// All accounts that a user's charges fall on, in the order in which they are asked.
static inline struct quota_account *user_account_at(const struct quota_user *u, size_t i)
{
    if (i == 0)
        return (struct quota_account *)&u->own;
    return i <= u->n_groups ? u->groups[i - 1] : &u->quota->total;
}
