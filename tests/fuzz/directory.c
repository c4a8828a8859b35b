// Where targets put sockets and files.  In memory where that can be: a disk would be the bottleneck.
#include <ftw.h>
#include <unistd.h>

#include "tests/fuzz/fuzz.h"

static char directory[64];
static pid_t maker;

static int remove_entry(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
    (void)st;
    (void)type;
    (void)ftw;
    remove(path);
    return 0;
}

static void remove_directory(void)
{
    if (getpid() == maker)
        nftw(directory, remove_entry, 8, FTW_DEPTH | FTW_PHYS | FTW_MOUNT);
}

const char *fuzz_directory(void)
{
    if (maker)
        return directory;
    snprintf(directory, sizeof directory, "%s/diskalloc-fuzz-XXXXXX", access("/dev/shm", W_OK) ? "/tmp" : "/dev/shm");
    FUZZ_ASSERT(mkdtemp(directory));
    maker = getpid();
    atexit(remove_directory);
    return directory;
}
