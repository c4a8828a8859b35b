// See frozen_disk.h.
#include "tests/lib/frozen_disk.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/lib/loop_mount.h"

static void ice_guard_against_the_end(struct frozen_disk *ice)
{
    int ends[2];

    assert_return_code(pipe2(ends, O_CLOEXEC), errno);
    fflush(NULL);
    ice->guard = fork();
    assert_return_code(ice->guard, errno);
    if (ice->guard == 0) {
        char c;

        close(ends[1]);
        alarm(0);
        setsid(); // a signal to the whole group of the test must not end this process
        if (read(ends[0], &c, 1) >= 0)
            ioctl(ice->fd, FITHAW, 0);
        _exit(0);
    }
    close(ends[0]);
    ice->life = ends[1];
}

bool frozen_disk_prepare(struct frozen_disk *ice, uint64_t size)
{
    if (!test_mount(&ice->mount, "ext4", size))
        return false;
    ice->fd = open(ice->mount.at, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    assert_return_code(ice->fd, errno);
    if (ioctl(ice->fd, FIFREEZE, 0) < 0 || ioctl(ice->fd, FITHAW, 0) < 0) {
        print_message("[ NOTE     ] no freezing: %s\n", strerror(errno));
        close(ice->fd);
        test_unmount(&ice->mount);
        return false;
    }
    ice_guard_against_the_end(ice);
    return true;
}

void frozen_disk_freeze(const struct frozen_disk *ice)
{
    assert_return_code(ioctl(ice->fd, FIFREEZE, 0), errno);
}

void frozen_disk_thaw(const struct frozen_disk *ice)
{
    assert_return_code(ioctl(ice->fd, FITHAW, 0), errno);
}

void frozen_disk_end(struct frozen_disk *ice)
{
    close(ice->life);
    waitpid(ice->guard, NULL, 0);
    close(ice->fd);
    test_unmount(&ice->mount);
}
