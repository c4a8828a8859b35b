// The place of this process in the trees of control groups, as the process sees them: a namespace or a bind mount
// shows a part.
#pragma once
#include <stdbool.h>
#include <stddef.h>

struct cgroup {
    char *dir;    // directory of the process's own group; to be freed
    size_t n_top; // the first n_top bytes of dir are the topmost group that can be seen
};

// ROOT: before each path that is read, "" in a program.  CONTROLLER: of cgroup v1; NULL: cgroup v2.  False: the group
// does not exist, or can't be seen.
bool cgroup_find(const char *root, const char *controller, struct cgroup *ret);
// Goes to the group above.  False: C is the topmost group that can be seen.
bool cgroup_up(struct cgroup *c);
