// A region that another holder changes at the same time.
#include "tests/lib/test_backend.h"

#include <sys/mman.h>

DISKALLOC_VEC_DEFINE(bytevec, unsigned char)

static void a_refused_resize_takes_over_nothing_of_what_another_did(struct test_backend *b)
{
    struct diskalloc_region *mine = NULL, *theirs = NULL;
    struct diskalloc *other = NULL;

    assert_int_equal(diskalloc_open(b->address, NULL, &other), 0);
    assert_int_equal(open_named(b->da, "it", 8192, DISKALLOC_REGION_CREATE, &mine), 0);
    assert_int_equal(open_named(other, "it", 0, 0, &theirs), 0);
    assert_int_equal(diskalloc_region_resize(theirs, 100000), 0);
    assert_int_equal(diskalloc_region_commit(theirs, 90000, 1, 0), 0);
    EXPECT_FAILURE(-EBUSY, "diskalloc_region_resize", diskalloc_region_resize(mine, 4096));
    assert_int_equal(diskalloc_region_size(mine), 8192);
    assert_int_equal(diskalloc_region_used(mine), 0);
    memset(diskalloc_region_data(mine), 1, 8192);
    assert_int_equal(diskalloc_region_refresh(mine), 1);
    assert_int_equal(diskalloc_region_size(mine), 100000);
    assert_int_equal(diskalloc_region_used(mine), 90000);
    diskalloc_region_close(theirs);
    diskalloc_region_close(mine);
    assert_int_equal(diskalloc_region_unlink(b->da, "it"), 0);
    diskalloc_close(other);
}
FOR_EACH_BACKEND(a_refused_resize_takes_over_nothing_of_what_another_did)

static void a_region_that_is_open_twice_is_not_cut_under_the_other(struct test_backend *b)
{
    struct diskalloc_region *one = NULL, *two = NULL;

    assert_int_equal(open_named(b->da, "twice", 100000, DISKALLOC_REGION_CREATE, &one), 0);
    assert_int_equal(open_named(b->da, "twice", 0, 0, &two), 0);
    EXPECT_FAILURE(-EBUSY, "diskalloc_region_resize", diskalloc_region_resize(one, 4096));
    memset(diskalloc_region_data(one), 1, 100000);
    memset(diskalloc_region_data(two), 1, 100000);
    diskalloc_region_close(two);
    assert_int_equal(diskalloc_region_resize(one, 4096), 0);
    diskalloc_region_close(one);
    assert_int_equal(diskalloc_region_unlink(b->da, "twice"), 0);
}
FOR_EACH_BACKEND(a_region_that_is_open_twice_is_not_cut_under_the_other)

// First a few bytes more, then so many that the library looks before it writes.
static void new_elements_are_zero_where_another_has_written(struct test_backend *b)
{
    struct diskalloc_region *mine = NULL, *theirs = NULL;
    struct diskalloc *other = NULL;
    struct bytevec v;

    assert_int_equal(diskalloc_open(b->address, NULL, &other), 0);
    assert_int_equal(open_named(b->da, "it", 10000, DISKALLOC_REGION_CREATE, &mine), 0);
    memset(diskalloc_region_data(mine), 7, 10000);
    assert_int_equal(bytevec_init_region(&v, mine), 0);
    assert_int_equal(open_named(other, "it", 0, 0, &theirs), 0);
    for (uint64_t more = 20000; more < 6 * MIB; more += 2 * MIB) {
        uint64_t len = v.cap;

        assert_int_equal(diskalloc_region_refresh(theirs) >= 0, 1);
        assert_int_equal(diskalloc_region_resize(theirs, len + more), 0);
        memset((char *)diskalloc_region_data(theirs) + len, 0xee, more);
        assert_int_equal(bytevec_resize(&v, len + more + 50000), 0);
        for (uint64_t i = len; i < v.len; i++)
            if (v.data[i] != 0)
                fail_msg("byte %llu is %d", (unsigned long long)i, v.data[i]);
    }
    assert_int_equal(v.data[9999], 7);
    diskalloc_region_close(theirs);
    bytevec_deinit(&v);
    assert_int_equal(diskalloc_region_unlink(b->da, "it"), 0);
    diskalloc_close(other);
}
FOR_EACH_BACKEND(new_elements_are_zero_where_another_has_written)

static void elements_that_are_zero_already_cost_no_memory(struct test_backend *b)
{
    unsigned char resident[64 * 256];
    size_t n_resident = 0;
    struct bytevec v;

    assert_int_equal(bytevec_init(&v, b->da), 0);
    assert_int_equal(bytevec_resize(&v, 64 * MIB), 0);
    assert_return_code(mincore(v.data, 64 * MIB, resident), errno);
    for (size_t i = 0; i < sizeof resident; i++)
        n_resident += resident[i] & 1;
    // what a vector begins with is zeroed, and the kernel reads two large pages for that
    assert_true(n_resident <= 1024);
    assert_int_equal(v.data[64 * MIB - 1], 0);
    bytevec_deinit(&v);
}
FOR_EACH_BACKEND(elements_that_are_zero_already_cost_no_memory)

int main(void)
{
    const struct CMUnitTest tests[] = {
        EACH_BACKEND(a_refused_resize_takes_over_nothing_of_what_another_did),
        EACH_BACKEND(a_region_that_is_open_twice_is_not_cut_under_the_other),
        EACH_BACKEND(new_elements_are_zero_where_another_has_written),
        EACH_BACKEND(elements_that_are_zero_already_cost_no_memory),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
