// The configuration: what the files say, merged, with where each value came from.  Reading it touches files only here;
// what it means for a user is asked by the functions at the end, which are pure.  Quotas set at run time: config_runtime.h.
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "daemon/quota/quota.h"

#define CONFIG_DEFAULT_PATH "/etc/diskalloc/diskallocd.conf"

enum config_kind {
    CONFIG_UNSET,
    CONFIG_NUMBER,  // bytes, or a count
    CONFIG_PERCENT, // of the file system's total; of `bytes` for warn_at
    CONFIG_UNLIMITED,
};

struct config_value {
    enum config_kind kind;
    uint64_t number;
    char *file; // where it was said, NULL: built in, or at run time
    unsigned line;
    char *text; // as written
};

enum config_quota_key {
    CONFIG_QUOTA_BYTES,
    CONFIG_QUOTA_REGIONS,
    CONFIG_QUOTA_CONNECTIONS,
    CONFIG_QUOTA_REGION_BYTES,
    CONFIG_QUOTA_WARN_AT,
    CONFIG_QUOTA_KEY_N,
};

enum config_subject_kind {
    CONFIG_TOTAL,
    CONFIG_DEFAULT,
    CONFIG_USER,    // user:NAME or user:+UID
    CONFIG_MEMBERS, // members:GROUP: each member's default
    CONFIG_GROUP,   // group:GROUP: the sum over its members
};

struct config_subject {
    enum config_subject_kind kind;
    char *name; // as written after the colon; NULL for total and default
    bool known; // `id` was found in the user database
    uint32_t id;
    struct config_value values[CONFIG_QUOTA_KEY_N];  // what the files say
    struct config_value runtime[CONFIG_QUOTA_KEY_N]; // set at run time: wins, key by key
};

// Where subjects are among others: slots of an index + 1, by hash.
struct config_index {
    uint32_t *by_name, *by_id;
    size_t n_slots; // a power of two
};

struct config {
    char *socket;
    unsigned socket_mode;
    char *spill_dir;
    bool spill_dir_require_mount;
    char *admin_group;
    bool admin_gid_known;
    gid_t admin_gid;
    struct config_value keep_free;
    char *metrics_listen; // NULL: off
    struct config_subject *subjects;
    size_t n_subjects;
    struct config_index index; // of subjects
    bool socket_was_set;       // by a file or an option
};

typedef void (*config_warn_fn)(void *data, const char *sentence);

// Reads PATH (NULL: CONFIG_DEFAULT_PATH, whose absence is fine) and PATH.d/*.conf in order.  Names are looked up in the user
// database (this may block: start-up and workers only).  Warnings go to WARN.
// 0, or -errno (-EINVAL: it says something wrong) and *RET_ERROR is a sentence naming file, line and key, to be freed.
int config_load(const char *path, config_warn_fn warn, void *warn_data, struct config **ret, char **ret_error);
void config_free(struct config *c);

// "total", "default", "user:alice", ...: the subject as the configuration writes it.  0 or -EINVAL.
int config_parse_subject(const char *text, enum config_subject_kind *ret_kind, const char **ret_name);

// By the name in the configuration, or "+ID"; NULL: nothing is said of it.
const struct config_subject *config_find_subject(const struct config *c, enum config_subject_kind kind,
                                                 const char *name);

// What a value means on a file system of TOTAL bytes.
uint64_t config_value_bytes(const struct config_value *v, uint64_t fs_total);

// Effective limits.  GROUPS: all groups of the user.  user: wins over members: (the most generous of several), which wins over
// default, key by key.
void config_user_limits(const struct config *c, uid_t uid, const gid_t *groups, size_t n_groups, uint64_t fs_total,
                        struct quota_limits *ret);
void config_total_limits(const struct config *c, uint64_t fs_total, struct quota_limits *ret);
// The limits of the sum over a group's members; false when the group is not configured.
bool config_group_limits(const struct config *c, gid_t gid, uint64_t fs_total, struct quota_limits *ret);
