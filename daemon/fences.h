// The fences of the running daemon: set up, asked for news, and what follows from those.  See the essay in fences.c.
#pragma once
#include "daemon/config/config.h"

struct daemon;
struct daemon_disk;

// Makes what the fences of all disks share.  After events_init, before any region.  0 or -ENOMEM.
int fences_init(struct daemon *d);
void fences_deinit(struct daemon *d);
// Sets up the fences around the regions of a disk, whose store is open.  On any thread.  0; or -errno and *RET_ERROR is
// a sentence, to be freed, or NULL.
int fences_make(struct daemon_disk *x, enum config_fence wanted, char **ret_error);
// Then, on the loop: listens to the tripwire.  0 or -ENOMEM.
int fences_listen(struct daemon_disk *x);
void fences_remove(struct daemon_disk *x);
// Every two seconds: looks at all regions if some cannot be watched.
void fences_tick(struct daemon *d);
