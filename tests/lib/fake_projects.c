// See fake_projects.h.
#include "tests/lib/fake_projects.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/falloc.h>
#include <pthread.h>
#include <string.h>
#include <sys/stat.h>

#include "proto/spill/fileops.h"
#include "tests/lib/harness.h"

enum { MOST = 256 };

static struct {
    ino_t inode;
    uint32_t id;
    uint64_t bytes; // when it was asked for last
} files[MOST];
static struct {
    uint32_t id;
    uint64_t limit;
    unsigned n_others;
} projects[MOST];
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

_Atomic(enum fake_call) fake_failing;
_Atomic int fake_failure;
_Atomic unsigned n_fake_limits, n_fake_refusals;

void fake_projects_reset(void)
{
    memset(files, 0, sizeof files);
    memset(projects, 0, sizeof projects);
    fake_failing = FAKE_NONE;
    n_fake_limits = n_fake_refusals = 0;
}

static unsigned find_file(ino_t inode)
{
    unsigned i = 0;

    while (i < MOST && files[i].inode != inode)
        i++;
    for (unsigned k = 0; i == MOST && k < MOST; k++)
        if (files[k].id == 0)
            i = k;
    assert_true(i < MOST);
    if (files[i].inode != inode)
        memset(&files[i], 0, sizeof files[i]);
    files[i].inode = inode;
    return i;
}

static unsigned find_project(uint32_t id)
{
    unsigned i = 0;

    while (i < MOST && projects[i].id != id)
        i++;
    for (unsigned k = 0; i == MOST && k < MOST; k++)
        if (projects[k].limit == 0 && projects[k].n_others == 0)
            i = k;
    assert_true(i < MOST);
    projects[i].id = id;
    return i;
}

static bool fails(enum fake_call call)
{
    return fake_failing == call;
}

static uint32_t of(int fd)
{
    struct stat st;
    uint32_t id;

    if (fstat(fd, &st) < 0)
        return 0;
    pthread_mutex_lock(&lock);
    id = files[find_file(st.st_ino)].id;
    pthread_mutex_unlock(&lock);
    return id;
}

uint32_t fake_project_of(int fd)
{
    return of(fd);
}

static int set(int fd, uint32_t id)
{
    struct stat st;

    if (fails(FAKE_SET))
        return fake_failure;
    if (fstat(fd, &st) < 0)
        return -errno;
    pthread_mutex_lock(&lock);
    files[find_file(st.st_ino)].id = id;
    pthread_mutex_unlock(&lock);
    return 0;
}

static int check(int fd)
{
    (void)fd;
    return fails(FAKE_CHECK) ? fake_failure : 0;
}

// A limit of 0 is set when the file is gone: its inode may be used again.
static int limit(int fd, uint32_t id, uint64_t bytes)
{
    (void)fd;
    if (fails(FAKE_LIMIT))
        return fake_failure;
    pthread_mutex_lock(&lock);
    projects[find_project(id)].limit = bytes;
    for (unsigned i = 0; bytes == 0 && i < MOST; i++)
        if (files[i].id == id)
            memset(&files[i], 0, sizeof files[i]);
    pthread_mutex_unlock(&lock);
    n_fake_limits++;
    return 0;
}

uint64_t fake_limit(uint32_t id)
{
    uint64_t bytes;

    pthread_mutex_lock(&lock);
    bytes = projects[find_project(id)].limit;
    pthread_mutex_unlock(&lock);
    return bytes;
}

void fake_files(uint32_t id, unsigned n)
{
    projects[find_project(id)].n_others = n;
}

static int usage(int fd, uint32_t id, struct project_usage *ret)
{
    (void)fd;
    if (fails(FAKE_USAGE))
        return fake_failure;
    pthread_mutex_lock(&lock);
    *ret =
        (struct project_usage){.limit = projects[find_project(id)].limit, .files = projects[find_project(id)].n_others};
    for (unsigned i = 0; i < MOST; i++)
        if (files[i].id == id) {
            ret->files++;
            ret->bytes += files[i].bytes;
        }
    pthread_mutex_unlock(&lock);
    return 0;
}

int fake_allocate(int fd, int mode, uint64_t offset, uint64_t length)
{
    uint32_t id = of(fd);
    uint64_t most = id ? fake_limit(id) : 0;
    struct stat st;

    if (most == 0 || mode & FALLOC_FL_PUNCH_HOLE)
        return file_ops_system.allocate(fd, mode, offset, length);
    if (fstat(fd, &st) < 0)
        return -errno;
    pthread_mutex_lock(&lock);
    files[find_file(st.st_ino)].bytes = (uint64_t)st.st_blocks * 512;
    pthread_mutex_unlock(&lock);
    if ((uint64_t)st.st_blocks * 512 + length <= most)
        return file_ops_system.allocate(fd, mode, offset, length);
    n_fake_refusals++;
    return -EDQUOT;
}

const struct project_ops fake_projects = {.of = of, .set = set, .check = check, .limit = limit, .usage = usage};
