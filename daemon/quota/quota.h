// Who may take how much.  Pure: no I/O, no clock; one thread (the loop).  See the essay in quota.c.
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
    uint64_t max[QUOTA_RESOURCE_N]; // QUOTA_UNLIMITED: none
    uint64_t region_bytes;          // of one region
    uint64_t warn_bytes;
};

// Why a charge was refused.
struct quota_refusal {
    char limit_name[64]; // "user:alice bytes"
    uint64_t limit, used, asked;
    enum quota_resource resource;
    bool of_one_region;                  // region_bytes: nobody else uses it up
    const struct quota_account *account; // that refused; NULL: none did
};

struct quota;         // all accounts
struct quota_account; // total, one user's, one group's sum
struct quota_user;    // a user's account with the group accounts that its charges fall on as well; refcounted

struct quota *quota_new(void);
void quota_free(struct quota *q); // asserts that every account is zero and every reference was given back

struct quota_account *quota_total(struct quota *q);
struct quota_account *quota_group(struct quota *q, gid_t gid); // found or made; NULL: no memory
struct quota_account *quota_user_account(struct quota_user *u);
struct quota_user *quota_find_user(struct quota *q, uid_t uid);     // borrowed, or NULL
struct quota_account *quota_find_group(struct quota *q, gid_t gid); // or NULL

// LABEL, as in "user:alice", is copied.
void quota_account_set(struct quota_account *a, const char *label, const struct quota_limits *limits);
const struct quota_limits *quota_account_limits(const struct quota_account *a);
const char *quota_account_label(const struct quota_account *a);
uint64_t quota_account_used(const struct quota_account *a, enum quota_resource resource);
uint64_t quota_account_left(const struct quota_account *a, enum quota_resource resource); // 0 when over the limit

struct quota_user *quota_user_ref(struct quota *q, uid_t uid); // found or made; NULL: no memory
void quota_user_unref(struct quota_user *u);
uid_t quota_user_uid(const struct quota_user *u);
// Which group accounts this user's charges fall on; what is charged already moves from the old to the new ones,
// whatever their limits.  0 or -ENOMEM and nothing changed.
int quota_user_set_groups(struct quota_user *u, struct quota_account *const *groups, size_t n);
// The most that one more charge could be: the least of what is left in each of the accounts.
uint64_t quota_user_left(const struct quota_user *u, enum quota_resource resource);

bool quota_user_counts_in(const struct quota_user *u, const struct quota_account *a);

// An account has reached its warn_bytes: told once, until it has been below again.  USED and LIMIT are of its bytes.
typedef void (*quota_warning_fn)(void *data, const struct quota_account *a, uint64_t used, uint64_t limit);
void quota_on_warning(struct quota *q, quota_warning_fn fn, void *data);
// Whether nobody was told yet that this account refuses; then they are now.  It is news again when an eighth of the limit has
// been free in between.
bool quota_refusal_is_news(const struct quota_refusal *refusal);

// What somebody consumes, held by whoever consumes it (a region, a connection).
struct quota_charge {
    struct quota_user *user; // a reference; NULL: holds nothing
    uint64_t amount[QUOTA_RESOURCE_N];
};

void quota_charge_init(struct quota_charge *c, struct quota_user *user); // takes a reference of its own
void quota_charge_deinit(struct quota_charge *c);                        // releases all of it; idempotent
// All accounts or none: 0; -EDQUOT and *RET says which limit; -EOVERFLOW: the sum would wrap.
int quota_charge_add(struct quota_charge *c, enum quota_resource resource, uint64_t amount, struct quota_refusal *ret);
// For what exists already (found at start): no limit refuses.  0 or -EOVERFLOW.
int quota_charge_force(struct quota_charge *c, enum quota_resource resource, uint64_t amount);
// For what nobody needs yet, bytes of a region of SIZE: 0, or -EXFULL when the region or an account would be above
// quota_early_part of its limit. Nobody is warned before quota_charge_tell says that it was done.
int quota_charge_add_early(struct quota_charge *c, uint64_t amount, uint64_t size);
void quota_charge_tell(struct quota_charge *c);
uint64_t quota_early_part(uint64_t limit);
void quota_charge_sub(struct quota_charge *c, enum quota_resource resource,
                      uint64_t amount); // asserts amount ≤ what it holds

// Whether a region of SIZE bytes is allowed to this user by region_bytes: 0, or -EDQUOT and *RET.
int quota_check_region_size(const struct quota_user *u, uint64_t old_size, uint64_t new_size,
                            struct quota_refusal *ret);
