// Which accounts the metrics and the page show: a bounded number, so that neither grows with the number of users.
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "daemon/quota/quota.h"

struct metrics_source;
struct user;

enum {
    ACCOUNTS_OF_A_KIND = 100, // groups and control groups: those that use most
    ACCOUNTS_OF_USERS = 50,   // users that use most
    ACCOUNTS_CONFIGURED = 50, // further users, with a section of the configuration of their own
    ACCOUNTS_MOST = 2 + 2 * ACCOUNTS_OF_A_KIND + ACCOUNTS_OF_USERS + ACCOUNTS_CONFIGURED + 1,
};

struct shown_account {
    const struct quota_account *account; // NULL: the sum of all users that are not shown, of the kind QUOTA_KIND_N
    enum quota_kind kind;
    const char *name; // borrowed until the loop turns; "" for total, unlisted and the sum of other users
    uint64_t used[QUOTA_RESOURCE_N];
    uint64_t waiters; // operations that wait for a limit or the disk
};

struct shown_accounts {
    struct shown_account items[ACCOUNTS_MOST];
    size_t n;
    uint64_t n_users;               // with an account of their own
    uint64_t hidden[QUOTA_KIND_N];  // accounts that are not shown
    uint64_t n_waiting, n_unlisted; // operations that wait; users that share the account of the unlisted
};

extern const char *const account_kind_names[QUOTA_KIND_N + 1];

void accounts_collect(const struct metrics_source *s, struct shown_accounts *ret);
// Collects the accounts that VIEWER sees, who is no administrator: the total, and the account that stands for VIEWER if
// it is VIEWER's own or that of the unlisted.
void accounts_collect_for(const struct metrics_source *s, const struct user *viewer, struct shown_accounts *ret);
