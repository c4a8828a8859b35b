// Faults of a vector on disk that came before this one, as promises: growing, refusals, and the content of new memory.
#include "tests/lib/loop_mount.h"
#include "tests/lib/test_backend.h"

#include <sys/statvfs.h>

DISKALLOC_VEC_DEFINE(u64s, uint64_t)
DISKALLOC_VEC_DEFINE(bytes, uint8_t)

enum { SMALL_DISK_MIB = 320 };

static void fill(uint64_t *data, size_t from, size_t to, uint64_t seed)
{
    for (size_t i = from; i < to; i++)
        data[i] = seed ^ i;
}

static void check(const uint64_t *data, size_t n, uint64_t seed)
{
    for (size_t i = 0; i < n; i++)
        if (data[i] != (seed ^ i))
            fail_msg("element %zu is %#llx", i, (unsigned long long)data[i]);
}

static void growing_regions_in_turn_keeps_every_byte_of_each(struct test_backend *b)
{
    enum { N = 4, STEPS = 40 };
    struct diskalloc_region *r[N];
    void *base[N];
    size_t len = 1000;

    for (size_t i = 0; i < N; i++) {
        r[i] = make_region(b->da, len * sizeof(uint64_t));
        base[i] = diskalloc_region_data(r[i]);
        fill(base[i], 0, len, i << 40);
    }
    for (int step = 0; step < STEPS; step++) {
        size_t longer = len + len / 8 + 1;

        for (size_t i = 0; i < N; i++) {
            assert_int_equal(diskalloc_region_resize(r[i], longer * sizeof(uint64_t)), 0);
            fill(base[i], len, longer, i << 40);
        }
        len = longer;
    }
    for (size_t i = 0; i < N; i++) {
        assert_ptr_equal(diskalloc_region_data(r[i]), base[i]);
        assert_int_equal(diskalloc_region_size(r[i]), len * sizeof(uint64_t));
        check(base[i], len, i << 40);
        diskalloc_region_close(r[i]);
    }
}
FOR_EACH_BACKEND(growing_regions_in_turn_keeps_every_byte_of_each)

static void a_block_that_is_not_the_last_grows_in_place_with_its_content(struct test_backend *b)
{
    uint64_t *first = diskalloc_malloc(b->da, 4096);
    uint64_t *second = diskalloc_malloc(b->da, 4096);
    uint64_t *same;

    assert_non_null(first);
    assert_non_null(second);
    fill(first, 0, 512, 1);
    fill(second, 0, 512, 2);
    same = diskalloc_realloc(b->da, first, 256 * KIB);
    assert_ptr_equal(same, first);
    check(first, 512, 1);
    fill(first, 0, 256 * KIB / 8, 1);
    check(second, 512, 2);
    diskalloc_free(first);
    check(second, 512, 2);
    diskalloc_free(second);
}
FOR_EACH_BACKEND(a_block_that_is_not_the_last_grows_in_place_with_its_content)

static void a_reserve_beyond_the_disk_is_refused_and_every_store_stays_safe(struct test_backend *b)
{
    struct u64s v = {0};
    size_t cap;

    assert_int_equal(u64s_init(&v, b->da), 0);
    assert_int_equal(u64s_reserve(&v, MIB), 0);
    cap = v.cap;
    assert_true(cap >= MIB);
    assert_int_equal(u64s_reserve(&v, SMALL_DISK_MIB * MIB / sizeof(uint64_t)), -ENOSPC);
    assert_int_equal(v.cap, cap);
    for (size_t i = 0; i < cap; i++)
        assert_int_equal(u64s_push(&v, i), 0);
    check(v.data, cap, 0);
    u64s_deinit(&v);
}

static void run_on_a_small_disk(bool remote, void (*body)(struct test_backend *b))
{
    struct test_mount m;
    struct test_backend b;

    if (!test_mount(&m, "ext4", SMALL_DISK_MIB * MIB)) {
        skip();
        return;
    }
    backend_start(&b, remote, "[daemon]\nkeep_free = 0\n[quota total]\nbytes = unlimited\n", m.at);
    body(&b);
    backend_stop(&b);
    test_unmount(&m);
}

static void a_reserve_beyond_the_disk_is_refused_with_a_daemon(void **state)
{
    (void)state;
    run_on_a_small_disk(true, a_reserve_beyond_the_disk_is_refused_and_every_store_stays_safe);
}

static void a_reserve_beyond_the_disk_is_refused_embedded(void **state)
{
    (void)state;
    run_on_a_small_disk(false, a_reserve_beyond_the_disk_is_refused_and_every_store_stays_safe);
}

static void a_reserve_beyond_the_address_space_is_refused(struct test_backend *b)
{
    struct u64s v = {0};
    const uint64_t *data;
    size_t cap;

    assert_int_equal(u64s_init(&v, b->da), 0);
    assert_int_equal(u64s_push(&v, 7), 0);
    data = v.data;
    cap = v.cap;
    assert_int_equal(u64s_reserve(&v, 600 * GIB / sizeof(uint64_t)), -ENOMEM);
    assert_int_equal(u64s_reserve(&v, (uint64_t)1 << 59), -ENOMEM);
    assert_int_equal(u64s_reserve(&v, SIZE_MAX), -EOVERFLOW);
    assert_ptr_equal(v.data, data);
    assert_int_equal(v.len, 1);
    assert_int_equal(v.cap, cap);
    for (uint64_t i = 0; i < 10000; i++)
        assert_int_equal(u64s_push(&v, i), 0);
    assert_int_equal(v.data[0], 7);
    check(v.data + 1, 10000, 0);
    u64s_deinit(&v);
}
FOR_EACH_BACKEND(a_reserve_beyond_the_address_space_is_refused)

static void a_grow_that_fails_ends_nothing_and_leaves_the_right_size(struct test_backend *b)
{
    struct diskalloc_region *r = make_region(b->da, 100001);
    uint8_t *data = diskalloc_region_data(r);

    memset(data, 0x5a, 100001);
    assert_int_equal(diskalloc_region_resize(r, UINT64_MAX), -EOVERFLOW);
    assert_int_equal(diskalloc_region_resize(r, TIB), -ENOMEM);
    assert_int_equal(diskalloc_region_size(r), 100001);
    assert_int_equal(file_size(r), 100001);
    for (size_t i = 0; i < 100001; i++)
        assert_int_equal(data[i], 0x5a);
    assert_int_equal(diskalloc_region_resize(r, 200002), 0);
    assert_int_equal(diskalloc_region_size(r), 200002);
    assert_int_equal(file_size(r), 200002);
    data[200001] = 1;
    diskalloc_region_close(r);
}
FOR_EACH_BACKEND(a_grow_that_fails_ends_nothing_and_leaves_the_right_size)

static void a_shrink_that_fails_ends_nothing_and_leaves_the_right_size(struct test_backend *b)
{
    struct diskalloc_region *r = NULL;
    struct u64s v = {0};
    size_t cap;

    assert_int_equal(open_named(b->da, "shrinking", 0, DISKALLOC_REGION_CREATE, &r), 0);
    assert_int_equal(u64s_init_region(&v, r), 0);
    for (uint64_t i = 0; i < 100000; i++)
        assert_int_equal(u64s_push(&v, i), 0);
    assert_int_equal(u64s_truncate(&v, 50), 0);
    cap = v.cap;
    assert_int_equal(diskalloc_region_unlink(b->da, "shrinking"), 0);
    assert_int_equal(u64s_shrink_to_fit(&v), -ESTALE);
    assert_int_equal(v.len, 50);
    assert_int_equal(v.cap, cap);
    fill(v.data, 0, cap, 0);
    check(v.data, cap, 0);
    u64s_deinit(&v);
}
FOR_EACH_BACKEND(a_shrink_that_fails_ends_nothing_and_leaves_the_right_size)

static void new_elements_are_zero(struct test_backend *b)
{
    struct bytes v = {0};

    assert_int_equal(bytes_init(&v, b->da), 0);
    for (size_t len = 1; len < 3 * MIB; len = len * 3 + 1) {
        size_t kept = len / 3;

        assert_int_equal(bytes_resize(&v, len), 0);
        for (size_t i = 0; i < len; i++)
            assert_int_equal(v.data[i], 0);
        memset(v.data, 0xff, v.cap);
        assert_int_equal(bytes_truncate(&v, kept), 0);
        assert_int_equal(bytes_resize(&v, len), 0);
        for (size_t i = 0; i < len; i++)
            assert_int_equal(v.data[i], i < kept ? 0xff : 0);
        memset(v.data, 0xff, v.cap);
        assert_int_equal(bytes_truncate(&v, kept), 0);
        assert_int_equal(bytes_shrink_to_fit(&v), 0);
        assert_int_equal(bytes_resize(&v, len), 0);
        for (size_t i = 0; i < len; i++)
            assert_int_equal(v.data[i], i < kept ? 0xff : 0);
        assert_int_equal(bytes_truncate(&v, 0), 0);
    }
    bytes_deinit(&v);
}
FOR_EACH_BACKEND(new_elements_are_zero)

static void what_a_region_grows_by_is_zero_even_within_a_page(struct test_backend *b)
{
    static const uint64_t sizes[] = {1, 100, 4095, 4096, 4097, 70000, MIB + 13};
    struct diskalloc_region *r = make_region(b->da, 0);
    uint8_t *data = diskalloc_region_data(r);

    for (size_t i = 0; i < sizeof(sizes) / sizeof(*sizes); i++) {
        uint64_t size = sizes[i];

        assert_int_equal(diskalloc_region_resize(r, size), 0);
        memset(data, 0xff, size);
        assert_int_equal(diskalloc_region_resize(r, size / 2), 0);
        assert_int_equal(diskalloc_region_resize(r, size), 0);
        for (uint64_t at = 0; at < size; at++)
            assert_int_equal(data[at], at < size / 2 ? 0xff : 0);
        assert_int_equal(diskalloc_region_resize(r, 0), 0);
    }
    diskalloc_region_close(r);
}
FOR_EACH_BACKEND(what_a_region_grows_by_is_zero_even_within_a_page)

int main(void)
{
    const struct CMUnitTest tests[] = {
        EACH_BACKEND(growing_regions_in_turn_keeps_every_byte_of_each),
        EACH_BACKEND(a_block_that_is_not_the_last_grows_in_place_with_its_content),
        TEST(a_reserve_beyond_the_disk_is_refused_with_a_daemon),
        TEST(a_reserve_beyond_the_disk_is_refused_embedded),
        EACH_BACKEND(a_reserve_beyond_the_address_space_is_refused),
        EACH_BACKEND(a_grow_that_fails_ends_nothing_and_leaves_the_right_size),
        EACH_BACKEND(a_shrink_that_fails_ends_nothing_and_leaves_the_right_size),
        EACH_BACKEND(new_elements_are_zero),
        EACH_BACKEND(what_a_region_grows_by_is_zero_even_within_a_page),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
