// How the disks are: asked from time to time.  See the essay in health.c.
#pragma once

struct daemon;

// Blocks: at start only.  Asks each disk for its space.  0 or -errno.
int health_begin(struct daemon *d);
// The space of all disks together, a file system with several of them counted once.
void health_add_up(struct daemon *d);
// Every two seconds.
void health_tick(struct daemon *d);
