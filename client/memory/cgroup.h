// Where this process is in the trees of control groups, as it sees them: through a namespace or a bind mount it sees a part.
#pragma once
#include <stdbool.h>
#include <stddef.h>

struct cgroup {
    char *dir;    // of the process's own group; to be freed
    size_t n_top; // as many letters of it are the topmost group that can be seen
};

// ROOT: "", or of a made-up tree.  CONTROLLER: of cgroup v1; NULL: cgroup v2.  False: not there, or not to be seen.
bool cgroup_find(const char *root, const char *controller, struct cgroup *ret);
// Cuts the last part off.  False: that was the topmost.
bool cgroup_up(struct cgroup *c);
