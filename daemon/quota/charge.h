// Charges: the parts of the accounts that consumers hold.  See the essay in charge.c.
#pragma once
#include <stdint.h>

#include "daemon/quota/job.h"
#include "daemon/quota/quota.h"

// A sum of charges beside the accounts, without a limit.
struct quota_tally {
    uint64_t used[QUOTA_RESOURCE_N];
};

// The part of the accounts that one consumer (a region, a connection) holds.
struct quota_charge {
    struct quota_user *user;   // a reference; NULL: holds nothing
    struct quota_job *job;     // a reference; NULL: the charge counts in no account of a control group
    struct quota_tally *tally; // NULL: the charge counts in none
    uint64_t amount[QUOTA_RESOURCE_N];
};

void quota_charge_init(struct quota_charge *c, struct quota_user *user); // takes a reference of its own
void quota_charge_deinit(struct quota_charge *c);                        // gives all of it back; idempotent
// Before anything is charged.  Takes a reference of its own; JOB may be NULL.
void quota_charge_set_job(struct quota_charge *c, struct quota_job *job);
// From now on the charge, with what it holds, counts in TALLY and no longer in another one.  TALLY may be NULL.
void quota_charge_set_tally(struct quota_charge *c, struct quota_tally *tally);
// Charges all accounts or none.  Nobody is warned before quota_charge_tell.  0; -EDQUOT and *RET says which limit
// refused; -EOVERFLOW: a sum would wrap.
int quota_charge_add(struct quota_charge *c, enum quota_resource resource, uint64_t amount, struct quota_refusal *ret);
// As quota_charge_add, for regions found at start: they exist already, so no limit refuses.  0 or -EOVERFLOW.
int quota_charge_force(struct quota_charge *c, enum quota_resource resource, uint64_t amount);
// As quota_charge_add, for a region of SIZE bytes that is made or grown before anybody needs that.  0; -EXFULL: the
// region or an account would be above quota_early_part of its limit.
int quota_charge_add_early(struct quota_charge *c, enum quota_resource resource, uint64_t amount, uint64_t size);
// Called when a charge is granted: warns of each account that has reached its warn_bytes.  Before, the disk might have
// refused.
void quota_charge_tell(struct quota_charge *c);
uint64_t quota_early_part(uint64_t limit);
void quota_charge_sub(struct quota_charge *c, enum quota_resource resource,
                      uint64_t amount); // asserts that the charge holds AMOUNT

// Checks the size of the region that holds C against region_bytes.  0; or -EDQUOT and *RET says why.
int quota_check_region_size(const struct quota_charge *c, uint64_t old_size, uint64_t new_size,
                            struct quota_refusal *ret);
// The most that could be added to C: the least that is left in any of its accounts.
uint64_t quota_charge_left(const struct quota_charge *c, enum quota_resource resource);
uint64_t quota_charge_region_max(const struct quota_charge *c); // bytes of the largest region that they allow

// Counting something per account: begins anew, counts C in each of its accounts, and how often A was counted since.
void quota_begin_count(struct quota *q);
void quota_count_charge(const struct quota_charge *c);
uint64_t quota_account_counted(const struct quota_account *a);
bool quota_charge_counts_in(const struct quota_charge *c, const struct quota_account *a);
