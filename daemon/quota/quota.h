// Accounts, limits and charges.  Pure: no I/O, no clock; one thread (the loop).  See the essay in charge.c.
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

struct quota_limits {
    uint64_t max[QUOTA_RESOURCE_N]; // bytes or counts; QUOTA_UNLIMITED: no limit
    uint64_t region_bytes;          // the largest size of one region
    uint64_t warn_bytes;
};

// Why a charge was refused; the numbers are bytes or counts, as the resource.
struct quota_refusal {
    char limit_name[64]; // "user:alice bytes"
    uint64_t limit, used, asked;
    enum quota_resource resource;
    bool of_one_region;                  // region_bytes refused: waiting for other users does not help
    const struct quota_account *account; // the account that refused; NULL: none did
};

struct quota;         // all accounts
struct quota_account; // the total, one user's account, or the sum over one group
struct quota_user;    // a user's account, and the other accounts that the user's charges count in; refcounted

struct quota *quota_new(void);
void quota_free(struct quota *q); // asserts that every account is zero and every reference was given back

struct quota_account *quota_total(struct quota *q);
struct quota_account *quota_group(struct quota *q, gid_t gid); // found or made; NULL: no memory
struct quota_account *quota_user_account(struct quota_user *u);
struct quota_user *quota_find_user(struct quota *q, uid_t uid);     // borrowed, or NULL
struct quota_account *quota_find_group(struct quota *q, gid_t gid); // or NULL

// LABEL, such as "user:alice", is copied; refusals and warnings name it.
void quota_account_set(struct quota_account *a, const char *label, const struct quota_limits *limits);
const struct quota_limits *quota_account_limits(const struct quota_account *a);
const char *quota_account_label(const struct quota_account *a);
uint64_t quota_account_used(const struct quota_account *a, enum quota_resource resource);
uint64_t quota_account_left(const struct quota_account *a,
                            enum quota_resource resource); // 0 if the account is over its limit

struct quota_user *quota_user_ref(struct quota *q, uid_t uid); // found or made; NULL: no memory
void quota_user_unref(struct quota_user *u);
uid_t quota_user_uid(const struct quota_user *u);
// Sets the group accounts that the user's charges count in.  Present charges move from the old to the new ones, whatever their limits.
// 0; or -ENOMEM and nothing has changed.
int quota_user_set_groups(struct quota_user *u, struct quota_account *const *groups, size_t n);
// The most that one more charge could be: the least that is left in any of the user's accounts.
uint64_t quota_user_left(const struct quota_user *u, enum quota_resource resource);

bool quota_user_counts_in(const struct quota_user *u, const struct quota_account *a);

// Called when an account reaches its warn_bytes, once until it has been below again.  USED and LIMIT are bytes.
typedef void (*quota_warning_fn)(void *data, const struct quota_account *a, uint64_t used, uint64_t limit);
void quota_on_warning(struct quota *q, quota_warning_fn fn, void *data);
// True the first time that an account refuses.  It is news again when an eighth of the limit has been free in between.
bool quota_refusal_is_news(const struct quota_refusal *refusal);

// The part of the accounts that one consumer (a region, a connection) holds.
struct quota_charge {
    struct quota_user *user; // a reference; NULL: holds nothing
    uint64_t amount[QUOTA_RESOURCE_N];
};

void quota_charge_init(struct quota_charge *c, struct quota_user *user); // takes a reference of its own
void quota_charge_deinit(struct quota_charge *c);                        // gives all of it back; idempotent
// Charges all accounts or none.  0; -EDQUOT and *RET says which limit refused; -EOVERFLOW: a sum would wrap.
int quota_charge_add(struct quota_charge *c, enum quota_resource resource, uint64_t amount, struct quota_refusal *ret);
// As quota_charge_add, for regions found at start: they exist already, so no limit refuses.  0 or -EOVERFLOW.
int quota_charge_force(struct quota_charge *c, enum quota_resource resource, uint64_t amount);
// As quota_charge_add, for an early grow of a region of SIZE bytes, which nobody needs yet.  0; -EXFULL: the region or an account would be above
// quota_early_part of its limit.  Warnings are held back until quota_charge_tell: the grow may fail.
int quota_charge_add_early(struct quota_charge *c, uint64_t amount, uint64_t size);
void quota_charge_tell(struct quota_charge *c);
uint64_t quota_early_part(uint64_t limit);
void quota_charge_sub(struct quota_charge *c, enum quota_resource resource,
                      uint64_t amount); // asserts that the charge holds AMOUNT

// Checks the size of one region against region_bytes.  0; or -EDQUOT and *RET says why.
int quota_check_region_size(const struct quota_user *u, uint64_t old_size, uint64_t new_size,
                            struct quota_refusal *ret);
