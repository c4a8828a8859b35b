// Spill directories of former configurations.
#pragma once

struct daemon;

// At start, and when a disk was added: notes on each disk which directories there are, and tells of those that the
// configuration names no longer and that may still hold regions.  Done on a worker.
void former_look(struct daemon *d);
void former_forget(struct daemon *d); // when the workers have ended
