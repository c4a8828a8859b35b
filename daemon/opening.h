// Disks that the configuration names anew, while the daemon runs.
#pragma once

struct daemon;

// After a reload: opens the spill directories of the configuration that are not in use yet, one after the other.
// The regions there become available, and new ones are made there.  A failure is logged.
void opening_begin(struct daemon *d);
void opening_forget(struct daemon *d); // when the workers have ended
