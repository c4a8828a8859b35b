// Whether a vector that fills memory is written behind, on which file systems.
#include "client/memory/writeback.h"

#include <fcntl.h>
#include <unistd.h>

#include "tests/lib/harness.h"
#include "tests/lib/loop_mount.h"

#define MIB ((uint64_t)1 << 20)

// How much of 64 MiB was sent to a disk of TYPE, where memory is short.  False: there is no such disk here.
static bool write_behind(const char *type, uint64_t *ret)
{
    struct descriptor file = DESCRIPTOR_NONE;
    struct test_mount m;
    struct writeback w;
    char path[200];

    if (!test_mount(&m, type, 256 * MIB))
        return false;
    snprintf(path, sizeof path, "%s/file", m.at);
    assert_int_equal(descriptor_keep(&file, open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600)), 0);
    writeback_init(&w, NULL);
    w.began = true;
    writeback_note(&w, 8 * MIB);
    assert_true(writeback_wants_file(&w));
    writeback_give_file(&w, &file);
    assert_false(writeback_wants_file(&w));
    writeback_note(&w, 64 * MIB);
    *ret = w.written;
    writeback_deinit(&w);
    descriptor_close(&file);
    test_unmount(&m);
    return true;
}

static void large_pages_are_written_behind(void **state)
{
    static const char *const types[] = {"ext4", "xfs"};
    uint64_t written = 0;
    bool any = false;

    (void)state;
    for (size_t i = 0; i < sizeof types / sizeof *types; i++)
        if (write_behind(types[i], &written)) {
            any = true;
            assert_int_equal(written, 64 * MIB);
        }
    if (!any)
        skip();
}

static void btrfs_is_left_to_the_kernel(void **state)
{
    uint64_t written = 0;

    (void)state;
    if (!write_behind("btrfs", &written))
        skip();
    assert_int_equal(written, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(large_pages_are_written_behind),
        TEST(btrfs_is_left_to_the_kernel),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
