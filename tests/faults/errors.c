// Disks that refuse or fail while programs are at work: quotas and inodes that are used up, writes that fail, a file
// system that becomes read-only, and one that is unmounted.  Programs get errors, the daemon lives, the charges are
// what is on disk, and everything goes on when the disk is well again.  (Disks that fill up: fill.c; devices with
// errors: devices.c.)
#include <diskalloc/client.h>
#include <fcntl.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

#include "proto/util/cleanup.h"
#include "tests/faults/load.h"
#include "tests/lib/harness.h"
#include "tests/lib/scratch.h"

// Quotas of btrfs: there the guarantee is soft, and the limit can't be raised while it is reached; nor can files be
// truncated, if nothing is left for that.
static void a_quota_of_the_disk_that_is_used_up(void **state)
{
    struct load_scene s = {0};

    (void)state;
    if (!test_mount(&s.mount, "btrfs", 320 * MIB))
        skip();
    if (!load_shell("btrfs quota enable %1$s >/dev/null 2>&1 && btrfs qgroup limit 200M %1$s >/dev/null 2>&1",
                    s.mount.at)) {
        test_unmount(&s.mount);
        skip();
    }
    load_begin(&s);
    assert_true(load_shell("btrfs qgroup limit 6M %1$s >/dev/null 2>&1", s.mount.at));
    load_await_refused(&s);
    load_end_programs(&s, true);
    assert_true(load_shell("btrfs quota disable %1$s >/dev/null 2>&1", s.mount.at));
    load_check_empty(&s);
    load_finish(&s);
}

static void inodes_that_are_used_up(void **state)
{
    struct load_scene s = {0};

    (void)state;
    if (!test_mount_with(&s.mount, "ext4", 64 * MIB, "-N64", NULL))
        skip();
    load_begin(&s);
    load_await_refused(&s);
    load_end_well(&s, false);
}

// As when ext4 finds an error and its mount says errors=remount-ro.  False: the kernel does not offer that.
static bool damage(const char *at)
{
    _cleanup_close_ int fd = -1;
    char path[96], link[64] = "", device[128] = "";
    struct stat st;

    assert_int_equal(stat(at, &st), 0);
    snprintf(link, sizeof link, "/sys/dev/block/%u:%u", major(st.st_dev), minor(st.st_dev));
    assert_true(readlink(link, device, sizeof device - 1) > 0);
    assert_int_equal(mount(NULL, at, NULL, MS_REMOUNT, "errors=remount-ro"), 0);
    snprintf(path, sizeof path, "/sys/fs/ext4/%.32s/trigger_fs_error", strrchr(device, '/') + 1);
    fd = open(path, O_WRONLY | O_CLOEXEC);
    return fd >= 0 && write(fd, "test", 4) == 4;
}

// Nothing can be granted or removed any more; but who asks is answered, and the daemon ends when it is told to.
static void a_disk_that_becomes_read_only(void **state)
{
    struct diskalloc_usage usage;
    struct diskalloc *da;
    struct load_scene s = {0};

    (void)state;
    if (!test_mount(&s.mount, "ext4", 64 * MIB))
        skip();
    load_begin(&s);
    if (damage(s.mount.at)) {
        load_await_refused(&s);
        assert_int_equal(diskalloc_open(s.daemon.address, NULL, &da), 0);
        assert_int_equal(diskalloc_get_usage(da, "total", &usage, sizeof usage), 0);
        diskalloc_close(da);
    }
    load_end_programs(&s, true);
    load_finish(&s);
}

static void a_disk_that_is_unmounted_and_comes_back(void **state)
{
    struct load_scene s = {0};

    (void)state;
    if (!test_mount(&s.mount, "ext4", 64 * MIB))
        skip();
    load_begin(&s);
    assert_int_equal(umount2(s.mount.at, MNT_DETACH), 0);
    load_await_refused(&s);
    assert_int_equal(test_remount(&s.mount, "ext4"), 0);
    load_end_well(&s, true);
}

// An image without blocks, on a tmpfs that somebody else fills: the writes of the file system in the image fail.
// False: no mounts here.
static bool mount_thin(struct load_scene *s, const char *thin)
{
    int image;

    if (geteuid() != 0 || unshare(CLONE_NEWNS) < 0 || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0 ||
        mount("none", thin, "tmpfs", 0, "size=256M,mode=0755") < 0)
        return false;
    snprintf(s->mount.image, sizeof s->mount.image, "%.100s/image", thin);
    snprintf(s->mount.at, sizeof s->mount.at, "%.100s/at", thin);
    image = open(s->mount.image, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (image < 0 || ftruncate(image, 64 * MIB) < 0 || mkdir(s->mount.at, 0755) < 0)
        return false;
    close(image);
    return load_shell("mkfs.ext4 -q -F %s >/dev/null 2>&1", s->mount.image) && test_remount(&s->mount, "ext4") == 0;
}

// Stores of the programs can't be written out: they are told by sync, and whoever asks the daemon is answered.
static void a_disk_whose_writes_fail(void **state)
{
    struct diskalloc_usage usage;
    struct diskalloc *da;
    struct load_scene s = {0};
    char thin[128];

    (void)state;
    scratch_make_dir(thin, sizeof thin);
    if (!mount_thin(&s, thin)) {
        umount2(thin, MNT_DETACH);
        skip();
    }
    load_begin(&s);
    assert_true(
        load_shell("fallocate -l 300M %1$s/other 2>/dev/null || cat /dev/zero >%1$s/other 2>/dev/null || true", thin));
    load_await_refused(&s);
    assert_int_equal(diskalloc_open(s.daemon.address, NULL, &da), 0);
    assert_int_equal(diskalloc_get_usage(da, "total", &usage, sizeof usage), 0);
    diskalloc_close(da);
    load_end_programs(&s, true);
    load_finish(&s);
    umount2(s.mount.at, MNT_DETACH);
    umount2(thin, MNT_DETACH);
    rmdir(thin);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_quota_of_the_disk_that_is_used_up),
        TEST(inodes_that_are_used_up),
        TEST(a_disk_that_becomes_read_only),
        TEST(a_disk_that_is_unmounted_and_comes_back),
        TEST(a_disk_whose_writes_fail),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
