// Takes over the regions of earlier daemons, at start.
#pragma once

struct daemon;

// Scans the spill directory and puts every region of it into the tables.  Blocks.  0 or -errno.
int recovery_run(struct daemon *d);
