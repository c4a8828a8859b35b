// How the disks are: asked from time to time.  See the essay in health.c.
#pragma once

struct daemon;
struct disk;

// Blocks, on any thread: asks one disk, before it is in use.  0 or -errno.
int health_look_first(struct disk *disk);
// The space of all disks together, a file system with several of them counted once.
void health_add_up(struct daemon *d);
// Every two seconds.
void health_tick(struct daemon *d);
