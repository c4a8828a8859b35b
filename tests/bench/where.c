#include "tests/bench/where.h"

#include <fcntl.h>
#include <linux/loop.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "proto/util/cleanup.h"

static char *dir_before; // $DISKALLOC_TEST_DIR; NULL: there was none

// The source of the mount point AT, as /proc/self/mounts has it: "/dev/loop0".
static bool find_source(const char *at, char *ret, size_t size)
{
    FILE *f = fopen("/proc/self/mounts", "re");
    char line[1024], source[256], point[512];
    bool found = false;

    while (f && !found && fgets(line, sizeof line, f))
        found = sscanf(line, "%255s %511s", source, point) == 2 && !strcmp(point, at);
    if (f)
        fclose(f);
    if (found)
        snprintf(ret, size, "%s", source);
    return found;
}

// Otherwise each page of the image would be in memory twice, and what the disk does would not be seen.
static void pass_page_cache(const char *at)
{
    _cleanup_close_ int fd = -1;
    char device[256];

    if (find_source(at, device, sizeof device))
        fd = open(device, O_RDWR | O_CLOEXEC);
    if (fd < 0 || ioctl(fd, LOOP_SET_DIRECT_IO, 1L) < 0)
        fprintf(stderr, "%s: the image is read and written through the page cache: %m\n", at);
}

bool where_knows(const char *type)
{
    static const char *const types[] = {"ext4", "xfs", "btrfs", "tmpfs"};

    for (size_t i = 0; i < sizeof types / sizeof *types; i++)
        if (!strcmp(types[i], type))
            return true;
    return false;
}

bool where_make(struct test_mount *m, const char *type, uint64_t bytes)
{
    if (!strcmp(type, "tmpfs")) {
        if (!test_mount_tmpfs(m, bytes))
            return false;
    } else if (test_mount(m, type, bytes))
        pass_page_cache(m->at);
    else
        return false;
    if (getenv("DISKALLOC_TEST_DIR"))
        dir_before = strdup(getenv("DISKALLOC_TEST_DIR"));
    setenv("DISKALLOC_TEST_DIR", m->at, 1);
    return true;
}

void where_remove(struct test_mount *m)
{
    if (!m->mounted)
        return;
    if (dir_before)
        setenv("DISKALLOC_TEST_DIR", dir_before, 1);
    else
        unsetenv("DISKALLOC_TEST_DIR");
    free(dir_before);
    dir_before = NULL;
    test_unmount(m);
}
