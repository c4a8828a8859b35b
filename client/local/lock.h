// Who has a spill file of a directory, without a daemon to ask: locks on bytes behind every possible end of the file.  They
// belong to the open file description, so threads, processes and forked children that opened it themselves all count.
#pragma once
#include <stdbool.h>

// Held as long as it is attached.  Waits while somebody shrinks.  0 or -errno.
int local_lock_attach(int fd);
// Nobody else is attached and nobody attaches until local_lock_attach: 0, or -EBUSY.
int local_lock_alone(int fd);
// One at a time changes size or record.  Waits.
int local_lock_change(int fd);
void local_unlock_change(int fd);
