// The first disk, which keeps the files that are of no single disk: quotas set at run time, and grace periods.
#pragma once

struct daemon;

// Blocks: at start only.  If another disk has newer ones of these files, because it was the first one before, copies
// them to the first disk.  0; or -errno, and the reason was logged.
int home_settle(struct daemon *d);
