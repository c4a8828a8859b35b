// The daemon's own files that it changes in place: see own_file.h.
//
// Files at their names are not trusted.  A copy of the spill directory, or a mistake, may have made such a name a
// second name (a hard link) of a region's file, and the daemon would cut that region.  So a file is looked at before it
// is opened, because opening a pipe or a device has effects of its own, and again after that.
#include "daemon/store/own_file.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "proto/spill/record.h"
#include "proto/util/cleanup.h"

enum { ATTEMPTS = 100 }; // as another daemon may make and remove the file at the same time

bool own_file_is_fit(int fd, uint64_t max_size)
{
    struct stat st;

    return fstat(fd, &st) == 0 && S_ISREG(st.st_mode) && st.st_nlink == 1 && (uint64_t)st.st_size <= max_size &&
           fgetxattr(fd, RECORD_XATTR, NULL, 0) < 0;
}

bool own_file_is_odd(int dir_fd, const char *name)
{
    struct stat st;

    return fstatat(dir_fd, name, &st, AT_SYMLINK_NOFOLLOW) == 0 && !S_ISREG(st.st_mode);
}

static int try_open(int dir_fd, const char *name, uint64_t max_size)
{
    const int flags = O_RDWR | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK;
    _cleanup_close_ int fd = -1;
    struct stat st;

    if (own_file_is_odd(dir_fd, name))
        return -EEXIST;
    fd = openat(dir_fd, name, flags, 0);
    if (fd < 0 && errno == ENOENT) {
        fd = openat(dir_fd, name, flags | O_CREAT | O_EXCL, 0600);
        if (fd < 0 && errno == EEXIST)
            return -EAGAIN;
    }
    if (fd < 0)
        return -errno;
    if (own_file_is_fit(fd, max_size))
        return steal_fd(&fd);
    // Another daemon may have removed the file just now.
    return fstat(fd, &st) == 0 && st.st_nlink == 0 ? -EAGAIN : -EEXIST;
}

int own_file_open(int dir_fd, const char *name, uint64_t max_size)
{
    int r = -EAGAIN;

    for (int i = 0; r == -EAGAIN && i < ATTEMPTS; i++)
        r = try_open(dir_fd, name, max_size);
    return r;
}

int own_file_clear(int dir_fd, const char *name)
{
    struct stat st;
    bool is_directory;

    if (fstatat(dir_fd, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
        return errno == ENOENT ? 0 : -errno;
    if (S_ISREG(st.st_mode) && st.st_nlink < 2)
        return -EEXIST;
    is_directory = S_ISDIR(st.st_mode);
    if (unlinkat(dir_fd, name, is_directory ? AT_REMOVEDIR : 0) == 0 || errno == ENOENT)
        return 0;
    return is_directory && (errno == ENOTEMPTY || errno == EEXIST || errno == EBUSY) ? -EEXIST : -errno;
}
