// Asking the kernel who still uses a file, and proving at start that its answer can be trusted.
//
// The kernel refuses a write lease (fcntl(2), F_SETLEASE) while any other process has the file open, also for reading
// only, or maps it, also through a descriptor that it has closed, and also in a forked child.  The daemon removes
// memory of dead clients on that word alone.
//
// Not everywhere does the kernel see a mapping: on overlayfs a mapping holds the file below and not the file that the
// daemon opens, some file systems have no leases, and leases can be switched off (fs.leases-enable).  There the
// daemon would remove the memory of live clients, or no memory ever.  So store_open tries it, and refuses such a
// directory.
#include "daemon/store/lease.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include "proto/util/cleanup.h"
#include "proto/util/page.h"

static int try(int fd, int lease)
{
    if (fcntl(fd, F_SETLEASE, lease) < 0)
        return errno == EAGAIN ? 0 : -errno;
    return fcntl(fd, F_SETLEASE, F_UNLCK) < 0 ? -errno : 1;
}

int lease_ask(int fd)
{
    return try(fd, F_WRLCK);
}

// A read lease is refused only while a process has the file open for writing, or maps it from such a descriptor.
int lease_ask_writers(int fd)
{
    return try(fd, F_RDLCK);
}

// A descriptor for reading of a file that nobody else knows, and *RET_MEMORY is one page of the file, mapped through
// another descriptor that is closed already.  -errno.
static int map_probe(const struct file_ops *ops, int dir_fd, const char *spare, size_t page, void **ret_memory)
{
    char self[64];
    void *memory;
    int reader, fd = ops->open_at(dir_fd, ".", O_TMPFILE | O_RDWR, 0600);

    // Without free inodes a new file cannot be made.
    if (fd == -ENOSPC || fd == -EDQUOT)
        fd = ops->open_at(dir_fd, spare, O_RDWR, 0);
    if (fd < 0)
        return fd;
    snprintf(self, sizeof self, "/proc/self/fd/%d", fd);
    reader = open(self, O_RDONLY | O_CLOEXEC);
    memory = reader < 0 ? MAP_FAILED : mmap(NULL, page, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    close(fd);
    if (memory == MAP_FAILED) {
        int r = -errno;

        if (reader >= 0)
            close(reader);
        return r;
    }
    *ret_memory = memory;
    return reader;
}

// Whether the lease is granted now that the page is unmapped.  A program that looks at all files, such as a virus
// scanner, may have the file open for a moment.
static int wait_for_lease(int fd)
{
    static const struct timespec pause = {.tv_nsec = 10L * 1000 * 1000};
    int r = lease_ask(fd);

    for (int i = 0; r == 0 && i < 100; i++) {
        nanosleep(&pause, NULL);
        r = lease_ask(fd);
    }
    return r;
}

const char *lease_check(const struct file_ops *ops, int dir_fd, const char *spare, int *ret_error)
{
    const size_t page = page_size();
    void *memory = NULL;
    _cleanup_close_ int fd = map_probe(ops, dir_fd, spare, page, &memory);
    int mapped, unmapped;

    *ret_error = -EOPNOTSUPP;
    if (fd < 0) {
        *ret_error = fd;
        if (fd == -EOPNOTSUPP)
            return "its file system cannot make files without a name (O_TMPFILE), as network file systems and those in "
                   "user space cannot: use a directory on a disk of this machine";
        return "cannot map a file there, to see whether the kernel tells who uses it";
    }
    mapped = lease_ask(fd);
    munmap(memory, page);
    unmapped = mapped == 0 ? wait_for_lease(fd) : 0;
    if (mapped == 1)
        return "the kernel does not tell there whether a process maps a file (as on overlayfs), so memory in use could "
               "be removed: use a directory on a disk's own file system";
    if (mapped < 0)
        return "its file system grants no leases (see fcntl(2); is the sysctl fs.leases-enable 0?), by which "
               "diskallocd learns whether memory is in use";
    if (unmapped != 1)
        return "its file system grants no lease on a file that nobody uses, so memory of dead clients could never be "
               "removed";
    *ret_error = 0;
    return NULL;
}
