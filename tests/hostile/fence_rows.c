// Everything that the holder of a region's descriptor can try, one after the other, with and without Landlock around
// the descriptor: it is refused, or found and mended, and the log names the region once.
#include <fcntl.h>
#include <linux/falloc.h>
#include <sys/stat.h>

#include "proto/spill/extents.h"
#include "proto/util/cleanup.h"
#include "tests/lib/fenced.h"
#include "tests/lib/harness.h"
#include "tests/lib/scratch.h"

enum { SIZE = 4 << 20 };

#define BEHIND "changed behind the daemon's back"

static int write_past_the_end(int fd)
{
    return pwrite(fd, "x", 1, SIZE + (3 << 20)) == 1 ? 0 : -1;
}

static int write_inside(int fd)
{
    return pwrite(fd, "\1", 1, 100) == 1 ? 0 : -1;
}

static int grow(int fd)
{
    return ftruncate(fd, (off_t)(1 * TIB));
}

static int cut(int fd)
{
    return ftruncate(fd, 4096);
}

static int cut_to_nothing(int fd)
{
    return ftruncate(fd, 0);
}

static int allocate_past_the_end(int fd)
{
    return fallocate(fd, 0, 0, SIZE + (8 << 20));
}

static int allocate_behind_the_end(int fd)
{
    return fallocate(fd, FALLOC_FL_KEEP_SIZE, SIZE, 8 << 20);
}

static int allocate_one_block_behind_the_end(int fd)
{
    return fallocate(fd, FALLOC_FL_KEEP_SIZE, SIZE, 4096);
}

static int punch(int fd)
{
    return fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 1 << 20, 1 << 20);
}

static int punch_one_block(int fd)
{
    return fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 1 << 20, 4096);
}

// The number of blocks stays the same.
static int move_blocks_behind_the_end(int fd)
{
    return punch(fd) < 0 ? -1 : fallocate(fd, FALLOC_FL_KEEP_SIZE, SIZE, 1 << 20);
}

static int collapse(int fd)
{
    return fallocate(fd, FALLOC_FL_COLLAPSE_RANGE, 1 << 20, 1 << 20);
}

static int insert(int fd)
{
    return fallocate(fd, FALLOC_FL_INSERT_RANGE, 1 << 20, 1 << 20);
}

static int zero(int fd)
{
    return fallocate(fd, FALLOC_FL_ZERO_RANGE | FALLOC_FL_KEEP_SIZE, 1 << 20, 1 << 20);
}

struct row {
    const char *name;
    int (*act)(int fd);
    bool landlock_refuses;
    bool harmless;      // the file is still what is granted
    bool is_little;     // mended, but nothing to tell
    bool needs_extents; // only the file's extents tell
};

static const struct row rows[] = {
    {.name = "pwrite past the end", .act = write_past_the_end},
    {.name = "pwrite inside", .act = write_inside, .harmless = true},
    {.name = "ftruncate up", .act = grow, .landlock_refuses = true},
    {.name = "ftruncate down", .act = cut, .landlock_refuses = true},
    {.name = "ftruncate to nothing", .act = cut_to_nothing, .landlock_refuses = true},
    {.name = "fallocate past the end", .act = allocate_past_the_end},
    {.name = "fallocate behind the end", .act = allocate_behind_the_end},
    {.name = "fallocate of one block behind the end", .act = allocate_one_block_behind_the_end, .is_little = true},
    {.name = "punch", .act = punch},
    {.name = "punch of one block", .act = punch_one_block},
    {.name = "as many blocks behind the end as are punched", .act = move_blocks_behind_the_end, .needs_extents = true},
    {.name = "collapse", .act = collapse},
    {.name = "insert", .act = insert},
    {.name = "zero", .act = zero, .harmless = true},
};

static bool is_mended(void *data)
{
    uint64_t mended;

    free(fenced_status(data, &mended, NULL));
    return mended > 0;
}

static void expect_mended(struct fenced *f, const struct row *row)
{
    char culprit[64];

    if (!row->harmless)
        test_wait_until(is_mended, f, 30, "the file is mended");
    fenced_await_exact(f, SIZE);
    // A second look finds nothing: the daemon does not take its own mending for a change.
    assert_int_equal(diskalloc_region_resize(f->region, 2 * SIZE), 0);
    fenced_await_exact(f, 2 * SIZE);
    snprintf(culprit, sizeof culprit, "uid %u pid %d", getuid(), (int)getpid());
    assert_int_equal(fenced_count_logged(f, BEHIND), row->harmless || row->is_little ? 0 : 1);
    assert_int_equal(fenced_count_logged(f, culprit), row->harmless || row->is_little ? 0 : 1);
}

// The memory is still there, up to the size and beyond what was there before.
static void expect_usable(struct fenced *f)
{
    char *data = diskalloc_region_data(f->region);

    for (uint64_t i = 0; i < diskalloc_region_size(f->region); i += 4096)
        data[i]++;
}

static void try_row(const struct row *row, bool landlocked)
{
    struct fenced f;
    uint64_t behind;
    int r;

    fenced_start(&f, "auto", SIZE);
    r = row->act(landlocked ? f.fd : f.plain);
    if ((r < 0 && errno == EOPNOTSUPP) ||
        (row->needs_extents && extents_count_behind(f.plain, SIZE, &behind) == -EOPNOTSUPP)) {
        print_message("%s: not on this file system\n", row->name);
        fenced_stop(&f);
        return;
    }
    print_message("%s, %s: %s\n", row->name, landlocked ? "Landlock" : "plain", r < 0 ? strerror(errno) : "done");
    if (landlocked && row->landlock_refuses) {
        assert_int_equal(r, -1);
        assert_int_equal(errno, EACCES);
        assert_true(fenced_is_exact(&f, f.region));
    } else {
        assert_int_equal(r, 0);
        expect_mended(&f, row);
    }
    expect_usable(&f);
    fenced_stop(&f);
}

static void what_no_fence_stops_is_mended(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        try_row(&rows[i], false);
}

static bool has_landlock(void)
{
    struct fenced f;
    _cleanup_free_ char *names = NULL;

    fenced_start(&f, "auto", SIZE);
    names = fenced_status(&f, NULL, NULL);
    fenced_stop(&f);
    return strstr(names, "landlock");
}

static void landlock_refuses_to_truncate_and_the_rest_is_mended(void **state)
{
    (void)state;
    if (!has_landlock())
        skip();
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        try_row(&rows[i], true);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(what_no_fence_stops_is_mended),
        TEST(landlock_refuses_to_truncate_and_the_rest_is_mended),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
