// The users of a spill file of a directory, without a daemon to ask: locks on bytes behind every possible end of the
// file.  The locks belong to the open file description (F_OFD_SETLK), so threads, processes and forked children that
// opened the file themselves all count.
//
// Each user holds a read lock (attached).  A shrink or discard needs the write lock (alone), so it succeeds only
// when no other user is attached.  Each writer holds a read lock on another byte (writing); a sole writer holds the
// write lock on it; writers also lock the region's gate, if there is one (gate.c).  A grow, restore or commit needs
// another lock (change), for as long as it takes.
//
// Whoever may only read the file can take read locks on it, and keep them for ever.  The library never takes a read
// lock to change the file, unless somebody else has one already.  So a read lock there is a stranger's, and no reason
// to wait: then the change is made with a read lock too (LOCK_SHARED), which keeps write locks out.  Several
// processes may be at work at the same time in that case, and no step may take back what another of them has done.  A
// write lock is waited for, up to a deadline: its owner may write to the file, and is trusted not to keep it.
#pragma once
#include <stdbool.h>
#include <stdint.h>

enum local_lock {
    LOCK_ALONE = 0,  // nobody else changes the file
    LOCK_SHARED = 1, // others may change it too: it may grow, and must not be cut
};

// Attached, until FD is closed.  Waits some seconds for a user who is alone.  0; -EBUSY with the reason noted; -errno.
int local_lock_attach(int fd);
// Attached for writing, until FD is closed.  SOLE: and no other user is.  GUARDED: a gate (gate.c) keeps other writers
// away already, so the read locks of others do not keep a sole writer out.  0; -EBUSY: another user keeps this one
// out; -errno.
int local_lock_writing(int fd, bool sole, bool guarded);
// Alone, until local_lock_attach.  0; -EBUSY: another user is attached; -errno.
int local_lock_alone(int fd);
// For changing size or record.  Waits until UNTIL, a time of proto/util/clock.h; 0: some seconds.  LOCK_ALONE,
// LOCK_SHARED; -EBUSY with the reason noted; -errno.
int local_lock_change(int fd, uint64_t until);
void local_unlock_change(int fd);

// A lock of another kind (flock), on a file or directory: systemd-tmpfiles removes nothing that is so locked, however
// old it is. What it leaves alone are directories and, in newer versions, files.  Best effort.
void local_keep_from_aging(int fd);
