// A disk that fails, for a daemon under test (LD_PRELOAD): a directory that has an entry ".fails" can be opened, and
// its entries cannot be read.
#include <dirent.h>
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stddef.h>
#include <unistd.h>

__attribute__((visibility("default"))) struct dirent *readdir(DIR *dir)
{
    static struct dirent *(*next)(DIR * dir);

    const int before = errno; // which stays at the end of a directory
    bool fails = faccessat(dirfd(dir), ".fails", F_OK, 0) == 0;

    if (!next)
        *(void **)&next = dlsym(RTLD_NEXT, "readdir");
    errno = fails ? EIO : before;
    return fails ? NULL : next(dir);
}
