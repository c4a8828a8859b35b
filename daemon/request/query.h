// The parts that GetUsage and ListUsage have in common.
#pragma once
#include "daemon/request/request.h"

// An account that a subject names.
struct named_account {
    const struct quota_account *account;
    const struct quota_account *limiting; // another account, whose limits are shown instead; NULL: none
    const struct user *user;              // whose own account it is; NULL: that of several users
    uint64_t left;                        // bytes that the limits could grant to one region now
    struct user *held;                    // the reference that keeps the account, to be given back; or NULL
};

// The account that SUBJECT names ("": that of the peer's own user), if the peer may see it.  0; -EINVAL: it names no
// account; -EACCES; -ESRCH: nobody of that name has anything here.
int query_find_account(const struct call *c, const char *subject, struct named_account *ret);
// RET points into FOUND.  RET->waiters is left to the caller.
void query_fill_usage(const struct request_env *env, const struct named_account *found, Diskalloc__V1__Usage *ret);
