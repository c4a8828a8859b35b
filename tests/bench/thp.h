// The kernel's setting for large pages, changed for a while and put back, however the program ends.
#pragma once

#define THP_FILE "/sys/kernel/mm/transparent_hugepage/enabled"

struct thp {
    int guard; // the socket of the process that puts the setting back; -1: none
};

// Sets MODE ("never", "madvise", "always") in FILE, which is THP_FILE but in tests.  A process of its own puts the
// setting that was there back when thp_restore is called, or this process ends, by SIGKILL too.  0, or -errno: nothing
// was changed; -EINVAL: the kernel has no such mode.
int thp_set(struct thp *t, const char *file, const char *mode);
void thp_restore(struct thp *t); // returns when the setting is back
