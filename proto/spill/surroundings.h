// The mounts around a spill directory, and the devices below it: they can break the promise that a granted byte can
// always be stored to.  Best effort: whatever cannot be seen from here is taken as not safe.
#pragma once
#include <stdbool.h>

// How the directory is mounted, as /proc/self/mountinfo tells.
struct surroundings {
    bool is_mount_point;       // the directory is the root of a mount, also of a bind mount
    bool is_whole_file_system; // it is the root of its file system, which is mounted nowhere else
    unsigned major, minor;     // the block device, 0:0 if the file system does not tell
};

// Whether the directory is the root of a mount.  PATH: of the directory; or "", and DIRFD is the directory.
bool surroundings_is_mount_point(int dirfd, const char *path);
// 0 or -errno.
int surroundings_read(int dirfd, struct surroundings *ret);

// Why the block devices below the directory may run out of space; NULL: no reason is known.  Static storage.
const char *surroundings_why_soft(int dirfd, const struct surroundings *s);
// The same of one block device, given by its directory below /sys (such as /sys/dev/block/8:1).
const char *surroundings_why_device_soft(const char *sys_dir);
