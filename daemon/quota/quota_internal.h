// Charges, accounts and users: shared by charge.c and quota.c.
#pragma once
#include "daemon/quota/charge.h"
#include "daemon/quota/quota.h"
#include "daemon/tree.h"

enum {
    LABEL_MAX = QUOTA_LIMIT_NAME_SIZE - 14
}; // bytes: with the longest name of a resource behind it, a label fits limit_name

// The fields that a charge touches come first, so that they share cache lines.
struct quota_account {
    uint64_t used[QUOTA_RESOURCE_N]; // bytes or counts: the sum of the charges of all its users
    struct quota_limits limits;
    bool refused[QUOTA_RESOURCE_N], warned; // a refusal, or the mark, was logged: not again until it is news
    struct quota_told told;
    bool is_of_cgroup;
    uint32_t id;                  // uid or gid
    char *label;                  // at most LABEL_MAX bytes; NULL: there was no memory
    RB_ENTRY(quota_account) node; // in users or groups of struct quota
};

struct quota_user {
    struct quota *quota;
    size_t n_refs;
    struct quota_account **groups; // and other shared accounts, see quota_user_set_groups
    size_t n_groups;
    size_t n_accounts;               // how many accounts the user's charges count in
    uint64_t held[QUOTA_RESOURCE_N]; // the sum of this user's charges; OWN may hold charges of other users as well
    struct quota_account own;        // last, so that the fields that a charge touches lie together
};

RB_HEAD(quota_accounts, quota_account);

// A configured control group.
struct quota_cgroup {
    struct quota_account account;
    char *path;
    RB_ENTRY(quota_cgroup) node;
};
RB_HEAD(quota_cgroups, quota_cgroup);

struct quota_job {
    struct quota *quota;
    size_t n_refs;
    struct quota_account **accounts; // of control groups
    size_t n_accounts;
    uint64_t held[QUOTA_RESOURCE_N]; // the sum of the job's charges
    char *path;                      // of the control group
    RB_ENTRY(quota_job) node;
};
RB_HEAD(quota_jobs, quota_job);

struct quota {
    struct quota_account total, unlisted;
    struct quota_accounts users, groups;
    struct quota_cgroups cgroups;
    struct quota_jobs jobs;
    quota_warning_fn warning;
    void *warning_data;
};

// Limits nothing.  The arguments make its label.
__attribute__((format(printf, 2, 3))) void quota_account_init(struct quota_account *a, const char *format, ...);
void quota_account_deinit(struct quota_account *a); // asserts that nothing is used
void quota_free_cgroups(struct quota *q);

// All accounts that a user's charges fall on, in the order in which they are asked.
static inline struct quota_account *user_account_at(const struct quota_user *u, size_t i)
{
    if (i == 0)
        return (struct quota_account *)&u->own;
    return i <= u->n_groups ? u->groups[i - 1] : &u->quota->total;
}

// All accounts that a charge falls on: those of its user, then those of its job.
static inline size_t charge_n_accounts(const struct quota_charge *c)
{
    return c->user->n_accounts + (c->job ? c->job->n_accounts : 0);
}

static inline struct quota_account *charge_account_at(const struct quota_charge *c, size_t i)
{
    return i < c->user->n_accounts ? user_account_at(c->user, i) : c->job->accounts[i - c->user->n_accounts];
}
