// The configuration as data: what the configuration files and the quotas set at run time say, merged, with the place
// where each value was said.  Functions here do no I/O.  Reading the files: load.h.  The meaning for users: limits.h.
// Quotas set at run time: runtime.h.  The configuration of a running daemon: settings.h.
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "daemon/config/disk.h"
#include "daemon/config/value.h"
#include "daemon/tree.h"

#define CONFIG_DEFAULT_PATH "/etc/diskalloc/diskallocd.conf"

// Which fences keep the holder of a descriptor from changing the file: see daemon/fence/fence.h.
enum config_fence {
    CONFIG_FENCE_AUTO,        // the strongest fence that the machine allows
    CONFIG_FENCE_LANDLOCK,    // this one, or the daemon does not start
    CONFIG_FENCE_PASSTHROUGH, // the same
    CONFIG_FENCE_OFF,
};

enum config_subject_kind {
    CONFIG_TOTAL,
    CONFIG_DEFAULT,
    CONFIG_UNLISTED, // the sum over all uids that the user database does not know
    CONFIG_USER,     // user:NAME or user:+UID
    CONFIG_MEMBERS,  // members:GROUP: a default for each member of the group
    CONFIG_GROUP,    // group:GROUP: the sum over the members of the group
    CONFIG_CGROUP,   // cgroup:PATH: the sum over all programs in this control group and below it
};

// Whether names of this kind are those of the user database.
static inline bool config_is_of_user_database(enum config_subject_kind kind)
{
    return kind == CONFIG_USER || kind == CONFIG_MEMBERS || kind == CONFIG_GROUP;
}

// A later layer wins over an earlier one, key by key.
enum config_layer {
    CONFIG_FILES,   // built-in values, and the files of the configuration
    CONFIG_RUNTIME, // set at run time by an administrator
    CONFIG_LAYER_N,
};

struct config_subject {
    enum config_subject_kind kind;
    char *name;      // as written behind the colon, of a control group its path; NULL for total, default and unlisted
    bool known;      // the user database knows the name, and ID is its number
    uint32_t id;     // uid or gid
    bool next_known; // config_find_names_again's
    uint32_t next_id;
    unsigned nth; // subjects that were inserted before this one
    struct config_value values[CONFIG_LAYER_N][CONFIG_QUOTA_KEY_N];
    unsigned last_file,
        last_line; // the last file (counted from 1) with a section of this subject, and the line; for file.c only
    RB_ENTRY(config_subject) by_name, by_id; // BY_ID only when KNOWN
};

// A key that was unset at run time: an older copy of the quotas may still have it.
struct config_unset {
    char *subject;
    enum config_subject_kind kind;
    bool known; // as in struct config_subject
    uint32_t id;
    enum config_quota_key key;
    uint64_t at; // ms since 1970
};

RB_HEAD(config_names, config_subject);
RB_HEAD(config_ids, config_subject);

// Finds the number of a user (or group).  0; -ENOENT: there is none of that name; another -errno: the user database
// does not answer at present.
typedef int (*config_find_fn)(void *data, bool is_user, const char *name, uint32_t *ret);
struct config_resolver {
    config_find_fn find;
    void *data;
};

struct config {
    struct config_resolver names_by; // finds the numbers of names that are read
    char *socket;                    // absolute path
    unsigned socket_mode;            // permission bits
    char *metrics_listen;            // HOST:PORT of this machine only, or an absolute path; NULL: nowhere
    unsigned metrics_socket_mode;    // permission bits, of a socket with a path
    struct config_paths spill_dirs;  // one at least
    struct config_disk *disks;       // the first section [disk PATH]; a path need not be one of spill_dirs
    bool spill_dir_require_mount;
    enum config_fence fence;
    char *admin_group;
    bool admin_gid_known; // the user database knows ADMIN_GROUP
    gid_t admin_gid;
    struct config_value keep_free;
    bool socket_was_set;              // by a file or an option
    struct config_subject **subjects; // in the order in which they were first named
    size_t n_subjects, n_allocated;
    unsigned n_inserted;       // ever
    struct config_names names; // the same subjects by kind and name
    struct config_ids ids;     // those that are known, by kind and number
    unsigned n_files;          // read so far
    struct config_unset *unsets;
    size_t n_unsets;
    uint64_t last_change; // at run time, of the changes that are known (ms since 1970)
};

// Called with a sentence, without a newline, about something that is odd but no error.
typedef void (*config_warn_fn)(void *data, const char *sentence);

// Asks NAMES again for the numbers of all names, and takes over those that have changed.  Must not block.  True:
// something has changed.
bool config_find_names_again(struct config *c, const struct config_resolver *names);
// Finds a subject by the name that the configuration uses, or by "+ID".  NULL: the configuration says nothing about it.
const struct config_subject *config_find_subject(const struct config *c, enum config_subject_kind kind,
                                                 const char *name);
// The section [disk PATH]; NULL: there is none.
const struct config_disk *config_find_disk(const struct config *c, const char *path);
bool config_has_cgroups(const struct config *c); // whether a control group has a section
void config_free(struct config *c);
