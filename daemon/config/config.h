// The configuration as data: what the configuration files and the quotas set at run time say, merged, with the place where each
// value was said; and what that means for a user.  Functions here do no I/O, except config_load.
// Quotas set at run time: runtime.h.  The configuration of a running daemon: settings.h.
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "daemon/quota/quota.h"
#include "daemon/tree.h"

#define CONFIG_DEFAULT_PATH "/etc/diskalloc/diskallocd.conf"

enum config_kind {
    CONFIG_UNSET,
    CONFIG_NUMBER,  // number is bytes or a count
    CONFIG_PERCENT, // of the file system's total size; for warn_at, of the subject's own bytes
    CONFIG_UNLIMITED,
};

struct config_value {
    enum config_kind kind;
    uint64_t number; // bytes, a count or percent, as kind says
    char *file;      // the file that sets the value; NULL: built in, or set at run time
    unsigned line;   // in file, from 1
    char *text;      // the value as it was written
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
    CONFIG_MEMBERS, // members:GROUP: a default for each member of the group
    CONFIG_GROUP,   // group:GROUP: the sum over the members of the group
};

// A later layer wins over an earlier one, key by key.
enum config_layer {
    CONFIG_FILES,   // built-in values, and the files of the configuration
    CONFIG_RUNTIME, // set at run time by an administrator
    CONFIG_LAYER_N,
};

struct config_subject {
    enum config_subject_kind kind;
    char *name;  // as written behind the colon; NULL for total and default
    bool known;  // the user database knows the name, and ID is its number
    uint32_t id; // uid or gid
    struct config_value values[CONFIG_LAYER_N][CONFIG_QUOTA_KEY_N];
    unsigned last_file,
        last_line; // the last file (counted from 1) with a section of this subject, and the line; for file.c only
    RB_ENTRY(config_subject) by_name, by_id; // BY_ID only when KNOWN
};

RB_HEAD(config_names, config_subject);
RB_HEAD(config_ids, config_subject);

struct config {
    char *socket;         // absolute path
    unsigned socket_mode; // permission bits
    char *spill_dir;      // absolute path
    bool spill_dir_require_mount;
    char *admin_group;
    bool admin_gid_known; // the user database knows ADMIN_GROUP
    gid_t admin_gid;
    struct config_value keep_free;
    bool socket_was_set;              // by a file or an option
    struct config_subject **subjects; // in the order in which they were first named
    size_t n_subjects, n_allocated;
    struct config_names names; // the same subjects by kind and name
    struct config_ids ids;     // those that are known, by kind and number
    unsigned n_files;          // read so far
};

// Called with a sentence, without a newline, about something that is odd but no error.
typedef void (*config_warn_fn)(void *data, const char *sentence);

// Reads PATH (NULL: CONFIG_DEFAULT_PATH, which may be absent), then PATH.d/*.conf in order.  Looks names up in the user
// database, and blocks: at start and on workers only.  Warnings go to WARN, unless that is NULL.
// 0, or -errno (-EINVAL: a file says something wrong) and *RET_ERROR is a sentence with file, line and key, to be freed.
int config_load(const char *path, config_warn_fn warn, void *warn_data, struct config **ret, char **ret_error);
void config_free(struct config *c);

// Takes apart "total", "default", "user:alice", ...: a subject as the configuration writes it.  0 or -EINVAL.
int config_parse_subject(const char *text, enum config_subject_kind *ret_kind, const char **ret_name);
// Writes "user:alice" to RET of N bytes, and returns RET.
const char *config_subject_text(const struct config_subject *s, char *ret, size_t n);

// Finds a subject by the name that the configuration uses, or by "+ID".  NULL: the configuration says nothing about it.
const struct config_subject *config_find_subject(const struct config *c, enum config_subject_kind kind,
                                                 const char *name);

// The value in bytes, or as a count, on a file system of TOTAL bytes.
uint64_t config_value_bytes(const struct config_value *v, uint64_t fs_total);

// The limits of a user who is in all of GROUPS.  Key by key, user: wins over members: (the most generous of several), which
// wins over default.
void config_user_limits(const struct config *c, uid_t uid, const gid_t *groups, size_t n_groups, uint64_t fs_total,
                        struct quota_limits *ret);
void config_total_limits(const struct config *c, uint64_t fs_total, struct quota_limits *ret);
// The limits of the sum over a group's members.  False: the group is not configured.
bool config_group_limits(const struct config *c, gid_t gid, uint64_t fs_total, struct quota_limits *ret);

// One key of one subject, for lists.
struct config_description {
    const char *key;
    const char *text; // as written; belongs to the configuration
    uint64_t value;   // on a file system of FS_TOTAL bytes; QUOTA_UNLIMITED: no limit
    char origin[512]; // "built in", "FILE:LINE", "set at run time"
};
// False: no layer sets KEY.
bool config_describe(const struct config *c, const struct config_subject *s, enum config_quota_key key,
                     uint64_t fs_total, struct config_description *ret);
