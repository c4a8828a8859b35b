// Taking over the regions of earlier daemons.
#pragma once
#include <stddef.h>

struct daemon;
struct daemon_disk;
struct half;
struct recovery_item;

// Scans all disks, at start.  A disk that cannot be read is not used, unless it is the first one: then -errno.
int recovery_run(struct daemon *d);

// The regions of one disk, while the daemon runs: collected on a worker, and taken over on the loop.
struct recovery_list {
    struct daemon_disk *disk;
    struct recovery_item *items;
    size_t n, n_allocated;
};
// 0; or -errno, nothing was found, and *RET_ERROR is a sentence, to be freed, or NULL.
int recovery_collect(struct daemon_disk *x, struct recovery_list *ret, char **ret_error);
// 0; or -ENOMEM: some are missing.  *RET_REST: files that are to be removed, see halves.h.
int recovery_take(struct recovery_list *l, struct half **ret_rest);
void recovery_list_deinit(struct recovery_list *l);
