// Whether the spill directory is still there and can be written to: see store_look in store.h.
//
// The daemon's descriptor of the directory holds on to the file system, also when it was unmounted (umount -l), or
// when something else was mounted over it.  The daemon would go on granting where nobody looks, and the next daemon
// would find another directory.  So the path is looked up anew and compared.  A bind mount of a directory over itself
// shows the same directory before and after, so the path must also still be a mount point where the configuration
// requires that.
//
// A file system that has become read-only by itself (errors=remount-ro) or was shut down does not always say so in its
// mount flags; opening a file for writing tells. Some versions of ext4 open files even then (Linux 6.1.113 and others
// of 2024), and only a write tells.  A write wakes the disk, so it is tried less often, and at once when an operation
// has met such an error.
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "daemon/store/mounted.h"
#include "daemon/store/own_file.h"
#include "daemon/store/store_internal.h"
#include "proto/util/cleanup.h"

enum { LOOKS_A_WRITE = 5 };

static void complain(struct store_health *h, const char *what, int error)
{
    snprintf(h->problem, sizeof h->problem, "%s%s%s", what, error ? ": " : "", error ? strerror(-error) : "");
}

// The same directory, by its path.
static void check_place(struct store *s, struct store_health *h)
{
    struct stat mine, there;
    int r = s->ops->stat(s->dir_fd, &mine), by_path = stat(s->dir, &there) < 0 ? -errno : 0;

    if (store_is_shortage(r) || store_is_shortage(by_path))
        return;
    if (r < 0)
        complain(h, "the spill directory can't be looked at", r);
    else if (by_path < 0)
        complain(h, "the spill directory is not at its place any more", by_path);
    else if (mine.st_dev != there.st_dev || mine.st_ino != there.st_ino)
        complain(h,
                 "another directory is at the place of the spill directory: was its disk unmounted, or another one "
                 "mounted over it?",
                 0);
    else if (s->require_mount && !store_is_mounted(AT_FDCWD, s->dir))
        complain(h,
                 "the spill directory is no mount point any more, but spill_dir_require_mount = yes: was its disk "
                 "unmounted?",
                 0);
}

static bool wants_write(struct store *s)
{
    return atomic_exchange(&s->suspected, false) || !s->could_write || s->n_looks++ % LOOKS_A_WRITE == 0;
}

static void try_write(struct store *s, int fd, struct store_health *h)
{
    // Not a change of times: ext4 keeps quiet about that one.
    int r = s->ops->set_xattr(fd, "user.diskalloc.looked", "", 0);

    s->could_write = r == 0 || r == -ENOSPC || r == -EDQUOT || store_is_shortage(r);
    if (!s->could_write)
        complain(h, "the file system can't be written to: did the kernel find errors on it?", r);
}

static void check_writable(struct store *s, struct store_health *h)
{
    _cleanup_close_ int fd = -1;
    struct statvfs fs;
    int r = s->ops->stat_fs(s->dir_fd, &fs);

    if (store_is_shortage(r))
        return;
    if (r < 0) {
        complain(h, "the file system can't be looked at", r);
        return;
    }
    if (fs.f_flag & ST_RDONLY) {
        complain(h, "the file system is mounted read-only: did the kernel find errors on it?", 0);
        return;
    }
    // Opening changes nothing.
    if (own_file_is_odd(s->dir_fd, STORE_RESERVE_NAME)) // says nothing about the file system
        fd = -ENOENT;
    else
        fd = s->ops->open_at(s->dir_fd, STORE_RESERVE_NAME, O_RDWR | O_NONBLOCK, 0);
    if (fd == -EROFS)
        complain(h, "the file system has become read-only: did the kernel find errors on it?", 0);
    else if ((fd >= 0 || fd == -ENOENT) && wants_write(s))
        try_write(s, fd >= 0 && own_file_is_fit(fd, STORE_RESERVE_SIZE) ? fd : s->dir_fd, h);
    else if (fd < 0 && fd != -ENOENT && !store_is_shortage(fd))
        complain(h,
                 "the file system does not open files any more (tried with " STORE_RESERVE_NAME
                 ": if the disk is well, remove that file)",
                 fd);
}

void store_suspect(struct store *s)
{
    s->suspected = true;
}

void store_look(struct store *s, struct store_health *ret)
{
    *ret = (struct store_health){0};
    check_place(s, ret);
    if (!ret->problem[0])
        check_writable(s, ret);
    ret->n_limits = full_limits(s->ops, s->dir_fd, ret->limits);
}
