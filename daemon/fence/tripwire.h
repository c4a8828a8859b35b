// The tripwire: the kernel tells when a region's file is changed otherwise than by a store through a mapping.  See the
// essay in tripwire.c.
#pragma once
#include <stdbool.h>
#include <sys/types.h>

#include "proto/util/name.h"

struct tripwire;

// DIR_FD: the spill directory, borrowed.  0, or -errno: the kernel has no inotify for this process.
int tripwire_new(int dir_fd, struct tripwire **ret);
void tripwire_free(struct tripwire *t);
int tripwire_fd(const struct tripwire *t); // readable when something was changed

// Watches the files of the user UID from now on; may be repeated.  On any thread.  0 or -errno.
int tripwire_watch(struct tripwire *t, uid_t uid);
// Directories of users were made anew: each has to be watched again when it is named next.  On any thread.
void tripwire_forget(struct tripwire *t);

// Reads a bounded number of events without blocking, and calls FOUND for each that names a region.  *RET_LOST: more
// events came than the kernel keeps, and any region may have been changed.  True: there may be more to read.
bool tripwire_read(struct tripwire *t, void (*found)(void *data, const struct handle *handle), void *data,
                   bool *ret_lost);
