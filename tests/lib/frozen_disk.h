// A file system that does not answer: frozen, and thawed when the test ends, however it ends.
#pragma once
#include "tests/lib/harness.h"
#include "tests/lib/loop_mount.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/wait.h>
#include <unistd.h>

struct ice {
    struct test_mount mount;
    int fd, life;
    pid_t guard;
};

static inline void ice_guard_against_the_end(struct ice *ice)
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
        setsid(); // who kills the test's whole group does not mean this one
        if (read(ends[0], &c, 1) >= 0)
            ioctl(ice->fd, FITHAW, 0);
        _exit(0);
    }
    close(ends[0]);
    ice->life = ends[1];
}

// False, with the reason printed, where that cannot be had.
static inline bool ice_prepare(struct ice *ice, uint64_t size)
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

static inline void ice_freeze(const struct ice *ice)
{
    assert_return_code(ioctl(ice->fd, FIFREEZE, 0), errno);
}

static inline void ice_thaw(const struct ice *ice)
{
    assert_return_code(ioctl(ice->fd, FITHAW, 0), errno);
}

static inline void ice_end(struct ice *ice)
{
    close(ice->life);
    waitpid(ice->guard, NULL, 0);
    close(ice->fd);
    test_unmount(&ice->mount);
}
