// Where the disk's setting for reading ahead would cut large pages, each file that is mapped is read ahead twice as
// far.  How the kernel's pages look then depends on what else the machine does: client/memory/readahead.c has figures.
#include "client/memory/readahead.h"
#include "tests/lib/actor.h"
#include "tests/lib/loop_mount.h"
#include "tests/lib/test_backend.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/wait.h>

enum { DISK_MIB = 320, CUTS = 2560, FITS = 4096 };

DISKALLOC_VEC_DEFINE(u64s, uint64_t)

static unsigned n_advised;

int __real_posix_fadvise(int fd, off_t offset, off_t length, int advice);
int __wrap_posix_fadvise(int fd, off_t offset, off_t length, int advice);

int __wrap_posix_fadvise(int fd, off_t offset, off_t length, int advice)
{
    int e = __real_posix_fadvise(fd, offset, length, advice);

    n_advised += e == 0 && advice == POSIX_FADV_SEQUENTIAL && offset == 0 && length == 0;
    return e;
}

static bool vector_is_advised(struct diskalloc *da)
{
    unsigned before = n_advised;
    struct u64s v;

    NEED(u64s_init(&v, da) == 0 && u64s_resize(&v, 4 * MIB / 8) == 0);
    u64s_deinit(&v);
    return n_advised > before;
}

// LOSES: the program closes the descriptor, and the file is mapped again.
static bool region_is_advised(struct diskalloc *da, bool loses)
{
    struct diskalloc_region *r;
    unsigned before = n_advised;

    NEED(open_named(da, "named", MIB, DISKALLOC_REGION_CREATE, &r) == 0);
    if (loses) {
        before = n_advised;
        close(diskalloc_region_fd(r));
        NEED(diskalloc_region_resize(r, 2 * MIB) == 0);
    }
    diskalloc_region_close(r);
    NEED(diskalloc_region_unlink(da, "named") == 0);
    return n_advised > before;
}

// ---- A disk with a setting ----

static void set_read_ahead(const char *at, int kib)
{
    struct stat st;
    char path[128];
    FILE *f;

    assert_return_code(stat(at, &st), errno);
    snprintf(path, sizeof path, "/sys/dev/block/%u:%u/queue/read_ahead_kb", major(st.st_dev), minor(st.st_dev));
    f = fopen(path, "we");
    assert_non_null(f);
    fprintf(f, "%d\n", kib);
    assert_return_code(fclose(f), errno);
}

struct use {
    const char *address;
    bool remote, expected;
};

// In a process of its own: the library asks for the setting of a disk once.
static void use_all(void *data)
{
    const struct use *u = data;
    struct diskalloc *da = NULL;

    NEED(diskalloc_open(u->address, NULL, &da) == 0);
    NEED(vector_is_advised(da) == u->expected);
    NEED(region_is_advised(da, false) == u->expected);
    NEED(u->remote || region_is_advised(da, true) == u->expected);
    diskalloc_close(da);
    _exit(0);
}

static void use_with(const char *at, bool remote, int kib, bool expected)
{
    struct test_backend b;
    int status;

    set_read_ahead(at, kib);
    backend_start(&b, remote, "[daemon]\nkeep_free = 0\n", at);
    status = test_in_child(use_all, &(struct use){b.address, remote, expected}, (uid_t)-1);
    backend_stop(&b);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 0);
}

static void run_on(bool remote)
{
    struct test_mount m;

    if (!test_mount(&m, "ext4", DISK_MIB * MIB))
        skip();
    use_with(m.at, remote, CUTS, true);
    use_with(m.at, remote, FITS, false);
    test_unmount(&m);
}

static void files_of_such_a_disk_are_read_ahead_twice_as_far_with_a_daemon(void **s)
{
    (void)s;
    run_on(true);
}

static void files_of_such_a_disk_are_read_ahead_twice_as_far_embedded(void **s)
{
    (void)s;
    run_on(false);
}

static void settings_that_cut_are_known(void **s)
{
    (void)s;
    for (uint64_t kib = 0; kib <= 2048; kib += 64)
        assert_false(readahead_cuts_large(kib));
    for (uint64_t kib = 2112; kib < 4096; kib += 64)
        assert_true(readahead_cuts_large(kib));
    assert_false(readahead_cuts_large(4096));
    assert_false(readahead_cuts_large(UINT64_MAX));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(settings_that_cut_are_known),
        TEST(files_of_such_a_disk_are_read_ahead_twice_as_far_with_a_daemon),
        TEST(files_of_such_a_disk_are_read_ahead_twice_as_far_embedded),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
