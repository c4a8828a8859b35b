// Small text files beside the regions: see small_file.h.
#include "daemon/store/small_file.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "proto/util/cleanup.h"

enum { MOST = 16 << 20 }; // bytes

int small_file_read(int dir_fd, const char *name, char **ret)
{
    _cleanup_close_ int fd = openat(dir_fd, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
    _cleanup_free_ char *text = NULL;
    struct stat st;
    size_t n = 0;

    if (fd < 0 || fstat(fd, &st) < 0)
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

int small_file_write(int dir_fd, const char *name, const char *text)
{
    _cleanup_close_ int fd = -1;
    char temporary[NAME_MAX + 1];
    int r;

    snprintf(temporary, sizeof temporary, "%s.new", name);
    if (unlinkat(dir_fd, temporary, 0) < 0 && errno != ENOENT)
        return -errno;
    fd = openat(dir_fd, temporary, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (fd < 0)
        return -errno;
    r = write_whole(fd, text);
    if (r == 0 && renameat(dir_fd, temporary, dir_fd, name) < 0)
        r = -errno;
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
