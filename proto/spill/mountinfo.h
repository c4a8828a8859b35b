// The mounts of this process's namespace, by /proc/self/mountinfo (proc(5)).
#pragma once
#include <stdbool.h>

struct mount {
    unsigned id, parent, major, minor;
    // In the file system; in this namespace.  Blanks are written \\040, which does not matter here.
    const char *root, *point;
};

// Calls EACH for each mount, until it returns something else than 0; MOUNT is valid during the call.  That value, 0,
// or -errno.
int mountinfo_read(int (*each)(const struct mount *mount, void *data), void *data);
// The id of the mount that FD is on.  0 or -errno.
int mountinfo_id(int fd, unsigned *ret);
// Whether the mount ID shows something else than would be seen at its place without it.  systemd mounts each directory
// of ReadWritePaths= on itself.  True also if that can't be told.
bool mountinfo_shows_another(unsigned id);
