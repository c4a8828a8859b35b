// Disks that the configuration names anew, while the daemon runs.
#pragma once

struct daemon;

// After a reload: opens the spill directories of the configuration that are not in use yet, one after the other.
// The regions there become available, and new ones are made there.  A failure is logged.  A disk that hangs when it is
// touched is opened when it answers, and the others meanwhile.  One that hangs later, while it is opened or scanned,
// keeps the others that are not in use yet waiting.
void opening_begin(struct daemon *d);
// After the start: the same for directories whose disks did not answer.
void opening_await(struct daemon *d);
// Every few seconds: tells of disks that do not answer, touched or opened.
void opening_tick(struct daemon *d);
void opening_forget(struct daemon *d); // when the workers have ended
