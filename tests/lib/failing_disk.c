// A disk that fails, for a daemon under test (LD_PRELOAD): a directory that has an entry ".fails" can be opened, and
// its entries cannot be read; nor can those of one with ".lacks", for want of descriptors.  In one that has an entry
// ".hangs", no extended attribute is written as long as that entry is there: a spill directory can be touched, and
// opening it hangs.
#include <dirent.h>
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/xattr.h>
#include <unistd.h>

__attribute__((visibility("default"))) struct dirent *readdir(DIR *dir)
{
    static struct dirent *(*next)(DIR * dir);

    const int before = errno; // which stays at the end of a directory
    int error = faccessat(dirfd(dir), ".fails", F_OK, 0) == 0 ? EIO : 0;

    if (faccessat(dirfd(dir), ".lacks", F_OK, 0) == 0)
        error = ENFILE;
    if (!next)
        *(void **)&next = dlsym(RTLD_NEXT, "readdir");
    errno = error ? error : before;
    return error ? NULL : next(dir);
}

// The directory of the file FD has an entry ".hangs".
static bool hangs(int fd)
{
    char link[64], path[4096];
    ssize_t n;
    char *slash;

    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    n = readlink(link, path, sizeof path - sizeof "/.hangs");
    path[n > 0 ? n : 0] = '\0';
    slash = strrchr(path, '/');
    return slash && strcpy(slash, "/.hangs") && access(path, F_OK) == 0;
}

__attribute__((visibility("default"))) int fsetxattr(int fd, const char *name, const void *value, size_t size,
                                                     int flags)
{
    static int (*next)(int fd, const char *name, const void *value, size_t size, int flags);

    while (hangs(fd))
        poll(NULL, 0, 10);
    if (!next)
        *(void **)&next = dlsym(RTLD_NEXT, "fsetxattr");
    return next(fd, name, value, size, flags);
}
