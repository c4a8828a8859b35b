// Who may do what.  Every right is decided here, by the user that the kernel names and never by what a client says.
// Pure.
#pragma once
#include <stdbool.h>
#include <sys/types.h>

#include "daemon/config/config.h"
#include "daemon/region.h"
#include "daemon/user.h"

// Root, the daemon's own user, and the members of admin_group.
bool policy_is_admin(const struct config *config, const struct user *u);

// The owner may always attach; others as the region's mode says, in which the group is the owner's primary group.
// IN_GROUP: the process of U is in that group, whatever the user database says of U.
bool policy_may_attach(const struct user *u, const struct region *r, bool read_only, bool in_group);
// The owner only.  Administrators remove regions by policy_may_remove.
bool policy_may_unlink(const struct user *u, const struct region *r);

// The owner and administrators.
// The first one: also to say after how long a time without use it is removed.
bool policy_may_remove(const struct config *config, const struct user *u, const struct region *r);
bool policy_may_see_region(const struct config *config, const struct user *u, const struct region *r);
bool policy_may_see_usage(const struct config *config, const struct user *u, uid_t of);
