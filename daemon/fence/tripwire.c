// The holder of a region's descriptor can do more than map it: write behind its end, allocate blocks, punch holes
// or cut it (see facts in diskallocd(8), FENCES).  inotify reports each of these: IN_MODIFY comes for write(2),
// ftruncate(2) and every fallocate(2), and never for a store through a mapping.  So programs that only use their memory
// cost nothing, and a change behind the daemon's back is known at once.
//
// A watch on the directory of a user covers all regions of that user.  The events carry the name of the file, which
// is the region's handle, because descriptors that are handed out are opened by that name.  An event does not say who
// made the change or what it was: the daemon's own grows and shrinks raise events too.  So an event means that the
// region's file should be looked at (daemon/suspects.c), and nothing else.
//
// The events of a burst are read together: see daemon/fences.c.
#include "daemon/fence/tripwire.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/inotify.h>
#include <unistd.h>

enum {
    READ_SIZE = 64 * 1024, // bytes: some 1,000 events
    N_REMEMBERED = 1024,
};

struct tripwire {
    int fd;
    int dir_fd;
    // Users whose directories are watched, each as uid + 1 at the place uid % N_REMEMBERED.  Asking the kernel again
    // would do no harm, but takes 6.6 us, longer than opening the file.
    _Atomic uint32_t remembered[N_REMEMBERED];
    char buffer[READ_SIZE] __attribute__((aligned(8)));
};

int tripwire_new(int dir_fd, struct tripwire **ret)
{
    struct tripwire *t = calloc(1, sizeof *t);
    int r;

    if (!t)
        return -ENOMEM;
    t->dir_fd = dir_fd;
    t->fd = inotify_init1(IN_CLOEXEC | IN_NONBLOCK);
    if (t->fd < 0) {
        r = -errno;
        free(t);
        return r;
    }
    *ret = t;
    return 0;
}

void tripwire_free(struct tripwire *t)
{
    if (!t)
        return;
    close(t->fd);
    free(t);
}

int tripwire_fd(const struct tripwire *t)
{
    return t->fd;
}

// Watching a directory that is watched already changes nothing.  IN_EXCL_UNLINK: no events of files without a name,
// which only the daemon has open.
int tripwire_watch(struct tripwire *t, uid_t uid)
{
    _Atomic uint32_t *remembered = &t->remembered[uid % N_REMEMBERED];
    char path[64];

    if (*remembered == uid + 1)
        return 0;
    snprintf(path, sizeof path, "/proc/self/fd/%d/%u", t->dir_fd, uid);
    if (inotify_add_watch(t->fd, path, IN_MODIFY | IN_ONLYDIR | IN_EXCL_UNLINK) < 0)
        return -errno;
    *remembered = uid + 1;
    return 0;
}

void tripwire_forget(struct tripwire *t)
{
    for (size_t i = 0; i < N_REMEMBERED; i++)
        t->remembered[i] = 0;
}

bool tripwire_read(struct tripwire *t, void (*found)(void *data, const struct handle *handle), void *data,
                   bool *ret_lost)
{
    ssize_t n = read(t->fd, t->buffer, sizeof t->buffer);

    *ret_lost = false;
    for (ssize_t at = 0; at < n;) {
        const struct inotify_event *event = (const void *)(t->buffer + at);
        struct handle handle;

        if (event->mask & IN_Q_OVERFLOW)
            *ret_lost = true;
        else if (event->mask & IN_MODIFY && event->len > 0 && handle_parse(event->name, &handle) == 0)
            found(data, &handle);
        at += (ssize_t)(sizeof *event + event->len);
    }
    return n > 0;
}
