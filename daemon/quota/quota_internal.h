// Charges, accounts and users: shared by the files of this folder.
#pragma once
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
    struct quota *quota;
    enum quota_kind kind;
    bool is_over, soft_told; // above the soft limit; and that was told
    bool is_configured;      // of groups and control groups only: see quota_begin_limits
    uint64_t over_since;     // seconds since 1970
    uint32_t id;             // uid or gid
    uint64_t n_refusals[QUOTA_LIMIT_N];
    uint64_t n_counted, counted_in; // charge.c's: see quota_count_charge
    char *label;                    // at most LABEL_MAX bytes; NULL: there was no memory
    RB_ENTRY(quota_account) node;   // in users or groups of struct quota
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
    uint64_t now;            // seconds since 1970
    uint64_t n_over_changes; // see quota_over_changes
    uint64_t n_refusals[QUOTA_KIND_N][QUOTA_LIMIT_N];
    uint64_t n_counts; // times that quota_begin_count was called
    quota_warning_fn warning;
    void *warning_data;
};

// Limits nothing.  The arguments make its label.
__attribute__((format(printf, 4, 5))) void quota_account_init(struct quota_account *a, struct quota *q,
                                                              enum quota_kind kind, const char *format, ...);
void quota_account_deinit(struct quota_account *a); // asserts that nothing is used
struct quota_account *quota_find_account(const struct quota_accounts *accounts, uint32_t id); // or NULL
void quota_account_tell(struct quota_account *a); // warns of marks that it has reached, and of which nobody was told
void quota_insert_account(struct quota_accounts *accounts, struct quota_account *a);
void quota_remove_account(struct quota_accounts *accounts, struct quota_account *a);
struct quota_account *quota_first_account(const struct quota_accounts *accounts); // or NULL
struct quota_account *quota_next_account(struct quota_account *a);
struct quota_cgroup *quota_first_cgroup(struct quota *q);
struct quota_cgroup *quota_next_cgroup(struct quota_cgroup *g);

void quota_account_use_has_changed(struct quota_account *a); // or its limits have
bool quota_account_is_past_grace(const struct quota_account *a);

// All accounts that a user's charges fall on, in the order in which they are asked.
static inline struct quota_account *user_account_at(const struct quota_user *u, size_t i)
{
    if (i == 0)
        return (struct quota_account *)&u->own;
    return i <= u->n_groups ? u->groups[i - 1] : &u->quota->total;
}
