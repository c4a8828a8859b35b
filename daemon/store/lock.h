// The lock that keeps a second daemon out of a spill directory.  See the essay in lock.c.
#pragma once
#include <stdbool.h>
#include <sys/types.h>

#define STORE_LOCK_NAME ".lock"

struct store_lock {
    int dir_fd; // the spill directory; borrowed
    int fd;     // the lock file; -1: not locked
    // A former daemon has ended, but for threads that hang in the kernel: each of them may still do one thing to a
    // file.
    _Atomic bool is_haunted;
};

// 0; -EBUSY and *RET_HOLDER is the pid of the daemon that has it, or 0 if that is not known; -EEXIST: something
// lies at the place of the lock file that the daemon has not made and must not remove; or -errno.
int store_lock_take(struct store_lock *l, int dir_fd, pid_t *ret_holder);
void store_lock_release(struct store_lock *l);
// Instead of store_lock_release, when threads of this process hang in the kernel: the next daemon will know that.  The
// process must end.  On any thread; writes to the disk, and may hang too.
void store_lock_leave_behind(struct store_lock *l);
// The files that threads of a former daemon may have changed have been looked after: the lock is haunted no longer.
void store_lock_lay_ghosts(struct store_lock *l);
