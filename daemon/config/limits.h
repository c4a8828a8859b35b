// The meaning of the configuration: limits of users and groups, and values for lists.
#pragma once
#include "daemon/config/config.h"
#include "daemon/quota/quota.h"

// The value in bytes, or as a count, on a file system of TOTAL bytes.
uint64_t config_value_bytes(const struct config_value *v, uint64_t fs_total);

// The limits of a user who is in all of GROUPS.  Key by key, user: wins over members: (the most generous of several),
// which wins over default.
void config_user_limits(const struct config *c, uid_t uid, const gid_t *groups, size_t n_groups, uint64_t fs_total,
                        struct quota_limits *ret);
void config_total_limits(const struct config *c, uint64_t fs_total, struct quota_limits *ret);
// The limits of the account that the unlisted share: each key from [quota unlisted], or else from [quota default].
void config_unlisted_limits(const struct config *c, uint64_t fs_total, struct quota_limits *ret);
// Whether a section, or a quota set at run time, is of the user UID.
bool config_has_user(const struct config *c, uid_t uid);
// The limits of the sum over a group's members.  False: the group is not configured.
bool config_group_limits(const struct config *c, gid_t gid, uint64_t fs_total, struct quota_limits *ret);
// The limits of the sum over a control group, which SUBJECT is.
void config_cgroup_limits(const struct config_subject *subject, uint64_t fs_total, struct quota_limits *ret);

// The value of a key of a subject, for lists.
struct config_description {
    const char *key;
    const char *text; // as written; belongs to the configuration
    uint64_t value;   // on a file system of FS_TOTAL bytes; QUOTA_UNLIMITED: no limit
    char origin[512]; // "built in", "FILE:LINE", "set at run time"
};
// False: no layer sets KEY.
bool config_describe(const struct config *c, const struct config_subject *s, enum config_quota_key key,
                     uint64_t fs_total, struct config_description *ret);
