// When and why the guarantee of a spill directory is soft.
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "proto/spill/spillfile.h"
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

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_disk_that_keeps_its_word_is_hard),
        TEST(memory_is_soft),
        TEST(blocks_that_others_can_share_make_it_soft),
        TEST(an_image_with_holes_makes_it_soft),
    };

    return cmocka_run_group_tests_name("guarantee", tests, NULL, NULL);
}
