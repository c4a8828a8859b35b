// Threads whose files cannot be truncated by anybody.  See the essay in landlock.c.
#pragma once

struct landlock;

// Starts the first such thread, and tries on an unnamed file of the directory DIR_FD whether the kernel keeps the
// restriction.  0; or -errno and *RET_WHY says what the machine lacks, in static storage.
int landlock_new(int dir_fd, struct landlock **ret, const char **ret_why);
void landlock_free(struct landlock *l); // no call of landlock_run may be under way

// Has one of the threads call OPEN(DATA), and returns what that returned: a descriptor or -errno.  Files that OPEN
// opens are restricted; the caller waits meanwhile.  On any thread.  -ENOMEM: no memory.
int landlock_run(struct landlock *l, int (*open)(void *data), void *data);
