// Changes that no event tells of: because the kernel has dropped events, because the daemon was not running, or because
// the kernel watches no more directories.
#include <fcntl.h>
#include <linux/falloc.h>
#include <signal.h>

#include "proto/util/cleanup.h"
#include "tests/lib/fenced.h"
#include "tests/lib/harness.h"
#include "tests/lib/scratch.h"

enum { SIZE = 1 << 20, BURST = 40000 };

// More than fs.inotify.max_queued_events.  Equal events that follow each other are one: so there are two files.
static void flood(int a, int b)
{
    for (int i = 0; i < BURST; i++)
        assert_int_equal(pwrite(i % 2 ? a : b, "\1", 1, 0), 1);
}

static void lost_events_make_the_daemon_look_at_every_region(void **state)
{
    struct diskalloc_region *a = NULL, *b = NULL;
    struct fenced f;
    int fd_a, fd_b;

    (void)state;
    fenced_start(&f, "auto", SIZE);
    assert_int_equal(diskalloc_region_create(f.da, NULL, &a), 0);
    assert_int_equal(diskalloc_region_create(f.da, NULL, &b), 0);
    assert_int_equal(diskalloc_region_resize(a, SIZE), 0);
    assert_int_equal(diskalloc_region_resize(b, SIZE), 0);
    fd_a = diskalloc_region_fd(a);
    fd_b = diskalloc_region_fd(b);
    test_daemon_halt(&f.daemon);
    flood(fd_a, fd_b);
    assert_int_equal(fallocate(f.fd, 0, 0, 3 * SIZE), 0);
    test_daemon_go_on(&f.daemon);
    fenced_await_exact(&f, 3 * SIZE);
    assert_true(fenced_is_exact(&f, a));
    assert_true(fenced_is_exact(&f, b));
    assert_int_equal(fenced_count_logged(&f, "changed behind the daemon's back"), 1);
    diskalloc_region_close(a);
    diskalloc_region_close(b);
    fenced_stop(&f);
}

static void a_client_that_floods_the_tripwire_is_served_as_before(void **state)
{
    struct diskalloc_region *a = NULL;
    struct fenced f;
    int fd;

    (void)state;
    fenced_start(&f, "auto", SIZE);
    assert_int_equal(diskalloc_region_create(f.da, NULL, &a), 0);
    fd = diskalloc_region_fd(a);
    for (uint64_t size = SIZE; size < 20 * SIZE; size += SIZE) {
        for (int i = 0; i < 2000; i++)
            assert_int_equal(pwrite(i % 2 ? fd : f.fd, "\1", 1, 0), 1);
        assert_int_equal(diskalloc_region_resize(f.region, size + SIZE), 0);
    }
    assert_int_equal(fallocate(f.fd, 0, 0, 64 * SIZE), 0);
    fenced_await_exact(&f, 20 * SIZE);
    diskalloc_region_close(a);
    fenced_stop(&f);
}

static void a_descriptor_of_an_earlier_daemon_is_watched(void **state)
{
    struct fenced f;
    int fd;

    (void)state;
    fenced_start(&f, "auto", SIZE);
    fd = dup(f.fd);
    test_daemon_kill(&f.daemon, SIGKILL);
    test_daemon_restart(&f.daemon);
    // Nobody has attached the region again.
    assert_int_equal(fallocate(fd, 0, 0, 3 * SIZE), 0);
    fenced_await_exact(&f, SIZE);
    close(fd);
    fenced_stop(&f);
}

static void a_change_while_no_daemon_runs_is_mended_at_start(void **state)
{
    struct fenced f;

    (void)state;
    fenced_start(&f, "auto", SIZE);
    test_daemon_kill(&f.daemon, SIGKILL);
    assert_int_equal(fallocate(f.fd, 0, 0, 3 * SIZE), 0);
    test_daemon_restart(&f.daemon);
    fenced_await_exact(&f, SIZE);
    fenced_stop(&f);
}

// An administrator has removed a user's directory by hand; the daemon makes it again.
static void a_directory_that_was_made_again_is_watched(void **state)
{
    struct diskalloc_region *gone;
    struct fenced f;
    char dir[320];

    (void)state;
    fenced_start(&f, "auto", SIZE);
    snprintf(dir, sizeof dir, "%s/%u", f.daemon.spill, getuid());
    scratch_remove_tree(dir);
    gone = f.region;
    f.region = NULL;
    assert_int_equal(diskalloc_region_create(f.da, NULL, &f.region), 0);
    assert_int_equal(diskalloc_region_resize(f.region, SIZE), 0);
    assert_int_equal(fallocate(diskalloc_region_fd(f.region), 0, 0, 3 * SIZE), 0);
    diskalloc_region_close(gone);
    fenced_await_exact(&f, SIZE);
    fenced_stop(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(lost_events_make_the_daemon_look_at_every_region),
        TEST(a_client_that_floods_the_tripwire_is_served_as_before),
        TEST(a_descriptor_of_an_earlier_daemon_is_watched),
        TEST(a_directory_that_was_made_again_is_watched),
        TEST(a_change_while_no_daemon_runs_is_mended_at_start),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
