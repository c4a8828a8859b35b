// When and why the guarantee of a spill directory is soft.
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "proto/spill/mountinfo.h"
#include "proto/spill/spillfile.h"
#include "proto/spill/surroundings.h"
#include "proto/util/cleanup.h"
#include "tests/lib/harness.h"
#include "tests/lib/loop_mount.h"
#include "tests/lib/scratch.h"

static struct spillfile_guarantee guarantee_of(const char *dir)
{
    struct spillfile_guarantee g;
    int fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

    assert_true(fd >= 0);
    assert_int_equal(spillfile_probe(fd, true, &g), 0);
    spillfile_probe_surroundings(fd, &g);
    close(fd);
    return g;
}

static void a_disk_that_keeps_its_word_is_hard(void **state)
{
    struct spillfile_guarantee g = guarantee_of(test_base_dir());

    (void)state;
    if (strcmp(g.file_system, "ext4") != 0)
        skip();
    assert_true(g.hard);
    assert_true(g.can_allocate);
    assert_true(g.can_discard);
    assert_string_equal(g.reason, "");
}

static void memory_is_soft(void **state)
{
    struct spillfile_guarantee g = guarantee_of("/dev/shm");

    (void)state;
    if (strcmp(g.file_system, "tmpfs") != 0)
        skip();
    assert_false(g.hard);
    assert_non_null(strstr(g.reason, "memory"));
}

static void blocks_that_others_can_share_make_it_soft(void **state)
{
    static const char *const types[] = {"xfs", "btrfs"};

    (void)state;
    for (size_t i = 0; i < sizeof types / sizeof *types; i++) {
        struct test_mount m;
        struct spillfile_guarantee g;
        char below[200];

        if (!test_mount(&m, types[i], 512 << 20))
            skip();
        snprintf(below, sizeof below, "%s/spill", m.at);
        assert_int_equal(mkdir(below, 0700), 0);
        g = guarantee_of(below);
        assert_string_equal(g.file_system, types[i]);
        assert_false(g.hard);
        assert_non_null(strstr(g.reason, "reflink"));
        test_unmount(&m);
    }
}

static void an_image_with_holes_makes_it_soft(void **state)
{
    struct spillfile_guarantee g;
    struct test_mount m;
    struct stat st;

    (void)state;
    if (!test_mount(&m, "ext4", 512 << 20))
        skip();
    assert_int_equal(stat(m.image, &st), 0);
    g = guarantee_of(m.at);
    assert_int_equal(g.hard, st.st_blocks * 512 >= st.st_size);
    if (!g.hard)
        assert_non_null(strstr(g.reason, "sparse image"));
    test_unmount(&m);
}

// Overwriting takes room in the quota of btrfs, which may be used up.
static void quotas_of_btrfs_make_it_soft(void **state)
{
    struct spillfile_guarantee g;
    struct test_mount m;
    char command[300];

    (void)state;
    if (!test_mount(&m, "btrfs", 512 << 20))
        skip();
    g = guarantee_of(m.at);
    assert_null(strstr(g.reason, "quotas"));
    snprintf(command, sizeof command, "btrfs quota enable %s >/dev/null 2>&1", m.at);
    if (system(command) == 0) {
        g = guarantee_of(m.at);
        assert_false(g.hard);
        assert_non_null(strstr(g.reason, "quotas"));
    }
    test_unmount(&m);
}

// Of an image that was deleted, or is hidden, nothing is known.
static void an_image_that_cannot_be_seen_makes_it_soft(void **state)
{
    struct spillfile_guarantee g;
    struct test_mount m;

    (void)state;
    if (!test_mount(&m, "ext4", 512 << 20))
        skip();
    assert_int_equal(unlink(m.image), 0);
    g = guarantee_of(m.at);
    assert_false(g.hard);
    assert_non_null(strstr(g.reason, "cannot be looked at"));
    test_unmount(&m);
}

// Devices as /sys shows them, made up: a folder with the files that tell what a device is.
static void expect_device(const char *commands, const char *why)
{
    char dir[128], command[1024], device[200];
    const char *got;

    scratch_make_dir(dir, sizeof dir);
    snprintf(command, sizeof command, "cd %s && %s", dir, commands);
    assert_int_equal(system(command), 0);
    snprintf(device, sizeof device, "%s/device", dir);
    got = surroundings_why_device_soft(device);
    if (!why ? got != NULL : !got || !strstr(got, why))
        fail_msg("%s: %s", commands, got ? got : "hard");
    scratch_remove_tree(dir);
}

static void a_device_that_can_run_out_makes_it_soft(void **state)
{
    (void)state;
    expect_device("mkdir device", NULL);
    expect_device("mkdir -p sda/sda1 && echo 1 >sda/sda1/partition && ln -s sda/sda1 device", NULL);
    expect_device("true", "cannot be looked at");
    // A partition of a loop device is as good as the image, and this image is not to be seen.
    expect_device("mkdir -p loop0/loop0p1 loop0/loop && echo 1 >loop0/loop0p1/partition && echo 2048 >loop0/size && "
                  "echo /nonexistent/image >loop0/loop/backing_file && ln -s loop0/loop0p1 device",
                  "cannot be looked at");
    expect_device("mkdir zram0 && ln -s zram0 device", "no blocks of its own");
    expect_device(
        "mkdir -p device/dm device/slaves sda && echo LVM-abcdef >device/dm/uuid && ln -s ../../sda device/slaves",
        NULL);
    expect_device("mkdir -p device/dm device/slaves dm-1/dm && echo CRYPT-LUKS2-x >device/dm/uuid && "
                  "echo LVM-abcdef >dm-1/dm/uuid && echo vg-lv >dm-1/dm/name && ln -s ../../dm-1 device/slaves",
                  NULL);
    expect_device(
        "mkdir -p device/dm device/slaves dm-1/dm && echo LVM-abcdef >device/dm/uuid && "
        "echo LVM-abcdef-tpool >dm-1/dm/uuid && echo vg-pool-tpool >dm-1/dm/name && ln -s ../../dm-1 device/slaves",
        "pool can run out");
    expect_device(
        "mkdir -p device/dm device/slaves dm-1/dm && echo LVM-abcdef >device/dm/uuid && "
        "echo LVM-abcdee >dm-1/dm/uuid && echo vg-lv_rimage_0 >dm-1/dm/name && ln -s ../../dm-1 device/slaves",
        NULL);
    expect_device("mkdir -p device/dm && echo mine >device/dm/uuid", "unknown kind");
    expect_device("mkdir -p device/dm && echo >device/dm/uuid", "unknown kind");
    // Below an array of disks, and below one that is encrypted.
    expect_device("mkdir -p device/slaves dm-1/dm && echo >dm-1/dm/uuid && ln -s ../../dm-1 device/slaves",
                  "unknown kind");
    expect_device("mkdir -p device/slaves && ln -s .. device/slaves/again", "cannot be looked at");
    expect_device("mkdir device && touch device/slaves", "cannot be looked at"); // no directory
}

static void a_bind_mount_is_a_mount_point_and_no_file_system_of_its_own(void **state)
{
    struct surroundings around;
    struct test_mount m;
    char command[800];
    int fd;

    (void)state;
    if (!test_mount(&m, "ext4", 64 << 20))
        skip();
    fd = open(m.at, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    assert_int_equal(surroundings_read(fd, &around), 0);
    assert_true(around.is_mount_point && around.is_whole_file_system);
    close(fd);
    snprintf(command, sizeof command, "mkdir %s/a %s/b && mount --bind %s/a %s/b", m.at, m.at, m.at, m.at);
    assert_int_equal(system(command), 0);
    snprintf(command, sizeof command, "%s/b", m.at);
    fd = open(command, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    assert_int_equal(surroundings_read(fd, &around), 0);
    assert_true(around.is_mount_point && !around.is_whole_file_system);
    close(fd);
    snprintf(command, sizeof command, "umount %s/b", m.at);
    assert_int_equal(system(command), 0);
    test_unmount(&m);
}

static bool shows_another(const char *dir, const char *name)
{
    _cleanup_close_ int fd = -1;
    unsigned id = 0;
    char path[300];

    snprintf(path, sizeof path, "%s/%s", dir, name);
    fd = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);
    assert_true(fd >= 0);
    assert_int_equal(mountinfo_id(fd, &id), 0);
    return mountinfo_shows_another(id);
}

// As ReadWritePaths= of systemd does it.
static void a_directory_that_is_mounted_on_itself_shows_nothing_else(void **state)
{
    struct test_mount m;
    char command[900];

    (void)state;
    if (!test_mount(&m, "ext4", 64 << 20))
        skip();
    snprintf(command, sizeof command,
             "cd %s && mkdir -p a b d && mount --bind a a && mount --bind a b && "
             "mount -t tmpfs none d && mount --bind d d",
             m.at);
    assert_int_equal(system(command), 0);
    assert_true(shows_another(m.at, "."));
    assert_false(shows_another(m.at, "a"));
    assert_true(shows_another(m.at, "b"));
    assert_true(shows_another(m.at, "d"));
    snprintf(command, sizeof command, "cd %s && umount d && umount d && umount a && umount -R b", m.at);
    assert_int_equal(system(command), 0);
    test_unmount(&m);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_disk_that_keeps_its_word_is_hard),
        TEST(memory_is_soft),
        TEST(blocks_that_others_can_share_make_it_soft),
        TEST(an_image_with_holes_makes_it_soft),
        TEST(quotas_of_btrfs_make_it_soft),
        TEST(an_image_that_cannot_be_seen_makes_it_soft),
        TEST(a_device_that_can_run_out_makes_it_soft),
        TEST(a_directory_that_is_mounted_on_itself_shows_nothing_else),
        TEST(a_bind_mount_is_a_mount_point_and_no_file_system_of_its_own),
    };

    return cmocka_run_group_tests_name("guarantee", tests, NULL, NULL);
}
