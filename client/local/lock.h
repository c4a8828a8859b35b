// Who uses a spill file of a directory, without a daemon to ask: locks on bytes behind every possible end of the file.  The locks
// belong to the open file description (F_OFD_SETLK), so threads, processes and forked children that opened the file themselves all
// count.
//
// Each user holds a read lock (attached).  A shrink or discard needs the write lock (alone), so it succeeds only when no other user is
// attached.  A grow, restore or commit needs another lock (change), for as long as it takes.
#pragma once
#include <stdbool.h>

// Attached, until FD is closed.  Waits while another user is alone.  0 or -errno.
int local_lock_attach(int fd);
// Alone, until local_lock_attach.  0; -EBUSY: another user is attached; -errno.
int local_lock_alone(int fd);
// One user at a time changes size or record.  Waits.  0 or -errno.
int local_lock_change(int fd);
void local_unlock_change(int fd);
