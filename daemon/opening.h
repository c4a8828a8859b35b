// Disks that the configuration names anew, while the daemon runs.
#pragma once

struct daemon;

// After a reload: opens the spill directories of the configuration that are not in use yet, one after the other.
// The regions there become available, and new ones are made there.  A failure is logged.  If a disk hangs, the others
// are opened meanwhile, and that one when it answers.
void opening_begin(struct daemon *d);
// After the start: the same for directories whose disks did not answer.
void opening_await(struct daemon *d);
// Every few seconds: tells of disks that do not answer.
void opening_tick(struct daemon *d);
void opening_forget(struct daemon *d); // when the workers have ended
