// Accounts and limits.  Pure: no I/O, no clock; one thread (the loop).  Charges: charge.h.
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

enum quota_resource {
    QUOTA_BYTES,
    QUOTA_REGIONS,
    QUOTA_CONNECTIONS,
    QUOTA_RESOURCE_N,
};

#define QUOTA_UNLIMITED UINT64_MAX

// The kinds of accounts, by the users that an account is the sum of.
enum quota_kind {
    QUOTA_KIND_TOTAL,
    QUOTA_KIND_UNLISTED,
    QUOTA_KIND_USER,
    QUOTA_KIND_GROUP,
    QUOTA_KIND_CGROUP,
    QUOTA_KIND_N,
};

// The limits that can refuse.
enum quota_limit {
    QUOTA_LIMIT_BYTES, // those of the resources have the numbers of the resources
    QUOTA_LIMIT_REGIONS,
    QUOTA_LIMIT_CONNECTIONS,
    QUOTA_LIMIT_REGION_BYTES,
    QUOTA_LIMIT_SOFT_BYTES,
    QUOTA_LIMIT_N,
};
extern const char *const quota_limit_names[QUOTA_LIMIT_N]; // as the keys of the configuration

enum { QUOTA_LIMIT_NAME_SIZE = 320 }; // bytes: for the longest names of users and groups

// A limit of the bytes, above which an account may be for a while.
struct quota_soft {
    bool is_set;
    uint64_t bytes;
    uint64_t grace; // seconds; UINT64_MAX: growth is never refused
};

struct quota_limits {
    uint64_t max[QUOTA_RESOURCE_N]; // bytes or counts; QUOTA_UNLIMITED: no limit
    uint64_t region_bytes;          // the largest size of one region
    uint64_t warn_bytes;
    struct quota_soft soft;
};

// Why a charge was refused; the numbers are bytes or counts, as the resource.
struct quota_refusal {
    char limit_name[QUOTA_LIMIT_NAME_SIZE]; // "user:alice bytes"
    uint64_t limit, used, asked;
    enum quota_resource resource;
    enum quota_limit which;              // if ACCOUNT is not NULL
    bool of_one_region;                  // region_bytes refused: waiting for other users does not help
    const struct quota_account *account; // the account that refused; NULL: none did
};

struct quota;         // all accounts
struct quota_account; // the total, one user's account, the sum over one group, or the account of the unlisted
struct quota_user;    // a user's account, and the other accounts that the user's charges count in; refcounted

struct quota *quota_new(void);
void quota_free(struct quota *q); // asserts that every account is zero and every reference was given back

struct quota_account *quota_total(struct quota *q);
struct quota_account *quota_unlisted(struct quota *q); // shared by the uids that the user database does not know
// The accounts of the group GID and of the control group PATH, found or made; they live as long as Q.  NULL: no memory.
struct quota_account *quota_group(struct quota *q, gid_t gid);
struct quota_account *quota_cgroup(struct quota *q, const char *path);
struct quota_account *quota_find_cgroup(struct quota *q, const char *path); // or NULL
// The groups and control groups that have limits are named anew: those that quota_group and quota_cgroup are not asked
// for from begin to end have no limits any more, are not found, and are left out by quota_next_account_of.
void quota_begin_limits(struct quota *q);
void quota_end_limits(struct quota *q);
bool quota_account_is_of_cgroup(const struct quota_account *a);
enum quota_kind quota_account_kind(const struct quota_account *a);
// The next account of KIND (groups, control groups or users) after AFTER; NULL as AFTER: the first; NULL: no more.
struct quota_account *quota_next_account_of(struct quota *q, enum quota_kind kind, struct quota_account *after);
struct quota_account *quota_user_account(struct quota_user *u);
struct quota_user *quota_find_user(struct quota *q, uid_t uid);     // borrowed, or NULL
struct quota_account *quota_find_group(struct quota *q, gid_t gid); // or NULL

// LABEL, such as "user:alice", is copied; refusals and warnings name it.  Without memory for the copy, the account
// keeps its label.
void quota_account_set(struct quota_account *a, const char *label, const struct quota_limits *limits);
const struct quota_limits *quota_account_limits(const struct quota_account *a);
const char *quota_account_label(const struct quota_account *a);
uint64_t quota_account_used(const struct quota_account *a, enum quota_resource resource);
uint64_t quota_account_left(const struct quota_account *a,
                            enum quota_resource resource); // 0 if the account is over its limit

// When growth is refused unless A has been below its soft limit before, in seconds since 1970; 0: A is not above it;
// UINT64_MAX: never.
uint64_t quota_account_grace_ends(const struct quota_account *a);

struct quota_user *quota_user_ref(struct quota *q, uid_t uid); // found or made; NULL: no memory
void quota_user_unref(struct quota_user *u);
uid_t quota_user_uid(const struct quota_user *u);
// The sum of this user's charges.  It is less than the use of the user's own account if the charges of other users
// count there as well.
uint64_t quota_user_used(const struct quota_user *u, enum quota_resource resource);
// Sets the accounts that the user's charges count in beside the user's own and the total: groups, the account of the
// unlisted, or the own account of another user, which the caller keeps alive.  Present charges move from the old to
// the new ones, whatever their limits. 0; or -ENOMEM and nothing has changed.
int quota_user_set_groups(struct quota_user *u, struct quota_account *const *groups, size_t n);
// The most that one more charge could be: the least that is left in any of the user's accounts.
uint64_t quota_user_left(const struct quota_user *u, enum quota_resource resource);
uint64_t quota_account_region_max(const struct quota_account *a); // bytes of the largest region that A allows
uint64_t quota_user_region_max(const struct quota_user *u);       // and that all accounts of the user allow

bool quota_user_counts_in(const struct quota_user *u, const struct quota_account *a);

enum quota_mark {
    QUOTA_MARK_WARN, // warn_bytes: once until an eighth of that has been free again
    QUOTA_MARK_SOFT, // the soft limit: once until the account has been below
};
// Called when an account reaches a mark.  False: nobody was told, and the function is called at the next charge.
typedef bool (*quota_warning_fn)(void *data, struct quota_account *a, enum quota_mark mark);
// For that function: when it told somebody last (ms), and how often since; of no meaning to quotas.
struct quota_told {
    uint64_t since;
    unsigned n;
};
struct quota_told *quota_account_told(struct quota_account *a);
void quota_on_warning(struct quota *q, quota_warning_fn fn, void *data);
// Counts a refusal that a client is told of.
void quota_count_refusal(const struct quota_refusal *refusal);
uint64_t quota_account_refusals(const struct quota_account *a, enum quota_limit which);
// The refusals by all accounts of KIND, also by those that are gone.
uint64_t quota_refusals(const struct quota *q, enum quota_kind kind, enum quota_limit which);
// True the first time that an account refuses.  It is news again when an eighth of the limit has been free in between.
bool quota_refusal_is_news(const struct quota_refusal *refusal);
