// Signals and timers of the daemon.
#pragma once
#include <stdint.h>

struct daemon;

// Makes d->base and the events on it.  0 or -ENOMEM.
int events_init(struct daemon *d);
void events_deinit(struct daemon *d); // idempotent on what events_init has not made

// The queues of orphans and of waiting operations call these, DATA being the daemon: the queue's timer fires at AT (ms,
// monotonic) at the latest.
void events_wake_for_orphans(void *data, uint64_t at);
void events_wake_for_waiting(void *data, uint64_t at);
