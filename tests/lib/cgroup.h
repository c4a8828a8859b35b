// A memory limit around one process: cgroup v2 or v1, whichever has the memory controller and may be written.
#pragma once
#include <stdbool.h>
#include <stddef.h>

struct cgroup {
    char path[256]; // empty: none
};

// 0; or -errno, and *RET_WHY says why there is no group.
int cgroup_make(struct cgroup *g, size_t limit, const char **ret_why);
int cgroup_enter(const struct cgroup *g); // the calling process, with all that it touches from then on
void cgroup_remove(struct cgroup *g);
// A group without any limit, in the hierarchy by which systemd keeps programs apart: below PARENT, or at the top if
// that is NULL.  False: there is none that may be written.
bool cgroup_make_plain(struct cgroup *g, const struct cgroup *parent, const char *name);
// Back to the top of that hierarchy.
void cgroup_leave_plain(void);
const char *cgroup_version(void); // "v2", "v1" or "none"
