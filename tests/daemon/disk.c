// Disks that are full in other ways than by bytes, and disks that vanish under a running daemon.
#include "tests/lib/disk.h"
#include "daemon/store/store.h"
#include "tests/lib/raw_client.h"
#include "tests/lib/scratch.h"
#include "tests/lib/test_backend.h"

#include <fcntl.h>
#include <linux/fs.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/sysmacros.h>
#include <sys/wait.h>

enum { FILL_STEP = 4096 };

#ifndef EXT4_IOC_SHUTDOWN
#define EXT4_IOC_SHUTDOWN _IOR('X', 125, uint32_t)
#endif

static bool has_problem(void *data)
{
    return health_of(data).problem[0];
}

static bool has_none(void *data)
{
    return !health_of(data).problem[0];
}

static bool has_no_inodes(void *data)
{
    return health_of(data).inodes_available == 0;
}

// The exit status of `diskallocctl check`.
static int check(const struct disk *d)
{
    int status;
    pid_t pid = fork();

    if (pid == 0) {
        if (!freopen("/dev/null", "w", stdout))
            _exit(126);
        execl(TEST_DISKALLOCCTL, "diskallocctl", "--address", d->daemon.address, "check", (char *)NULL);
        _exit(127);
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    return WEXITSTATUS(status);
}

// Seen within seconds, said everywhere, and nothing new is granted.  WORD: of the sentence.
static void expect_problem(struct disk *d, struct diskalloc_region *r, const char *word)
{
    uint64_t size = diskalloc_region_size(r);
    struct diskalloc_region *other;
    struct diskalloc_usage u;

    test_wait_until(has_problem, d, 10, "the problem to be seen");
    if (!strstr(health_of(d).problem, word))
        fail_msg("%s", health_of(d).problem);
    assert_true(test_daemon_logged(&d->daemon, word));
    assert_int_equal(check(d), 2);
    EXPECT_FAILURE(-EIO, "diskalloc_region_resize", diskalloc_region_resize(r, size + 4096));
    assert_non_null(strstr(diskalloc_last_error(), word));
    EXPECT_FAILURE(-EIO, "diskalloc_region_create", diskalloc_region_create(d->da, NULL, &other));
    assert_int_equal(diskalloc_get_usage(d->da, NULL, &u, sizeof u), 0);
    assert_int_equal(u.grantable_bytes, 0);
    assert_int_equal(diskalloc_region_size(r), size);
}

static void expect_well(struct disk *d, struct diskalloc_region *r)
{
    test_wait_until(has_none, d, 10, "the disk to be well again");
    assert_true(test_daemon_logged(&d->daemon, "all is well again"));
    assert_int_equal(check(d), 0);
    assert_int_equal(diskalloc_region_resize(r, diskalloc_region_size(r) + 4096), 0);
}

static void a_disk_that_is_unmounted_is_seen(void **state)
{
    struct diskalloc_region *r;
    struct disk d = {0};

    (void)state;
    if (!disk_start(&d, NULL))
        skip();
    r = make_region(d.da, MIB);
    memset(diskalloc_region_data(r), 1, MIB);
    assert_int_equal(umount2(d.m.at, MNT_DETACH), 0);
    expect_problem(&d, r, "place");
    assert_int_equal(((char *)diskalloc_region_data(r))[MIB - 1], 1);
    // the same file system again
    assert_int_equal(test_remount(&d.m, "ext4"), 0);
    expect_well(&d, r);
    diskalloc_region_close(r);
    disk_end(&d);
}

static void another_disk_over_it_is_seen(void **state)
{
    struct diskalloc_region *r;
    struct disk d = {0};

    (void)state;
    if (!disk_start(&d, NULL))
        skip();
    r = make_region(d.da, MIB);
    assert_int_equal(mount("none", d.spill, "tmpfs", 0, NULL), 0);
    expect_problem(&d, r, "another directory");
    assert_int_equal(umount(d.spill), 0);
    expect_well(&d, r);
    diskalloc_region_close(r);
    disk_end(&d);
}

// A directory that is mounted over itself has the same inode with and without the mount.  False: no mounts here.
static bool mount_over_itself(const char *dir)
{
    if (geteuid() != 0 || unshare(CLONE_NEWNS) < 0 || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0)
        return false;
    return mount(dir, dir, NULL, MS_BIND, NULL) == 0;
}

static void a_mount_that_is_required_is_missed(void **state)
{
    struct diskalloc_region *r;
    struct disk d = {0};
    char dir[100];

    (void)state;
    scratch_make_dir(dir, sizeof dir);
    snprintf(d.spill, sizeof d.spill, "%s/spill", dir);
    assert_int_equal(mkdir(d.spill, 0700), 0);
    if (!mount_over_itself(d.spill)) {
        scratch_remove_tree(dir);
        skip();
    }
    test_daemon_start(&d.daemon, "[daemon]\nkeep_free = 0\nspill_dir_require_mount = yes\n", d.spill);
    assert_int_equal(diskalloc_open(d.daemon.address, NULL, &d.da), 0);
    r = make_region(d.da, MIB);
    assert_int_equal(umount2(d.spill, MNT_DETACH), 0);
    expect_problem(&d, r, "no mount point any more");
    assert_int_equal(mount(d.spill, d.spill, NULL, MS_BIND, NULL), 0);
    expect_well(&d, r);
    diskalloc_region_close(r);
    disk_end(&d);
    assert_int_equal(umount2(d.spill, MNT_DETACH), 0);
    scratch_remove_tree(dir);
}

// The same directory without the key: its mount may come and go.
static void a_mount_that_is_not_required_is_not_missed(void **state)
{
    struct store_health health;
    struct store *s = NULL;
    char dir[100], *error = NULL;

    (void)state;
    scratch_make_dir(dir, sizeof dir);
    if (!mount_over_itself(dir)) {
        scratch_remove_tree(dir);
        skip();
    }
    if (store_open(dir, false, &file_ops_system, &s, &error) < 0)
        fail_msg("%s", error);
    store_look(s, &health);
    assert_string_equal(health.problem, "");
    assert_int_equal(umount2(dir, MNT_DETACH), 0);
    store_look(s, &health);
    assert_string_equal(health.problem, "");
    store_close(s);
    scratch_remove_tree(dir);
}

static void a_directory_that_was_moved_away_is_seen(void **state)
{
    struct diskalloc_region *r;
    struct disk d = {0};
    char away[220];

    (void)state;
    if (!disk_start(&d, NULL))
        skip();
    r = make_region(d.da, MIB);
    snprintf(away, sizeof away, "%s.away", d.spill);
    assert_int_equal(rename(d.spill, away), 0);
    expect_problem(&d, r, "place");
    assert_int_equal(rename(away, d.spill), 0);
    expect_well(&d, r);
    diskalloc_region_close(r);
    disk_end(&d);
}

// As when ext4 finds an error and its mount says errors=remount-ro.  False: the kernel does not offer that.
static bool damage(const char *at)
{
    char path[96], link[64] = "", device[128] = "";
    struct stat st;
    int fd;
    bool done;

    assert_int_equal(stat(at, &st), 0);
    snprintf(link, sizeof link, "/sys/dev/block/%u:%u", major(st.st_dev), minor(st.st_dev));
    assert_true(readlink(link, device, sizeof device - 1) > 0);
    assert_int_equal(mount(NULL, at, NULL, MS_REMOUNT, "errors=remount-ro"), 0);
    snprintf(path, sizeof path, "/sys/fs/ext4/%.32s/trigger_fs_error", strrchr(device, '/') + 1);
    fd = open(path, O_WRONLY | O_CLOEXEC);
    done = fd >= 0 && write(fd, "test", 4) == 4;
    if (fd >= 0)
        close(fd);
    return done;
}

static void a_disk_that_became_read_only_is_seen(void **state)
{
    struct diskalloc_region *r;
    struct disk d = {0};

    (void)state;
    if (!disk_start(&d, NULL))
        skip();
    r = make_region(d.da, MIB);
    if (!damage(d.m.at)) {
        diskalloc_region_close(r);
        disk_end(&d);
        skip();
    }
    // before the daemon has looked: no client takes its region for one that it may only read
    EXPECT_FAILURE(-EIO, "diskalloc_region_resize", diskalloc_region_resize(r, 4 * MIB));
    expect_problem(&d, r, "did the kernel find errors");
    diskalloc_region_close(r);
    disk_end(&d);
}

static void a_disk_that_was_shut_down_is_seen(void **state)
{
    struct diskalloc_region *r;
    uint32_t how = 2; // at once, without writing anything
    struct disk d = {0};
    int fd;

    (void)state;
    if (!disk_start(&d, NULL))
        skip();
    r = make_region(d.da, MIB);
    fd = open(d.m.at, O_RDONLY | O_CLOEXEC);
    assert_int_equal(ioctl(fd, EXT4_IOC_SHUTDOWN, &how), 0);
    close(fd);
    expect_problem(&d, r, "file system");
    diskalloc_region_close(r);
    disk_end(&d);
}

static void inodes_that_are_used_up_are_named(void **state)
{
    struct diskalloc_error_info info;
    struct diskalloc_region *r;
    struct disk d = {0};
    char path[240];
    int n = 0, fd = 0;

    (void)state;
    if (!disk_start(&d, NULL))
        skip();
    r = make_region(d.da, MIB);
    while (fd >= 0) {
        snprintf(path, sizeof path, "%s/file%d", d.m.at, n++);
        fd = open(path, O_CREAT | O_WRONLY | O_CLOEXEC, 0600);
        if (fd >= 0)
            close(fd);
    }
    info = EXPECT_FAILURE(-ENOSPC, "diskalloc_region_create",
                          diskalloc_region_create(d.da, NULL, &(struct diskalloc_region *){0}));
    assert_string_equal(info.limit_name, "disk inodes");
    assert_int_equal(info.asked, 1);
    assert_int_equal(info.used, info.limit);
    assert_true(info.limit > 100 && info.limit < 100000);
    assert_true(test_daemon_logged(&d.daemon, "disk inodes: refused 1 more"));
    assert_int_equal(diskalloc_region_resize(r, 2 * MIB), 0);
    test_wait_until(has_no_inodes, &d, 60, "the status that tells of no inodes");
    assert_int_equal(check(&d), 2);
    diskalloc_region_close(r);
    disk_end(&d);
}

static void fill(const char *dir)
{
    static char bytes[FILL_STEP];
    char path[240];
    int fd;

    snprintf(path, sizeof path, "%s/fill", dir);
    fd = open(path, O_CREAT | O_WRONLY | O_CLOEXEC, 0600);
    assert_true(fd >= 0);
    while (write(fd, bytes, sizeof bytes) > 0)
        continue;
    fsync(fd);
    close(fd);
}

static void on_a_full_disk_a_limit_can_be_lowered(void **state)
{
    struct disk d = {0};
    char path[240], text[64] = "";
    struct raw c;
    int fd = 0;

    (void)state;
    if (!disk_start(&d, NULL))
        skip();
    fill(d.m.at);
    for (int n = 0; fd >= 0; n++) {
        snprintf(path, sizeof path, "%s/file%d", d.m.at, n);
        fd = open(path, O_CREAT | O_WRONLY | O_CLOEXEC, 0600);
        if (fd >= 0)
            close(fd);
    }
    assert_int_equal(raw_open(&c, d.daemon.socket), RAW_CODE(OK));
    for (int i = 0; i < 3; i++) {
        char value[8];

        snprintf(value, sizeof value, "%dM", i + 1);
        assert_int_equal(raw_set_quota(&c, "default", "bytes", value), RAW_CODE(OK));
    }
    assert_int_equal(raw_quota_text(&c, "default", "bytes", text, sizeof text), RAW_CODE(OK));
    raw_close(&c);
    // They are there at the next start, which says so; and says so too when they are lost.
    snprintf(path, sizeof path, "%s/.quota", d.spill);
    test_daemon_stop(&d.daemon);
    test_daemon_restart(&d.daemon);
    assert_true(test_daemon_logged(&d.daemon, "of 1 subjects"));
    test_daemon_stop(&d.daemon);
    assert_int_equal(unlink(path), 0);
    test_daemon_restart(&d.daemon);
    assert_true(test_daemon_logged(&d.daemon, "quotas set by diskallocctl: none in"));
    disk_end(&d);
}

// A refusal of the disk sets off no warning, is logged once, and names the disk.
static void what_the_disk_refuses_is_told_and_warns_nobody(void **state)
{
    struct diskalloc_error_info info;
    struct diskalloc_region *r;
    struct disk d = {0};
    char *log, *first;

    (void)state;
    if (!disk_start(
            &d,
            "[daemon]\nkeep_free = 0\n[quota total]\nbytes = unlimited\n[quota default]\nbytes = 1G\nwarn_at = 50M\n"))
        skip();
    r = make_region(d.da, MIB);
    for (int i = 0; i < 5; i++) {
        info = EXPECT_FAILURE(-ENOSPC, "diskalloc_region_resize", diskalloc_region_resize(r, 100 * MIB));
        assert_string_equal(info.limit_name, "disk");
    }
    assert_false(test_daemon_logged(&d.daemon, "warn"));
    log = scratch_read_file(d.daemon.log);
    first = strstr(log, "disk: refused");
    assert_non_null(first);
    assert_null(strstr(first + 1, "disk: refused"));
    free(log);
    diskalloc_region_close(r);
    disk_end(&d);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_disk_that_is_unmounted_is_seen),        TEST(another_disk_over_it_is_seen),
        TEST(a_mount_that_is_required_is_missed),      TEST(a_mount_that_is_not_required_is_not_missed),
        TEST(a_directory_that_was_moved_away_is_seen), TEST(a_disk_that_became_read_only_is_seen),
        TEST(a_disk_that_was_shut_down_is_seen),       TEST(inodes_that_are_used_up_are_named),
        TEST(on_a_full_disk_a_limit_can_be_lowered),   TEST(what_the_disk_refuses_is_told_and_warns_nobody),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
