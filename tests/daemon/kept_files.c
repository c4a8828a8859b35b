// The daemon keeps the files of regions that grow open: not for long, not many, and not so that its own work trips
// the wire.
#include <dirent.h>
#include <errno.h>
#include <limits.h>
#include <sys/inotify.h>

#include "proto/util/cleanup.h"
#include "tests/lib/test_backend.h"
#include "tests/lib/test_daemon.h"

// Operations that are under way, such as the removal of an earlier region, have files open as well.
enum { MOST_FILES = 64, UNDER_WAY = 8, PERIOD_S = 2 };

static struct test_daemon daemon_;
static struct diskalloc *da;

static int start(void **state)
{
    (void)state;
    test_daemon_start(&daemon_, NULL, NULL);
    return diskalloc_open(daemon_.address, NULL, &da);
}

static int stop(void **state)
{
    (void)state;
    diskalloc_close(da);
    test_daemon_stop_and_remove(&daemon_);
    return 0;
}

static size_t count_open_region_files(void)
{
    char fds[64], path[PATH_MAX], target[PATH_MAX];
    size_t n = 0, spill = strlen(daemon_.spill);
    struct dirent *e;
    DIR *dir;

    snprintf(fds, sizeof fds, "/proc/%d/fd", (int)daemon_.pid);
    dir = opendir(fds);
    assert_non_null(dir);
    while ((e = readdir(dir))) {
        struct stat st;
        ssize_t length;

        snprintf(path, sizeof path, "%s/%s", fds, e->d_name);
        length = readlink(path, target, sizeof target - 1);
        if (length < (ssize_t)spill || strncmp(target, daemon_.spill, spill) != 0 || stat(path, &st) < 0)
            continue;
        // The lock and the reserve are files of the directory itself.
        target[length] = '\0';
        n += S_ISREG(st.st_mode) && strchr(target + spill + 1, '/') != NULL;
    }
    closedir(dir);
    return n;
}

static bool none_is_open(void *data)
{
    (void)data;
    return count_open_region_files() == 0;
}

static void a_file_that_is_not_used_is_closed(void **state)
{
    struct diskalloc_region *r = make_region(da, 4096);

    (void)state;
    assert_int_equal(diskalloc_region_resize(r, 8192), 0);
    test_wait_until(none_is_open, NULL, 10 * PERIOD_S, "the daemon closes the file");
    assert_int_equal(diskalloc_region_resize(r, 12288), 0);
    test_wait_until(none_is_open, NULL, 10 * PERIOD_S, "the daemon closes the file again");
    diskalloc_region_close(r);
}

static void no_more_than_a_few_files_stay_open(void **state)
{
    struct diskalloc_region *regions[MOST_FILES + 40];
    const size_t n = sizeof regions / sizeof *regions;

    (void)state;
    for (size_t i = 0; i < n; i++)
        regions[i] = make_region(da, 4096);
    assert_in_range(count_open_region_files(), 1, MOST_FILES + UNDER_WAY);
    for (size_t i = 0; i < n; i++)
        assert_int_equal(diskalloc_region_resize(regions[i], 8192), 0);
    assert_in_range(count_open_region_files(), 1, MOST_FILES + UNDER_WAY);
    for (size_t i = 0; i < n; i++)
        diskalloc_region_close(regions[i]);
    test_wait_until(none_is_open, NULL, 10 * PERIOD_S, "the daemon closes the files");
}

// In between the daemon may have closed the file because it was not used for a while, as on a busy machine; and it
// removes the regions of earlier tests.
static bool a_new_region_grows_without_events(void *watch)
{
    struct diskalloc_region *r;
    char buffer[16 * 1024];
    ssize_t n;

    while (read(*(int *)watch, buffer, sizeof buffer) > 0)
        ;
    r = make_region(da, 4096);
    for (uint64_t i = 2; i < 100; i++)
        assert_int_equal(diskalloc_region_resize(r, i * 4096), 0);
    n = read(*(int *)watch, buffer, sizeof buffer);
    diskalloc_region_close(r);
    return n == -1 && errno == EAGAIN;
}

// The watch is the tripwire's.  The user's directory is there since the first region.
static void the_grows_of_a_new_region_are_no_events(void **state)
{
    struct diskalloc_region *first = make_region(da, 4096);
    _cleanup_close_ int watch = inotify_init1(IN_CLOEXEC | IN_NONBLOCK);
    char path[200];

    (void)state;
    snprintf(path, sizeof path, "%s/%u", daemon_.spill, (unsigned)geteuid());
    assert_return_code(watch, errno);
    assert_return_code(inotify_add_watch(watch, path, IN_MODIFY | IN_ONLYDIR | IN_EXCL_UNLINK), errno);
    test_wait_until(a_new_region_grows_without_events, &watch, 30, "a region grows, and nothing is reported");
    diskalloc_region_close(first);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_file_that_is_not_used_is_closed),
        TEST(no_more_than_a_few_files_stay_open),
        TEST(the_grows_of_a_new_region_are_no_events),
    };

    return cmocka_run_group_tests(tests, start, stop);
}
