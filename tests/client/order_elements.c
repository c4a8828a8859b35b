// Sorting elements of all sizes, in all kinds of order, with little memory and much, compared with qsort.
#include <diskalloc/vec.h>

#include "client/order/pool.h"
#include "client/order/sort.h"
#include "tests/lib/harness.h"

#define ELEMENT(bytes)                                                                    \
    struct e##bytes {                                                                     \
        uint8_t at[bytes];                                                                \
    };                                                                                    \
    static inline int e##bytes##_less(const struct e##bytes *a, const struct e##bytes *b) \
    {                                                                                     \
        return memcmp(a, b, sizeof *a) < 0;                                               \
    }                                                                                     \
    DISKALLOC_VEC_DEFINE(v##bytes, struct e##bytes)                                       \
    DISKALLOC_VEC_DEFINE_ORDER(v##bytes, struct e##bytes, e##bytes##_less)

ELEMENT(1)
ELEMENT(3)
ELEMENT(8)
ELEMENT(16)
ELEMENT(64)
ELEMENT(65)
ELEMENT(200)
ELEMENT(4096)
ELEMENT(10000)

enum { N_ORDERS = 9, GUARD = 64 };

static const struct diskalloc_order *order_of(int i)
{
    const struct diskalloc_order *orders[N_ORDERS] = {
        diskalloc_vec_v1_order(),   diskalloc_vec_v3_order(),    diskalloc_vec_v8_order(),
        diskalloc_vec_v16_order(),  diskalloc_vec_v64_order(),   diskalloc_vec_v65_order(),
        diskalloc_vec_v200_order(), diskalloc_vec_v4096_order(), diskalloc_vec_v10000_order(),
    };

    return orders[i];
}

static uint64_t random_state = 88172645463325252;

static uint64_t next_random(void)
{
    random_state ^= random_state << 13;
    random_state ^= random_state >> 7;
    random_state ^= random_state << 17;
    return random_state;
}

enum pattern { EQUAL, SORTED, REVERSED, ORGAN_PIPE, FEW, RANDOM, NEARLY_SORTED, SAW, N_PATTERNS };

static uint64_t number(enum pattern p, size_t i, size_t n)
{
    switch (p) {
    case EQUAL:
        return 7;
    case SORTED:
        return i;
    case REVERSED:
        return n - i;
    case ORGAN_PIPE:
        return i < n / 2 ? i : n - i;
    case FEW:
        return next_random() % 5;
    case NEARLY_SORTED:
        return next_random() % 50 ? i : next_random() % n;
    case SAW:
        return i % 37;
    default:
        return next_random();
    }
}

// Big-endian, so that memcmp compares numbers; elements of a few bytes get its lowest ones.
static void put_number(uint8_t *at, size_t size, uint64_t x)
{
    size_t n = size < 8 ? size : 8;

    memset(at, (uint8_t)x, size);
    for (size_t k = 0; k < n; k++)
        at[k] = (uint8_t)(x >> (8 * (n - 1 - k)));
}

// N elements between two guards.
static uint8_t *make(enum pattern p, size_t n, size_t size)
{
    uint8_t *memory = malloc(n * size + 2 * GUARD);

    assert_non_null(memory);
    memset(memory, 0xee, n * size + 2 * GUARD);
    for (size_t i = 0; i < n; i++)
        put_number(memory + GUARD + i * size, size, number(p, i, n));
    return memory;
}

static void expect_guards(const uint8_t *memory, size_t bytes)
{
    for (size_t i = 0; i < GUARD; i++) {
        assert_int_equal(memory[i], 0xee);
        assert_int_equal(memory[GUARD + bytes + i], 0xee);
    }
}

static size_t compared_bytes;

static int compare(const void *a, const void *b)
{
    return memcmp(a, b, compared_bytes);
}

static void sort_bytes(uint8_t *at, size_t n, size_t size)
{
    compared_bytes = size;
    qsort(at, n, size, compare);
}

static void check(const struct diskalloc_order *order, enum pattern p, size_t n, uint64_t memory, struct pool *pool)
{
    size_t size = order->element_size;
    uint8_t *ours = make(p, n, size), *other = malloc(n * size + 1);

    assert_non_null(other);
    memcpy(other, ours + GUARD, n * size);
    sort_elements(&(struct sort_job){.order = order, .pool = pool, .at = ours + GUARD, .n = n, .memory = memory});
    sort_bytes(other, n, size);
    if (memcmp(ours + GUARD, other, n * size) != 0)
        fail_msg("wrong: pattern %d, %zu elements of %zu bytes, %ju bytes of memory", p, n, size, (uintmax_t)memory);
    expect_guards(ours, n * size);
    free(ours);
    free(other);
}

static size_t most_elements(size_t size)
{
    size_t n = MIB / 2 / size;

    return n < 60 ? 60 : n > 30000 ? 30000 : n;
}

static void every_pattern_of_every_size_is_sorted(void **state)
{
    (void)state;
    for (int i = 0; i < N_ORDERS; i++) {
        const struct diskalloc_order *order = order_of(i);
        size_t n = most_elements(order->element_size);

        for (enum pattern p = EQUAL; p < N_PATTERNS; p++) {
            for (size_t few = 0; few < 60; few++)
                check(order, p, few, UINT64_MAX, NULL);
            check(order, p, n, UINT64_MAX, NULL);
        }
    }
}

static void little_memory_gives_the_same(void **state)
{
    (void)state;
    for (int i = 0; i < N_ORDERS; i++) {
        const struct diskalloc_order *order = order_of(i);
        size_t n = most_elements(order->element_size);

        for (enum pattern p = EQUAL; p < N_PATTERNS; p++) {
            check(order, p, n, 0, NULL);
            check(order, p, n - 1, n * order->element_size / 10, NULL);
            check(order, p, n, n * order->element_size - 1, NULL);
        }
    }
}

static void several_threads_give_the_same(void **state)
{
    struct pool *pool = pool_new(3);

    (void)state;
    assert_non_null(pool);
    for (int i = 0; i < N_ORDERS; i++) {
        const struct diskalloc_order *order = order_of(i);
        size_t n = 3 * MIB / order->element_size;

        for (enum pattern p = EQUAL; p < N_PATTERNS; p += SANITIZED ? 3 : 1) {
            check(order, p, n < 400000 ? n : 400000, UINT64_MAX, pool);
            check(order, p, n < 400000 ? n : 400000, 2 * MIB, pool);
        }
    }
    pool_free(pool);
    pool_free(NULL);
}

// Sizes and memories of all kinds: runs that end with a short block or none, one run, merges in several passes.
static void random_lengths_and_memories_give_the_same(void **state)
{
    (void)state;
    for (int k = 0; k < (SANITIZED ? 300 : 1500); k++) {
        const struct diskalloc_order *order = order_of((int)(next_random() % 7));
        size_t n = next_random() % 3000;

        check(order, (enum pattern)(next_random() % N_PATTERNS), n, next_random() % (n * order->element_size + 1000),
              NULL);
    }
}

static int by_low_byte(const uint64_t *a, const uint64_t *b)
{
    return (*a & 0xff) < (*b & 0xff);
}
DISKALLOC_VEC_DEFINE(keyed, uint64_t)
DISKALLOC_VEC_DEFINE_ORDER(keyed, uint64_t, by_low_byte)

static _Thread_local uint64_t whim;

// No order at all: the same question has another answer each time.
static int whims(const uint64_t *a, const uint64_t *b)
{
    whim = whim * 6364136223846793005 + *a + *b + 1;
    return whim >> 63 != 0;
}
DISKALLOC_VEC_DEFINE(whimsical, uint64_t)
DISKALLOC_VEC_DEFINE_ORDER(whimsical, uint64_t, whims)

static int always(const uint64_t *a, const uint64_t *b)
{
    (void)a, (void)b;
    return 1;
}
DISKALLOC_VEC_DEFINE(all_before, uint64_t)
DISKALLOC_VEC_DEFINE_ORDER(all_before, uint64_t, always)

static void expect_a_permutation(const struct diskalloc_order *order, size_t n, uint64_t memory, struct pool *pool,
                                 bool sorted)
{
    uint8_t *ours = make(RANDOM, n, 8), *before = malloc(n * 8 + 1);

    assert_non_null(before);
    memcpy(before, ours + GUARD, n * 8);
    sort_elements(&(struct sort_job){.order = order, .pool = pool, .at = ours + GUARD, .n = n, .memory = memory});
    if (sorted)
        assert_true(order->is_sorted(ours + GUARD, n));
    expect_guards(ours, n * 8);
    sort_bytes(ours + GUARD, n, 8);
    sort_bytes(before, n, 8);
    assert_memory_equal(ours + GUARD, before, n * 8);
    free(ours);
    free(before);
}

static void elements_that_are_equal_in_order_and_differ_otherwise_all_stay(void **state)
{
    (void)state;
    for (size_t n = 0; n < 20000; n = n * 2 + 1) {
        expect_a_permutation(diskalloc_vec_keyed_order(), n, UINT64_MAX, NULL, true);
        expect_a_permutation(diskalloc_vec_keyed_order(), n, n, NULL, true);
    }
}

static void a_less_that_is_no_order_loses_nothing(void **state)
{
    struct pool *pool = pool_new(2);

    (void)state;
    assert_non_null(pool);
    for (size_t n = 0; n < 20000; n = n * 3 / 2 + 1) {
        expect_a_permutation(diskalloc_vec_whimsical_order(), n, UINT64_MAX, NULL, false);
        expect_a_permutation(diskalloc_vec_whimsical_order(), n, n, NULL, false);
        expect_a_permutation(diskalloc_vec_all_before_order(), n, UINT64_MAX, NULL, false);
        expect_a_permutation(diskalloc_vec_all_before_order(), n, n, NULL, false);
    }
    expect_a_permutation(diskalloc_vec_whimsical_order(), 300000, UINT64_MAX, pool, false);
    expect_a_permutation(diskalloc_vec_all_before_order(), 300000, UINT64_MAX, pool, false);
    expect_a_permutation(diskalloc_vec_whimsical_order(), 300000, MIB, pool, false);
    pool_free(pool);
}

static size_t n_compared;

static int counted(const uint64_t *a, const uint64_t *b)
{
    n_compared++;
    return *a < *b;
}
DISKALLOC_VEC_DEFINE(counting, uint64_t)
DISKALLOC_VEC_DEFINE_ORDER(counting, uint64_t, counted)

// For each n the bound is far above what a good sort needs, and far below the square.
static void no_pattern_takes_quadratic_time(void **state)
{
    const struct diskalloc_order *order = diskalloc_vec_counting_order();
    size_t n = 30000;

    (void)state;
    for (enum pattern p = EQUAL; p < N_PATTERNS; p++) {
        uint8_t *ours = make(p, n, 8);

        for (size_t i = 0; i < n; i++) {
            uint64_t x = number(p, i, n);

            memcpy(ours + GUARD + i * 8, &x, 8);
        }
        n_compared = 0;
        sort_elements(&(struct sort_job){.order = order, .at = ours + GUARD, .n = n, .memory = UINT64_MAX});
        assert_true(n_compared < 60 * n);
        free(ours);
    }
}

// McIlroy's adversary (A Killer Adversary for Quicksort, 1999): values are decided while the sort compares.
static uint64_t value_of[5000], n_solid, candidate, gas;

static int adversary(const uint32_t *a, const uint32_t *b)
{
    n_compared++;
    if (value_of[*a] == gas && value_of[*b] == gas)
        value_of[*a == candidate ? *a : *b] = n_solid++;
    if (value_of[*a] == gas)
        candidate = *a;
    else if (value_of[*b] == gas)
        candidate = *b;
    return value_of[*a] < value_of[*b];
}
DISKALLOC_VEC_DEFINE(killed, uint32_t)
DISKALLOC_VEC_DEFINE_ORDER(killed, uint32_t, adversary)

static void an_adversary_does_not_make_it_quadratic(void **state)
{
    uint32_t elements[5000];
    const size_t n = sizeof elements / sizeof *elements;

    (void)state;
    gas = n;
    for (uint32_t i = 0; i < n; i++) {
        elements[i] = i;
        value_of[i] = gas;
    }
    n_compared = 0;
    diskalloc_vec_killed_order()->sort(elements, n, 0);
    assert_true(n_compared < 100 * n);
    for (size_t i = 1; i < n; i++)
        assert_true(value_of[elements[i - 1]] <= value_of[elements[i]]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(every_pattern_of_every_size_is_sorted),
        TEST(little_memory_gives_the_same),
        TEST(several_threads_give_the_same),
        TEST(random_lengths_and_memories_give_the_same),
        TEST(elements_that_are_equal_in_order_and_differ_otherwise_all_stay),
        TEST(a_less_that_is_no_order_loses_nothing),
        TEST(no_pattern_takes_quadratic_time),
        TEST(an_adversary_does_not_make_it_quadratic),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
