// Whoever changes a region's file twice within a minute gets no more of that region, and loses nothing else.
#include <fcntl.h>
#include <linux/falloc.h>

#include "proto/util/cleanup.h"
#include "tests/lib/fenced.h"
#include "tests/lib/harness.h"

enum { SIZE = 1 << 20, N_REGIONS = 30 };

struct wait_for {
    const struct fenced *f;
    uint64_t n;
};

static bool are_mended(void *data)
{
    const struct wait_for *w = data;
    uint64_t mended;

    free(fenced_status(w->f, &mended, NULL));
    return mended >= w->n;
}

// Takes blocks behind the end of the file by FD, and waits until they are taken back; N is how often that was done.
static void offend(const struct fenced *f, int fd, uint64_t n)
{
    struct wait_for w = {f, n};

    assert_int_equal(fallocate(fd, FALLOC_FL_KEEP_SIZE, 64 << 20, 1 << 20), 0);
    test_wait_until(are_mended, &w, 30, "the blocks are taken back");
}

static void the_second_time_freezes_the_region(void **state)
{
    struct diskalloc_region *again = NULL, *other = NULL;
    struct fenced f;
    char *data;

    (void)state;
    fenced_start(&f, "auto", SIZE);
    offend(&f, f.fd, 1);
    assert_int_equal(diskalloc_region_resize(f.region, 2 * SIZE), 0);
    offend(&f, f.fd, 2);
    assert_int_equal(fenced_count_logged(&f, "changed behind the daemon's back"), 2);
    assert_int_equal(fenced_count_logged(&f, "frozen for ten minutes"), 1);

    assert_int_equal(diskalloc_region_resize(f.region, 3 * SIZE), -EACCES);
    assert_non_null(strstr(diskalloc_last_error(), "changed behind the daemon's back more than once"));
    assert_int_equal(diskalloc_region_attach(f.da, diskalloc_region_handle(f.region), NULL, &again), -EACCES);
    assert_non_null(strstr(diskalloc_last_error(), "changed behind the daemon's back more than once"));

    // The memory stays, can be given back, and other regions go on.
    data = diskalloc_region_data(f.region);
    memset(data, 7, 2 * SIZE);
    assert_int_equal(diskalloc_region_create(f.da, NULL, &other), 0);
    assert_int_equal(diskalloc_region_resize(other, SIZE), 0);
    diskalloc_region_close(other);
    fenced_await_exact(&f, 2 * SIZE);
    assert_int_equal(diskalloc_region_resize(f.region, SIZE), 0);
    fenced_await_exact(&f, SIZE);
    assert_int_equal(data[SIZE - 1], 7);

    // Further changes are mended, and the log says nothing more.
    offend(&f, f.fd, 3);
    offend(&f, f.fd, 4);
    assert_int_equal(fenced_count_logged(&f, "changed behind the daemon's back ("), 2);
    fenced_stop(&f);
}

static void a_frozen_region_can_be_read_by_others_and_restores_nothing(void **state)
{
    struct diskalloc_region_options o = DISKALLOC_REGION_OPTIONS_INIT;
    struct diskalloc_region *reader = NULL;
    struct fenced f;

    (void)state;
    fenced_start(&f, "auto", 4 * SIZE);
    if (diskalloc_region_discard(f.region, SIZE, SIZE) == -EOPNOTSUPP) {
        fenced_stop(&f);
        skip();
    }
    offend(&f, f.plain, 1);
    offend(&f, f.plain, 2);
    assert_int_equal(diskalloc_region_restore(f.region, SIZE, SIZE), -EACCES);
    o.flags = DISKALLOC_REGION_READ_ONLY;
    assert_int_equal(diskalloc_region_attach(f.da, diskalloc_region_handle(f.region), &o, &reader), 0);
    assert_int_equal(((const char *)diskalloc_region_data(reader))[0], 1);
    diskalloc_region_close(reader);
    fenced_stop(&f);
}

// The daemon cannot know which of them it was.
static void a_region_that_others_may_write_to_is_not_frozen(void **state)
{
    struct diskalloc_region_options o = DISKALLOC_REGION_OPTIONS_INIT;
    struct diskalloc_region *shared = NULL;
    struct fenced f;
    int fd;

    (void)state;
    fenced_start(&f, "auto", SIZE);
    o.flags = DISKALLOC_REGION_CREATE;
    o.size = SIZE;
    o.mode = 0666;
    assert_int_equal(diskalloc_region_open(f.da, "shared", &o, &shared), 0);
    fd = diskalloc_region_fd(shared);
    offend(&f, fd, 1);
    offend(&f, fd, 2);
    offend(&f, fd, 3);
    assert_int_equal(diskalloc_region_resize(shared, 2 * SIZE), 0);
    assert_int_equal(fenced_count_logged(&f, "frozen"), 0);
    assert_int_equal(fenced_count_logged(&f, "changed behind the daemon's back"), 1);
    diskalloc_region_close(shared);
    fenced_stop(&f);
}

struct many {
    struct fenced *f;
    struct diskalloc_region *regions[N_REGIONS];
};

static bool all_are_exact(void *data)
{
    const struct many *m = data;

    for (size_t i = 0; i < N_REGIONS; i++)
        if (!fenced_is_exact(m->f, m->regions[i]))
            return false;
    return true;
}

static void change_all(struct many *m)
{
    for (size_t i = 0; i < N_REGIONS; i++)
        assert_int_equal(fallocate(diskalloc_region_fd(m->regions[i]), 0, 0, 4 * SIZE), 0);
    test_wait_until(all_are_exact, m, 30, "all files are what is granted");
}

static void many_regions_do_not_fill_the_log(void **state)
{
    struct fenced f;
    struct many m = {.f = &f};
    unsigned n;

    (void)state;
    fenced_start(&f, "auto", SIZE);
    for (size_t i = 0; i < N_REGIONS; i++)
        assert_int_equal(diskalloc_region_create(f.da, NULL, &m.regions[i]), 0);
    change_all(&m);
    change_all(&m);
    n = fenced_count_logged(&f, "changed behind the daemon's back");
    assert_in_range(n, 1, 8); // four a minute, and the minute may end meanwhile
    for (size_t i = 0; i < N_REGIONS; i++)
        diskalloc_region_close(m.regions[i]);
    fenced_stop(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(the_second_time_freezes_the_region),
        TEST(a_frozen_region_can_be_read_by_others_and_restores_nothing),
        TEST(a_region_that_others_may_write_to_is_not_frozen),
        TEST(many_regions_do_not_fill_the_log),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
