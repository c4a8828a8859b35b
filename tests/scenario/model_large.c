// Vectors that are filled slowly, filled to a gigabyte, and many at once.
#include "tests/lib/scratch.h"
#include "tests/lib/test_backend.h"

DISKALLOC_VEC_DEFINE(u64s, uint64_t)

static uint64_t mix(uint64_t i)
{
    return (i + 0x9e3779b97f4a7c15) * 0xbf58476d1ce4e5b9;
}

static void a_slow_fill_one_by_one_is_right_at_every_length(struct test_backend *b)
{
    enum { N = SANITIZED ? 20000 : 100000 };
    struct u64s v = {0};
    uint64_t sum = 0, expected = 0;
    const uint64_t *base;

    assert_int_equal(u64s_init(&v, b->da), 0);
    base = diskalloc_region_data(v.region);
    for (uint64_t i = 0; i < N; i++) {
        assert_int_equal(u64s_reserve(&v, 1), 0);
        assert_int_equal(u64s_push(&v, mix(i)), 0);
        assert_ptr_equal(v.data, base);
        assert_int_equal(v.len, i + 1);
        assert_int_equal(v.data[i / 2], mix(i / 2));
        expected += mix(i);
    }
    for (size_t i = 0; i < v.len; i++)
        sum += v.data[i];
    assert_int_equal(sum, expected);
    u64s_deinit(&v);
}
FOR_EACH_BACKEND(a_slow_fill_one_by_one_is_right_at_every_length)

static void a_large_vector_is_built_scanned_and_emptied(struct test_backend *b)
{
    const size_t n = (SANITIZED ? 64 * MIB : GIB) / sizeof(uint64_t);
    struct u64s v = {0};
    uint64_t value = 0;

    assert_int_equal(u64s_init(&v, b->da), 0);
    for (uint64_t i = 0; i < n; i++)
        if (u64s_push(&v, mix(i)) != 0)
            fail_msg("push %llu: %s", (unsigned long long)i, diskalloc_last_error());
    assert_int_equal(v.len, n);
    assert_true(file_size(v.region) >= n * sizeof(uint64_t));
    for (uint64_t i = 0; i < n; i++)
        if (v.data[i] != mix(i))
            fail_msg("element %llu", (unsigned long long)i);
    for (uint64_t i = n; i > n / 2; i--)
        if (u64s_pop(&v, &value) != 0 || value != mix(i - 1))
            fail_msg("pop %llu", (unsigned long long)i);
    assert_int_equal(u64s_shrink_to_fit(&v), 0);
    assert_true(diskalloc_region_size(v.region) < n * sizeof(uint64_t));
    assert_int_equal(v.data[n / 2 - 1], mix(n / 2 - 1));
    u64s_deinit(&v);
}
FOR_EACH_BACKEND(a_large_vector_is_built_scanned_and_emptied)

static void thirty_two_vectors_grow_at_once(struct test_backend *b)
{
    enum { VECTORS = 32, N = 40000 };
    struct u64s v[VECTORS];

    memset(v, 0, sizeof(v));
    for (size_t k = 0; k < VECTORS; k++)
        assert_int_equal(u64s_init(&v[k], b->da), 0);
    for (uint64_t i = 0; i < N; i++)
        for (uint64_t k = 0; k < VECTORS; k++)
            if (i % (k + 1) == 0)
                assert_int_equal(u64s_push(&v[k], mix(i) ^ k), 0);
    for (uint64_t k = 0; k < VECTORS; k++)
        for (uint64_t i = 0; i < v[k].len; i++)
            assert_int_equal(v[k].data[i], mix(i * (k + 1)) ^ k);
    for (size_t k = 0; k < VECTORS; k += 2)
        u64s_deinit(&v[k]);
    for (uint64_t k = 1; k < VECTORS; k += 2) {
        assert_int_equal(v[k].data[v[k].len - 1], mix((v[k].len - 1) * (k + 1)) ^ k);
        u64s_deinit(&v[k]);
    }
}
FOR_EACH_BACKEND(thirty_two_vectors_grow_at_once)

static void the_charge_is_the_size_rounded_up_to_blocks(void **state)
{
    static const uint64_t sizes[] = {0, 1, 4096, 4097, 1000000, 3 * MIB, 5, 0, 77777};
    struct diskalloc_region *r[2];
    struct test_backend b;

    (void)state;
    backend_start(&b, true, NULL, NULL);
    r[0] = make_region(b.da, 10000);
    r[1] = make_region(b.da, 0);
    for (size_t i = 0; i < sizeof(sizes) / sizeof(*sizes); i++) {
        assert_int_equal(diskalloc_region_resize(r[1], sizes[i]), 0);
        assert_int_equal(diskalloc_region_size(r[1]), sizes[i]);
        assert_int_equal(usage_of(b.da).bytes, 12288 + (sizes[i] + 4095) / 4096 * 4096);
        assert_int_equal(usage_of(b.da).regions, 2);
        assert_int_equal(test_sum_sizes(b.daemon.spill), usage_of(b.da).bytes);
    }
    diskalloc_region_close(r[0]);
    diskalloc_region_close(r[1]);
    backend_stop(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        EACH_BACKEND(a_slow_fill_one_by_one_is_right_at_every_length),
        EACH_BACKEND(a_large_vector_is_built_scanned_and_emptied),
        EACH_BACKEND(thirty_two_vectors_grow_at_once),
        TEST(the_charge_is_the_size_rounded_up_to_blocks),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
