// Who may do what.  Pure; every right is decided here.
#pragma once
#include <stdbool.h>
#include <sys/types.h>

#include "daemon/config/config.h"
#include "daemon/region.h"
#include "daemon/user.h"

// Root, the daemon's own user, and the members of admin_group.
bool policy_is_admin(const struct config *config, const struct user *u);
// By uid, or by the mode as chmod's bits: group means the owner's primary group.
bool policy_may_attach(const struct user *u, const struct region *r, bool read_only);
bool policy_may_unlink(const struct user *u, const struct region *r);
bool policy_may_remove(const struct config *config, const struct user *u, const struct region *r);
bool policy_may_see_region(const struct config *config, const struct user *u, const struct region *r);
bool policy_may_see_usage(const struct config *config, const struct user *u, uid_t of);
