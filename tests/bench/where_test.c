// The file system that is made for a series, and goes with it.
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/sysmacros.h>

#include "proto/util/cleanup.h"
#include "tests/bench/where.h"
#include "tests/lib/harness.h"
#include "tests/lib/scratch.h"

enum { TMPFS = 0x01021994, EXT4 = 0xEF53 };

static void assert_type(const char *at, long type)
{
    struct statfs fs;

    assert_int_equal(statfs(at, &fs), 0);
    assert_int_equal(fs.f_type, type);
}

static void a_tmpfs_is_where_tests_go_until_it_is_removed(void **state)
{
    struct test_mount m;
    char at[sizeof m.at];

    (void)state;
    if (!where_make(&m, "tmpfs", 16 * MIB))
        skip();
    snprintf(at, sizeof at, "%s", m.at);
    assert_string_equal(test_base_dir(), at);
    assert_type(at, TMPFS);
    where_remove(&m);
    assert_string_not_equal(test_base_dir(), at);
    assert_int_equal(access(at, F_OK), -1);
}

// With the page cache between, the limits of memory would not mean what they say.
static void an_image_is_read_and_written_past_the_page_cache(void **state)
{
    _cleanup_free_ char *direct = NULL;
    struct test_mount m;
    struct stat st;
    char path[128];

    (void)state;
    if (!where_make(&m, "ext4", 64 * MIB))
        skip();
    assert_type(m.at, EXT4);
    assert_int_equal(stat(m.at, &st), 0);
    snprintf(path, sizeof path, "/sys/dev/block/%u:%u/loop/dio", major(st.st_dev), minor(st.st_dev));
    direct = scratch_read_file(path);
    assert_non_null(direct);
    assert_int_equal(direct[0], '1');
    where_remove(&m);
}

static void only_these_file_systems_are_known(void **state)
{
    (void)state;
    assert_true(where_knows("ext4") && where_knows("xfs") && where_knows("btrfs") && where_knows("tmpfs"));
    assert_false(where_knows("here") || where_knows("") || where_knows("ext"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(only_these_file_systems_are_known),
        TEST(a_tmpfs_is_where_tests_go_until_it_is_removed),
        TEST(an_image_is_read_and_written_past_the_page_cache),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
