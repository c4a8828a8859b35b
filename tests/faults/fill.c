// Disks that fill up, again and again, while programs store to everything that they were granted: no SIGBUS where the
// guarantee is hard, no lost byte, and the charges are what is on disk.  And a disk that goes away under load.
//
// $DISKALLOC_FILL_CYCLES: how often each disk is filled with a daemon, and as often without (25; fill: 125).
#include <diskalloc/client.h>
#include <diskalloc/vec.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <sched.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "proto/spill/project.h"
#include "proto/util/cleanup.h"
#include "tests/faults/filling.h"
#include "tests/lib/harness.h"
#include "tests/lib/loop_mount.h"
#include "tests/lib/scratch.h"
#include "tests/lib/test_daemon.h"

DISKALLOC_VEC_DEFINE(numbers, uint64_t)

#ifndef EXT4_IOC_SHUTDOWN
#define EXT4_IOC_SHUTDOWN _IOR('X', 125, uint32_t) // xfs has the same
#endif

static bool tmpfs_begin(struct fill_disk *d)
{
    if (geteuid() != 0 || unshare(CLONE_NEWNS) < 0 || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0)
        return false;
    scratch_make_dir(d->mount.at, sizeof d->mount.at);
    return mount("none", d->mount.at, "tmpfs", 0, "size=24M,nr_inodes=300,mode=0755") == 0;
}

static bool disk_begin(struct fill_disk *d, const char *type)
{
    *d = (struct fill_disk){.type = type, .is_tmpfs = strcmp(type, "tmpfs") == 0};
    if (d->is_tmpfs ? !tmpfs_begin(d) : !test_mount(&d->mount, type, strcmp(type, "ext4") == 0 ? 48 * MIB : 320 * MIB))
        return false;
    snprintf(d->spill, sizeof d->spill, "%s/spill", d->mount.at);
    snprintf(d->other, sizeof d->other, "%s/other", d->mount.at);
    assert_int_equal(mkdir(d->spill, 0700), 0);
    return true;
}

static void disk_end(struct fill_disk *d)
{
    if (!d->is_tmpfs) {
        test_unmount(&d->mount);
        return;
    }
    umount2(d->mount.at, MNT_DETACH);
    rmdir(d->mount.at);
}

static void fill_disk(const char *type)
{
    struct fill_disk d;
    int status;

    fill_set_deadline(2 * fill_n_cycles());
    if (!disk_begin(&d, type))
        skip();
    fill_by_daemon(&d);
    snprintf(d.address, sizeof d.address, "dir:%s", d.spill);
    status = test_in_child(fill_run_cycles, &d, (uid_t)-1);
    if (status != 0)
        fail_msg("%s, without a daemon: the program ended with wait status 0x%x", type, (unsigned)status);
    assert_int_equal(test_count_files(d.spill), 0);
    print_message("[ NOTE     ] %s: filled %u times, %u with a daemon\n", type, 2 * fill_n_cycles(), fill_n_cycles());
    disk_end(&d);
}

static void a_full_ext4_raises_no_sigbus(void **state)
{
    (void)state;
    fill_disk("ext4");
}

static void a_full_xfs_raises_no_sigbus(void **state)
{
    (void)state;
    fill_disk("xfs");
}

static void a_full_btrfs_raises_no_sigbus(void **state)
{
    (void)state;
    fill_disk("btrfs");
}

static void a_full_tmpfs_raises_no_sigbus(void **state)
{
    (void)state;
    fill_disk("tmpfs");
}

// Root's privilege passes quotas of ext4.
static void drop_the_privilege(void)
{
    prctl(PR_CAPBSET_DROP, 24 /* CAP_SYS_RESOURCE */);
}

// The administrator has put the spill directory into a project, whose quota is used up instead of the disk.
static void fill_quota(const char *type)
{
    const bool is_ext4 = strcmp(type, "ext4") == 0;
    struct fill_disk d = {.type = type};
    struct fsxattr x;
    int dir;

    fill_set_deadline(fill_n_cycles());
    if (!test_mount_with(&d.mount, type, is_ext4 ? 96 * MIB : 320 * MIB, is_ext4 ? "-Oquota,project" : NULL,
                         "prjquota"))
        skip();
    snprintf(d.spill, sizeof d.spill, "%s/spill", d.mount.at);
    assert_int_equal(mkdir(d.spill, 0700), 0);
    dir = open(d.spill, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    assert_int_equal(ioctl(dir, FS_IOC_FSGETXATTR, &x), 0);
    x.fsx_projid = 42;
    x.fsx_xflags |= FS_XFLAG_PROJINHERIT;
    assert_int_equal(ioctl(dir, FS_IOC_FSSETXATTR, &x), 0);
    assert_int_equal(project_ops_system.limit(dir, 42, 2 * LEFT_MIB * MIB), 0);
    close(dir);
    test_daemon_prepare(drop_the_privilege);
    fill_by_daemon(&d);
    test_daemon_prepare(NULL);
    print_message("[ NOTE     ] %s: a quota was used up %u times\n", type, fill_n_cycles());
    test_unmount(&d.mount);
}

static void a_quota_of_ext4_that_is_used_up_raises_no_sigbus(void **state)
{
    (void)state;
    fill_quota("ext4");
}

static void a_quota_of_xfs_that_is_used_up_raises_no_sigbus(void **state)
{
    (void)state;
    fill_quota("xfs");
}

// Pushes and drops vectors until the calls fail, and goes on for a while.
static void push_and_drop(void *data)
{
    const struct fill_disk *d = data;
    struct diskalloc_options o = DISKALLOC_OPTIONS_INIT;
    struct diskalloc *da;

    o.reconnect_timeout_ms = 1000;
    assert_int_equal(diskalloc_open(d->address, &o, &da), 0);
    for (unsigned failures = 0; failures < 100;) {
        struct numbers v;
        int e = numbers_init(&v, da);

        for (uint64_t i = 0; e == 0 && i < 100000; i++)
            e = numbers_push(&v, i);
        failures += e < 0;
        numbers_deinit(&v);
    }
    diskalloc_close(da);
}

static bool has_files(void *data)
{
    const struct fill_disk *d = data;
    char path[256];

    snprintf(path, sizeof path, "%s/%u", d->spill, geteuid());
    return test_count_files(path) > 0;
}

// Memory of a disk that is gone may raise SIGBUS: the disk broke its word.  Nobody hangs; the daemon ends when asked.
static void lose_under_load(const char *type, void (*lose)(struct fill_disk *d))
{
    struct test_daemon daemon;
    struct fill_disk d;
    int status;
    pid_t child;

    if (!disk_begin(&d, type))
        skip();
    test_daemon_start(&daemon, NULL, d.spill);
    snprintf(d.address, sizeof d.address, "%s", daemon.address);
    child = fork();
    if (child == 0) {
        signal(SIGBUS, SIG_DFL); // cmocka's would go on with the next test
        push_and_drop(&d);
        _exit(0);
    }
    test_wait_until(has_files, &d, 60, "the program has regions");
    lose(&d);
    assert_int_equal(waitpid(child, &status, 0), child);
    if (status != 0 && !(WIFSIGNALED(status) && WTERMSIG(status) == SIGBUS))
        fail_msg("the program ended with wait status 0x%x", (unsigned)status);
    test_daemon_stop_and_remove(&daemon);
    disk_end(&d);
}

static void shut_down(struct fill_disk *d)
{
    _cleanup_close_ int fd = open(d->mount.at, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    uint32_t how = 2; // without a flush

    assert_true(fd >= 0);
    if (ioctl(fd, EXT4_IOC_SHUTDOWN, &how) < 0)
        fail_msg("shutting the file system down: %s", strerror(errno));
}

static void take_away(struct fill_disk *d)
{
    assert_int_equal(umount2(d->mount.at, MNT_DETACH), 0);
    d->mount.mounted = false;
}

static void an_ext4_that_is_shut_down_under_load_hangs_nobody(void **state)
{
    (void)state;
    lose_under_load("ext4", shut_down);
}

static void an_xfs_that_is_shut_down_under_load_hangs_nobody(void **state)
{
    (void)state;
    lose_under_load("xfs", shut_down);
}

static void a_disk_that_is_unmounted_under_load_hangs_nobody(void **state)
{
    (void)state;
    lose_under_load("ext4", take_away);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_full_ext4_raises_no_sigbus),
        TEST(a_full_xfs_raises_no_sigbus),
        TEST(a_full_btrfs_raises_no_sigbus),
        TEST(a_full_tmpfs_raises_no_sigbus),
        TEST(a_quota_of_ext4_that_is_used_up_raises_no_sigbus),
        TEST(a_quota_of_xfs_that_is_used_up_raises_no_sigbus),
        TEST(an_ext4_that_is_shut_down_under_load_hangs_nobody),
        TEST(an_xfs_that_is_shut_down_under_load_hangs_nobody),
        TEST(a_disk_that_is_unmounted_under_load_hangs_nobody),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
