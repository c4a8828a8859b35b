// Linked into programs whose file systems or schedules would wait for a disk, and whose outcome does not depend on a
// disk: their scratch directory is a file system in memory, if there is a large one (see in_memory_programs in
// tests/CMakeLists.txt).  $DISKALLOC_TEST_DIR goes first.
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/statvfs.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "proto/util/cleanup.h"

enum { ENOUGH_MIB = 2048 };

static unsigned long long available_mib(void)
{
    FILE *f = fopen("/proc/meminfo", "re");
    unsigned long long kib = 0;
    char line[128];

    while (f && fgets(line, sizeof line, f))
        if (sscanf(line, "MemAvailable: %llu", &kib) == 1)
            break;
    if (f)
        fclose(f);
    return kib / 1024;
}

// File systems in memory of Linux 6.6 and later keep the records, which are extended attributes.  The process that
// removes what a test leaves has to know the directory: it is forked before main.
__attribute__((constructor(101))) static void choose_memory(void)
{
    _cleanup_close_ int fd = open("/dev/shm", O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
    struct statvfs s;

    if (fd >= 0 && fsetxattr(fd, "user.diskalloc", "", 0, 0) == 0 && fstatvfs(fd, &s) == 0 &&
        s.f_bavail * s.f_frsize / (1 << 20) >= ENOUGH_MIB && available_mib() >= 2 * ENOUGH_MIB)
        setenv("DISKALLOC_TEST_DIR", "/dev/shm", 0);
}
