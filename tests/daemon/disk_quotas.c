// Quotas of the file system below the daemon: they are named when they refuse, and waited for.
#include "tests/lib/disk.h"
#include "tests/lib/test_backend.h"

#include <fcntl.h>
#include <linux/quota.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>

static bool has_quota_of_20_mib(void *data)
{
    return health_of(data).quota_limit == 20 * MIB;
}

static int set_user_quota(const char *at, uint64_t bytes, uint64_t files)
{
    struct if_dqblk q = {.dqb_bhardlimit = bytes / 1024, .dqb_ihardlimit = files, .dqb_valid = QIF_LIMITS};
    int fd = open(at, O_RDONLY | O_CLOEXEC);
    int r = (int)syscall(SYS_quotactl_fd, fd, QCMD((unsigned)Q_SETQUOTA, USRQUOTA), 0, &q);

    close(fd);
    return r;
}

// In a child: root's privilege to pass quotas is given up, for the daemon too, and can't be had again.
static void meet_quotas(void *data)
{
    struct diskalloc_error_info info;
    struct diskalloc_region *r, *other;
    struct disk d = {0};

    (void)data;
    if (prctl(PR_CAPBSET_DROP, 24 /* CAP_SYS_RESOURCE */) != 0 ||
        !test_mount_with(&d.m, "ext4", DISK, "-Oquota", "usrquota"))
        exit(77);
    disk_serve(&d, NULL);
    r = make_region(d.da, MIB);
    assert_int_equal(set_user_quota(d.m.at, 20 * MIB, 0), 0);
    info = EXPECT_FAILURE(-ENOSPC, "diskalloc_region_resize", diskalloc_region_resize(r, 30 * MIB));
    assert_string_equal(info.limit_name, "file system quota");
    assert_int_equal(info.limit, 20 * MIB);
    assert_true(info.used >= MIB && info.used < 4 * MIB);
    assert_int_equal(info.asked, 29 * MIB);
    assert_non_null(strstr(diskalloc_last_error(), "file system quota: limit 20M"));
    // what could be granted never, is refused at once; what could, is waited for
    EXPECT_FAILURE(-ENOSPC, "diskalloc_region_resize_wait", diskalloc_region_resize_wait(r, 30 * MIB, 60000));
    EXPECT_FAILURE(-ETIMEDOUT, "diskalloc_region_resize_wait",
                   diskalloc_region_resize_wait(r, 19 * MIB + 900 * KIB, 300));
    test_wait_until(has_quota_of_20_mib, &d, 60, "the status that tells of the quota");
    assert_int_equal(diskalloc_region_resize(r, 15 * MIB), 0);
    assert_int_equal(set_user_quota(d.m.at, 0, 1), 0);
    info = EXPECT_FAILURE(-ENOSPC, "diskalloc_region_create", diskalloc_region_create(d.da, NULL, &other));
    assert_string_equal(info.limit_name, "file system quota inodes");
    diskalloc_region_close(r);
    disk_end(&d);
    exit(0);
}

static bool run(const char *format, const char *at)
{
    char command[600];

    snprintf(command, sizeof command, format, at);
    return system(command) == 0;
}

// A qgroup of btrfs: its numbers are not known.
static void a_quota_without_numbers_is_named_and_waited_for(void **state)
{
    struct diskalloc_error_info info;
    struct diskalloc_region *r;
    struct disk d = {0};

    (void)state;
    if (!test_mount(&d.m, "btrfs", 256 << 20))
        skip();
    if (!run("btrfs quota enable %1$s >/dev/null 2>&1 && btrfs qgroup limit 20M %1$s >/dev/null 2>&1", d.m.at)) {
        test_unmount(&d.m);
        skip();
    }
    disk_serve(&d, NULL);
    r = make_region(d.da, MIB);
    info = EXPECT_FAILURE(-ENOSPC, "diskalloc_region_resize", diskalloc_region_resize(r, 40 * MIB));
    assert_string_equal(info.limit_name, "file system quota");
    assert_int_equal(info.limit, 0);
    assert_null(strstr(diskalloc_last_error(), "limit 0"));
    EXPECT_FAILURE(-ETIMEDOUT, "diskalloc_region_resize_wait", diskalloc_region_resize_wait(r, 40 * MIB, 300));
    assert_true(test_daemon_logged(&d.daemon, "file system quota: refused 39M"));
    assert_true(run("btrfs qgroup limit none %1$s >/dev/null 2>&1", d.m.at));
    assert_int_equal(diskalloc_region_resize_wait(r, 40 * MIB, 60000), 0);
    diskalloc_region_close(r);
    disk_end(&d);
}

static void quotas_of_the_file_system_are_named_and_waited_for(void **state)
{
    int status = test_in_child(meet_quotas, NULL, (uid_t)-1);

    (void)state;
    assert_true(WIFEXITED(status));
    if (WEXITSTATUS(status) == 77)
        skip();
    assert_int_equal(WEXITSTATUS(status), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_quota_without_numbers_is_named_and_waited_for),
        TEST(quotas_of_the_file_system_are_named_and_waited_for),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
