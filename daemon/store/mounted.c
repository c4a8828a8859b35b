// Whether a file system is mounted at the spill directory: see mounted.h.
#include "daemon/store/mounted.h"

#include <fcntl.h>
#include <limits.h>
#include <stdint.h>
#include <stdlib.h>
#include <unistd.h>

#include "proto/spill/mountinfo.h"
#include "proto/spill/surroundings.h"
#include "proto/util/cleanup.h"
#include "proto/util/text.h"

bool store_is_run_by_systemd(void)
{
    const char *pid = getenv("SYSTEMD_EXEC_PID");
    uint64_t value;

    return pid && number_parse(pid, 10, INT_MAX, &value) && value == (uint64_t)getpid();
}

// systemd mounts each directory of ReadWritePaths= on itself, in the namespace that it makes for the daemon.  So there
// any spill directory is a mount point, and what counts is whether the mount shows another file system, or another part
// of one.
bool store_is_mounted(int dirfd, const char *path)
{
    _cleanup_close_ int fd = -1;
    unsigned id;

    if (!surroundings_is_mount_point(dirfd, path))
        return false;
    if (!store_is_run_by_systemd())
        return true;
    fd = openat(dirfd, *path ? path : ".", O_PATH | O_DIRECTORY | O_CLOEXEC);
    return fd < 0 || mountinfo_id(fd, &id) < 0 || mountinfo_shows_another(id);
}
