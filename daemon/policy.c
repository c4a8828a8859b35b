// Every right is decided here: see policy.h.
#include "daemon/policy.h"

#include <unistd.h>

bool policy_is_admin(const struct config *config, const struct user *u)
{
    return u->uid == 0 || u->uid == geteuid() || (config->admin_gid_known && user_in_group(u, config->admin_gid));
}

bool policy_may_attach(const struct user *u, const struct region *r, bool read_only, bool in_group)
{
    unsigned wanted = read_only ? 04 : 06;
    unsigned granted = r->record.mode & 07;

    if (u->uid == r->record.owner_uid)
        return true;
    // As in the kernel: for a member of the group the group's bits decide alone, even if the others' bits allow more.
    if (in_group || user_in_group(u, r->record.owner_gid))
        granted = r->record.mode >> 3 & 07;
    return (granted & wanted) == wanted;
}

bool policy_may_unlink(const struct user *u, const struct region *r)
{
    return u->uid == r->record.owner_uid;
}

bool policy_may_see_usage(const struct config *config, const struct user *u, uid_t of)
{
    return u->uid == of || policy_is_admin(config, u);
}

bool policy_may_remove(const struct config *config, const struct user *u, const struct region *r)
{
    return policy_may_see_usage(config, u, r->record.owner_uid);
}

bool policy_may_see_region(const struct config *config, const struct user *u, const struct region *r)
{
    return policy_may_see_usage(config, u, r->record.owner_uid);
}
