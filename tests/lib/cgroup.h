// A memory limit around one process: cgroup v2 or v1, whichever has the memory controller and may be written.
#pragma once
#include <stddef.h>

struct cgroup {
    char path[256]; // empty: none
};

// 0; or -errno, and *RET_WHY says why there is no group.
int cgroup_make(struct cgroup *g, size_t limit, const char **ret_why);
int cgroup_enter(const struct cgroup *g); // the calling process, with all that it touches from then on
void cgroup_remove(struct cgroup *g);
const char *cgroup_version(void); // "v2", "v1" or "none"
