// Where targets put sockets and files.
#include <ftw.h>
#include <unistd.h>

#include "tests/fuzz/fuzz.h"

struct directory {
    char path[64];
    pid_t maker; // 0: it is not made yet
};

static struct directory in_memory, on_disk;

static int remove_entry(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
    (void)st;
    (void)type;
    (void)ftw;
    remove(path);
    return 0;
}

static void remove_directories(void)
{
    struct directory *const all[] = {&in_memory, &on_disk};

    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        if (getpid() == all[i]->maker)
            nftw(all[i]->path, remove_entry, 8, FTW_DEPTH | FTW_PHYS | FTW_MOUNT);
}

static const char *make(struct directory *d, const char *parent)
{
    if (d->maker)
        return d->path;
    FUZZ_ASSERT(snprintf(d->path, sizeof d->path, "%s/diskalloc-fuzz-XXXXXX", parent) < (int)sizeof d->path);
    FUZZ_ASSERT(mkdtemp(d->path));
    d->maker = getpid();
    atexit(remove_directories);
    return d->path;
}

const char *fuzz_directory(void)
{
    return make(&in_memory, access("/dev/shm", W_OK) ? "/tmp" : "/dev/shm");
}

const char *fuzz_disk_directory(void)
{
    const char *parent = getenv("DISKALLOC_TEST_DIR");

    return make(&on_disk, parent && *parent ? parent : "/var/tmp");
}
