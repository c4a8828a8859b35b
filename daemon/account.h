// Which accounts the charges of each user count in, and with which limits: the configuration applied to the users.
//
// A user that the user database knows, or that the configuration names by number, has an own account and counts in
// the accounts of its configured groups.  All other uids share the account of the unlisted, unless /etc/subuid lends
// the uid to a user: then the charges count in that user's accounts.  Beside these, charges count in the accounts of
// configured control groups, by the program that caused them.  All functions are called on the loop.
#pragma once
#include "daemon/config/config.h"
#include "daemon/quota/job.h"
#include "daemon/quota/quota.h"
#include "daemon/user.h"

struct accounts;

// From now on each user of USERS has the accounts that the configuration gives it.  0 or -ENOMEM.
int accounts_new(struct user_table *users, struct quota *quota, struct accounts **ret);
void accounts_free(struct accounts *a);
// OVERFLOW is the uid that the kernel shows for uids without a number in this user namespace.  It is never a
// person's: it is unlisted, whatever name the user database has for it.
void accounts_set_overflow(struct accounts *a, uid_t overflow);
// Sets the limits of all accounts by CONFIG, which must live until the next call.  0 or -ENOMEM.
int accounts_configure(struct accounts *a, const struct config *config, uint64_t disk_total);
// The job of programs in the control group PATH; its charges count in the accounts of the configured control groups
// that PATH is, or lies below.  The caller gives the reference back.  NULL: no memory.
struct quota_job *accounts_job(struct accounts *a, const char *path);
// The account that stands for U: U's own, that of the unlisted, or the own account of the user to whom U's uid is lent.
struct quota_account *account_of(const struct user *u);
