// A file system that does not answer: it is frozen, and thawed when the test ends, however the test ends.
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

struct frozen_disk {
    struct test_mount mount;
    int fd, life;
    pid_t guard;
};

// False, with the reason printed, where that cannot be had.
bool frozen_disk_prepare(struct frozen_disk *ice, uint64_t size);
void frozen_disk_freeze(const struct frozen_disk *ice);
void frozen_disk_thaw(const struct frozen_disk *ice);
void frozen_disk_end(struct frozen_disk *ice);
