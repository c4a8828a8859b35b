// The fences of the running daemon: set up, asked for news, and what follows from those.  See the essay in fences.c.
#pragma once

struct config;
struct daemon;
struct daemon_disk;

// What all disks share.  After events_init, before any region.  0 or -ENOMEM.
int fences_init(struct daemon *d);
void fences_deinit(struct daemon *d);
// Sets up the fences that CONFIG asks for around the regions of a disk, whose store is open.  0; or -errno, and the
// reason was logged.
int fences_add(struct daemon_disk *x, const struct config *config);
void fences_remove(struct daemon_disk *x);
// Every two seconds: looks at all regions if some cannot be watched.
void fences_tick(struct daemon *d);
