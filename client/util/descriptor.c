// See descriptor.h.
#include "client/util/descriptor.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "client/util/error.h"
#include "proto/util/cleanup.h"

static int read_cookie(int fd, uint64_t *ret)
{
    socklen_t n = sizeof *ret;

    return getsockopt(fd, SOL_SOCKET, SO_COOKIE, ret, &n) < 0 ? -errno : 0;
}

// A daemon may hand out descriptors of a file system that it serves itself (diskallocd(8), FENCES).  fstat(2) would ask
// the daemon, which may have ended; AT_STATX_DONT_SYNC takes what the kernel knows, and the fields that are used here
// do not change.
static int identify(int fd, struct descriptor *ret)
{
    struct descriptor d = {.fd = fd};
    struct statx st;
    int flags;

    if (statx(fd, "", AT_EMPTY_PATH | AT_STATX_DONT_SYNC, STATX_TYPE | STATX_INO, &st) < 0)
        return -errno;
    d.is_socket = S_ISSOCK(st.stx_mode);
    if (d.is_socket) {
        int r = read_cookie(fd, &d.number);

        *ret = d;
        return r;
    }
    flags = fcntl(fd, F_GETFL);
    if (flags < 0)
        return -errno;
    d.access = flags & O_ACCMODE;
    d.type = st.stx_mode & S_IFMT;
    d.device = makedev(st.stx_dev_major, st.stx_dev_minor);
    d.number = st.stx_ino;
    *ret = d;
    return 0;
}

int descriptor_above_standard(int fd)
{
    int moved = fd >= 0 && fd <= STDERR_FILENO ? fcntl(fd, F_DUPFD_CLOEXEC, STDERR_FILENO + 1) : -1;

    if (moved < 0)
        return fd;
    close(fd);
    return moved;
}

int descriptor_keep(struct descriptor *d, int fd)
{
    int r;

    fd = descriptor_above_standard(fd);
    r = identify(fd, d);

    if (r < 0) {
        cleanup_close(&fd);
        *d = DESCRIPTOR_NONE;
    }
    return r;
}

static bool is_same_file(const struct descriptor *a, const struct descriptor *b)
{
    return !a->is_socket && !b->is_socket && a->device == b->device && a->number == b->number && a->type == b->type &&
           a->access == b->access;
}

// A socket is asked for its cookie only: that is one system call.
int descriptor_check(const struct descriptor *d)
{
    struct descriptor now = {0};
    int r;

    if (d->fd < 0)
        return 0;
    if (d->is_socket)
        return read_cookie(d->fd, &now.number) == 0 && now.number == d->number;
    r = identify(d->fd, &now);
    if (r < 0)
        return r == -EBADF ? 0 : r;
    return is_same_file(d, &now);
}

bool descriptor_is_ours(const struct descriptor *d)
{
    return descriptor_check(d) == 1;
}

void descriptor_close(struct descriptor *d)
{
    if (descriptor_is_ours(d))
        close(d->fd);
    *d = DESCRIPTOR_NONE;
}

void descriptor_lose(struct descriptor *d)
{
    if (descriptor_is_ours(d))
        close(d->fd);
    d->fd = -1;
}

bool descriptor_is_dead(const struct descriptor *d)
{
    struct stat st;

    return fstat(d->fd, &st) < 0 && (errno == ENOTCONN || errno == ECONNABORTED);
}

int descriptor_revive(struct descriptor *d, int opened)
{
    _cleanup_close_ int fd = opened;

    return dup3(fd, d->fd, O_CLOEXEC) < 0 ? -errno : identify(d->fd, d);
}

int descriptor_replace(struct descriptor *d, int opened)
{
    struct descriptor now = DESCRIPTOR_NONE;
    int r = descriptor_keep(&now, opened);

    if (r < 0)
        return r;
    if (!is_same_file(d, &now)) {
        descriptor_close(&now);
        return -ESTALE;
    }
    *d = now;
    return 0;
}

// The name of the mapping that begins at ADDRESS in /proc/self/map_files.  Its end is not known: the kernel cuts a
// mapping into pieces of equal access.
static int find_mapping(const void *address, char *ret, size_t size)
{
    FILE *maps = fopen("/proc/self/maps", "re");
    _cleanup_free_ char *line = NULL;
    uintptr_t from, to;
    size_t n_line = 0;
    int r = maps ? -ENOENT : -errno;

    while (r == -ENOENT && getline(&line, &n_line, maps) >= 0)
        if (sscanf(line, "%" SCNxPTR "-%" SCNxPTR, &from, &to) == 2 && from == (uintptr_t)address) {
            snprintf(ret, size, "/proc/self/map_files/%" PRIxPTR "-%" PRIxPTR, from, to);
            r = 0;
        }
    if (maps)
        fclose(maps);
    return r;
}

static int refuse(const char *how)
{
    return error_why(-EBADF, "the program has closed the library's descriptor of the region's file, and %s", how);
}

// Only root may open a file through map_files, but everybody may read there what the file is called.
static int reopen_by_path(struct descriptor *d, const char *mapping)
{
    const int flags = d->access | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY;
    char path[PATH_MAX];
    ssize_t n = readlink(mapping, path, sizeof path - 1);
    int fd;

    if (n < 0)
        return refuse("/proc does not tell what that file was");
    path[n] = '\0';
    fd = open(path, flags);
    return fd >= 0 && descriptor_replace(d, fd) == 0 ? 0
                                                     : refuse("only root can open again a file that has lost its name");
}

int descriptor_reopen(struct descriptor *d, const void *address)
{
    char mapping[96];
    int fd;

    if (!address || find_mapping(address, mapping, sizeof mapping) < 0)
        return refuse("the file is not mapped");
    fd = open(mapping, d->access | O_CLOEXEC);
    return fd >= 0 && descriptor_replace(d, fd) == 0 ? 0 : reopen_by_path(d, mapping);
}
