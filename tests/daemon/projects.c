// Which files are put into which projects, and what is said where they cannot be.
#include "daemon/fence/projects.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tests/lib/fake_projects.h"
#include "tests/lib/harness.h"
#include "tests/lib/scratch.h"

enum { N_FILES = 40 };

static char dir[128];
static int dir_fd;

static int open_dir(void **state)
{
    fake_projects_reset();
    snprintf(dir, sizeof dir, "%s/test-projects.XXXXXX", test_base_dir());
    if (!mkdtemp(dir))
        return -1;
    dir_fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    return dir_fd < 0 ? -1 : test_setup(state);
}

static int close_dir(void **state)
{
    int r = test_teardown(state);

    close(dir_fd);
    rmdir(dir);
    return r;
}

static int new_file(void)
{
    int fd = open(dir, O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);

    assert_true(fd >= 0);
    return fd;
}

static struct projects *hold(void)
{
    struct projects *p = NULL;
    const char *why;

    if (projects_new(&fake_projects, dir_fd, &p, &why) < 0)
        fail_msg("%s", why);
    return p;
}

static void expect_refused(enum fake_call call, int error, const char *sentence)
{
    struct projects *p;
    const char *why;

    fake_failing = call;
    fake_failure = error;
    assert_int_equal(projects_new(&fake_projects, dir_fd, &p, &why), error);
    if (!strstr(why, sentence))
        fail_msg("not the sentence: %s", why);
    fake_failing = FAKE_NONE;
}

static void what_is_missing_is_said(void **state)
{
    (void)state;
    expect_refused(FAKE_CHECK, -ENOSYS, "this kernel lacks quotactl_fd");
    expect_refused(FAKE_CHECK, -EPERM, "project-quota.conf");
    expect_refused(FAKE_CHECK, -EOPNOTSUPP, "not mounted with prjquota");
    expect_refused(FAKE_USAGE, -EPERM, "CAP_SYS_ADMIN");
    expect_refused(FAKE_LIMIT, -EPERM, "CAP_SYS_ADMIN");
    expect_refused(FAKE_SET, -EINVAL, "user namespace");
}

static void a_full_disk_does_not_keep_the_fence_from_holding(void **state)
{
    (void)state;
    fake_failing = FAKE_SET;
    fake_failure = -ENOSPC;
    projects_free(hold());
}

static void the_directory_and_files_of_the_administrators_are_left_alone(void **state)
{
    struct projects *p;
    struct project x = {0};
    const char *why;
    int fd = new_file();

    (void)state;
    assert_int_equal(fake_projects.set(dir_fd, 42), 0);
    assert_int_equal(projects_new(&fake_projects, dir_fd, &p, &why), -EXDEV);
    assert_non_null(strstr(why, "a project of the administrator's"));
    assert_int_equal(fake_projects.set(dir_fd, 0), 0);
    p = hold();
    assert_int_equal(fake_projects.set(fd, 42), 0);
    projects_bound(p, fd, &x, 4096, false);
    assert_int_equal(x.id, 0);
    assert_int_equal(fake_project_of(fd), 42);
    assert_int_equal(fake_limit(42), 0);
    projects_adopt(p, 42, &x);
    assert_int_equal(x.id, 0);
    projects_free(p);
    close(fd);
}

static void each_file_has_a_project_of_its_own_that_is_used_again_later(void **state)
{
    struct project x[N_FILES] = {0};
    struct projects *p = hold();
    uint32_t first;
    int fds[N_FILES];

    (void)state;
    for (int i = 0; i < N_FILES; i++) {
        fds[i] = new_file();
        projects_bound(p, fds[i], &x[i], 4096, false);
        assert_int_equal(x[i].id >> 24, 0xda);
        assert_int_equal(fake_project_of(fds[i]), x[i].id);
        assert_true(fake_limit(x[i].id) > 4096);
        for (int k = 0; k < i; k++)
            assert_int_not_equal(x[k].id, x[i].id);
    }
    first = x[0].id;
    projects_release(p, &x[0]);
    assert_int_equal(x[0].id, 0);
    assert_int_equal(fake_limit(first), 0);
    // It comes round again, but not at once.
    for (int i = 0; i < 2000 && x[0].id != first; i++) {
        projects_release(p, &x[0]);
        projects_bound(p, fds[0], &x[0], 4096, false);
        assert_int_not_equal(x[0].id, 0);
        if (i == 0)
            assert_int_not_equal(x[0].id, first);
        for (int k = 1; k < N_FILES; k++)
            assert_int_not_equal(x[k].id, x[0].id);
    }
    assert_int_equal(x[0].id, first);
    for (int i = 0; i < N_FILES; i++) {
        projects_release(p, &x[i]);
        close(fds[i]);
    }
    projects_free(p);
}

static void a_project_that_another_daemon_has_is_left_to_it(void **state)
{
    struct project x = {0}, y = {0};
    struct projects *p = hold();
    int fd = new_file(), other = new_file();

    (void)state;
    projects_bound(p, fd, &x, 0, false);
    for (uint32_t i = 1; i <= 40; i++)
        fake_files(x.id + i, 1);
    for (int i = 0; i < 4 && y.id == 0; i++)
        projects_bound(p, other, &y, 0, false);
    assert_int_not_equal(y.id, 0);
    assert_false(y.id > x.id && y.id <= x.id + 40);
    assert_int_equal(fake_project_of(other), y.id);
    projects_release(p, &x);
    projects_release(p, &y);
    projects_free(p);
    close(fd);
    close(other);
}

static void a_region_that_is_found_keeps_its_project_unless_another_has_it(void **state)
{
    struct projects *p = hold();
    struct project a = {0}, b, c = {0};
    int fd = new_file();

    (void)state;
    projects_adopt(p, 0xda000001, &a);
    assert_int_equal(a.id, 0xda000001);
    assert_true(projects_is_loose(p, &a, UINT64_MAX / 4, false)); // what an earlier daemon has set is not known
    projects_adopt(p, 0xda000001, &b);
    assert_int_equal(b.id, 0);
    projects_adopt(p, 0, &b);
    assert_int_equal(b.id, 0);
    projects_bound(p, -1, &a, 1 << 20, false);
    assert_false(projects_is_loose(p, &a, 1 << 20, false));
    assert_true(projects_is_loose(p, &a, 1 << 19, false));
    // A copy has the project of the original, and gets one of its own.
    fake_projects.set(fd, 0xda000001);
    projects_bound(p, fd, &c, 0, false);
    assert_int_not_equal(c.id, 0);
    assert_int_not_equal(c.id, 0xda000001);
    projects_release(p, &c);
    projects_free(p);
    close(fd);
}

static void a_limit_that_cannot_be_set_is_tried_again(void **state)
{
    struct projects *p = hold();
    struct project x = {0};
    int fd = new_file();

    (void)state;
    fake_failing = FAKE_LIMIT;
    fake_failure = -EIO;
    projects_bound(p, fd, &x, 1 << 20, true);
    assert_true(projects_is_loose(p, &x, 1 << 20, true));
    fake_failing = FAKE_NONE;
    projects_bound(p, fd, &x, 1 << 20, true);
    assert_false(projects_is_loose(p, &x, 1 << 20, true));
    assert_true(fake_limit(x.id) >= 1 << 20);
    projects_release(p, &x);
    projects_free(p);
    close(fd);
}

#define ON_DIR(f) cmocka_unit_test_setup_teardown(f, open_dir, close_dir)

int main(void)
{
    const struct CMUnitTest tests[] = {
        ON_DIR(what_is_missing_is_said),
        ON_DIR(a_full_disk_does_not_keep_the_fence_from_holding),
        ON_DIR(the_directory_and_files_of_the_administrators_are_left_alone),
        ON_DIR(each_file_has_a_project_of_its_own_that_is_used_again_later),
        ON_DIR(a_project_that_another_daemon_has_is_left_to_it),
        ON_DIR(a_region_that_is_found_keeps_its_project_unless_another_has_it),
        ON_DIR(a_limit_that_cannot_be_set_is_tried_again),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
