// The spill directories of the configuration, and what its sections [disk PATH] say of them.
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "daemon/config/value.h"

enum { CONFIG_MOST_DISKS = 64 };

// Absolute paths, without a slash at the end, in the order in which they were said.
struct config_paths {
    char **items;
    size_t n;
};

// A section [disk PATH].
struct config_disk {
    char *path;
    struct config_value keep_free;         // CONFIG_UNSET: as [daemon] says
    bool has_require_mount, require_mount; // HAS_: the section says it
    bool is_closed;                        // new_regions = no
    char *users;                           // names and +uids with blanks in between; NULL: the disk is for everybody
    struct config_value min_bytes;         // CONFIG_UNSET: regions of any size
    unsigned last_file, last_line;         // for file.c only, as in struct config_subject
    struct config_disk *next;
};

// A copy of PATH without double slashes and without one at the end.  NULL: no memory.
char *config_tidy_path(const char *path);
// Appends PATH.  0; -EINVAL: it is not absolute; -EEXIST; -E2BIG: there are too many; -ENOMEM.
int config_paths_add(struct config_paths *p, const char *path);
const char *config_paths_complaint(int error); // a clause about such an error
void config_paths_clear(struct config_paths *p);
bool config_paths_have(const struct config_paths *p, const char *path);
// Whether D, which may be NULL, is for certain users only, and whether this user is one of them.
bool config_disk_names_users(const struct config_disk *d);
bool config_disk_names_user(const struct config_disk *d, uid_t uid, const char *name);
// The next name of d->users behind *AT, which begins as d->users, in RET.  False: there are no more.
bool config_disk_next_user(const char **at, char *ret, size_t size);
