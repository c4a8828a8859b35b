// Small text files beside the regions: see small_file.h.
#include "daemon/store/small_file.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "proto/spill/record.h"
#include "proto/util/cleanup.h"

enum { MOST = 16 << 20 }; // bytes

int small_file_open(int dir_fd, const char *name)
{
    _cleanup_close_ int fd = -1;
    struct stat st;

    if (fstatat(dir_fd, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
        return -errno;
    // Before it is opened: opening a device has effects of its own.
    if (!S_ISREG(st.st_mode))
        return S_ISDIR(st.st_mode) ? -EISDIR : S_ISLNK(st.st_mode) ? -ELOOP : -EINVAL;
    fd = openat(dir_fd, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
    if (fd < 0)
        return -errno;
    // The content of a region is its user's, who sets no quotas.
    return fgetxattr(fd, RECORD_XATTR, NULL, 0) >= 0 ? -EINVAL : steal_fd(&fd);
}

int small_file_read(int dir_fd, const char *name, char **ret)
{
    _cleanup_close_ int fd = small_file_open(dir_fd, name);
    _cleanup_free_ char *text = NULL;
    struct stat st;
    size_t n = 0;

    if (fd < 0)
        return fd;
    if (fstat(fd, &st) < 0)
        return -errno;
    if (st.st_size > MOST)
        return -EFBIG;
    text = malloc((size_t)st.st_size + 1);
    if (!text)
        return -ENOMEM;
    while (n < (size_t)st.st_size) {
        ssize_t got = read(fd, text + n, (size_t)st.st_size - n);

        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            return -errno;
        if (got == 0)
            break;
        n += (size_t)got;
    }
    text[n] = '\0';
    *ret = steal(&text);
    return 0;
}

static int write_whole(int fd, const char *text)
{
    for (size_t n = strlen(text); n > 0;) {
        ssize_t written = write(fd, text, n);

        if (written < 0 && errno == EINTR)
            continue;
        if (written < 0)
            return -errno;
        text += written;
        n -= (size_t)written;
    }
    return fsync(fd) < 0 ? -errno : 0;
}

static int remove_old(int dir_fd, const char *name)
{
    if (unlinkat(dir_fd, name, 0) == 0 || errno == ENOENT)
        return 0;
    if (errno == EISDIR && unlinkat(dir_fd, name, AT_REMOVEDIR) == 0)
        return 0;
    return -errno;
}

static int put_in_place(int dir_fd, const char *temporary, const char *name)
{
    if (renameat(dir_fd, temporary, dir_fd, name) == 0)
        return 0;
    if (errno == EISDIR && unlinkat(dir_fd, name, AT_REMOVEDIR) == 0 && renameat(dir_fd, temporary, dir_fd, name) == 0)
        return 0;
    return -errno;
}

int small_file_write(int dir_fd, const char *name, const char *text)
{
    _cleanup_close_ int fd = -1;
    char temporary[NAME_MAX + 1];
    int r;

    snprintf(temporary, sizeof temporary, "%s.new", name);
    r = remove_old(dir_fd, temporary);
    if (r < 0)
        return r;
    fd = openat(dir_fd, temporary, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (fd < 0)
        return -errno;
    r = write_whole(fd, text);
    if (r == 0)
        r = put_in_place(dir_fd, temporary, name);
    if (r < 0) {
        unlinkat(dir_fd, temporary, 0);
        return r;
    }
    return fsync(dir_fd) < 0 ? 1 : 0;
}

int small_file_put_aside(int dir_fd, const char *name)
{
    char old[NAME_MAX + 1];

    snprintf(old, sizeof old, "%s.old", name);
    return renameat(dir_fd, name, dir_fd, old) < 0 ? -errno : 0;
}
