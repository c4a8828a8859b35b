// The disks of the running daemon: opened at start, in the order of the configuration, and closed at the end.
#pragma once

struct config;
struct daemon;

// Locks the spill directories that CONFIG names.  0; or -errno, and the reason was logged; -EBUSY: another daemon has
// one of them.
int disks_open(struct daemon *d, const struct config *config);
// The fences around the regions of all disks.  0; or -errno, and the reason was logged.
int disks_fence(struct daemon *d, const struct config *config);
// Takes over the values that follow from CONFIG.
void disks_configure(struct daemon *d, const struct config *config);
void disks_close(struct daemon *d);
