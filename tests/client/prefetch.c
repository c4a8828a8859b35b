// Pages that are made ahead of a vector: how far ahead, and for which vectors.
#include "tests/lib/prefetch_state.h"
#include "tests/lib/test_backend.h"

#define HUGE_PAGE (2 * MIB)
#define LARGE (8 * MIB)      // from here on the thread helps
#define AHEAD_MAX (32 * MIB) // and this far

static uint64_t min(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

static void await_idle(struct diskalloc_region *r)
{
    test_wait_until(is_idle, r, 60, "the thread has made what it wants to");
}

// The kernel may answer a fault with 2 MiB of pages.
static size_t present_behind(const struct u64s *v, uint64_t end)
{
    return present(v, align_up(end, HUGE_PAGE), align_up(diskalloc_region_size(v->region), HUGE_PAGE) + 64 * MIB);
}

static void capacity_comes_in_windows_whose_pages_are_there(struct test_backend *b)
{
    struct u64s v;

    if (cannot_help())
        return;
    b->da->outgrows = true; // a small vector, in memory, touches its first pages one by one
    assert_int_equal(u64s_init(&v, b->da), 0);
    while (v.len < 24 * MIB / 8) {
        uint64_t from = align_up(v.len * 8, 4096), end;

        assert_int_equal(u64s_push(&v, mix(v.len)), 0);
        end = v.cap * 8;
        assert_true(v.cap >= v.len && end <= diskalloc_region_size(v.region));
        assert_true(end - from <= align_up(HUGE_PAGE, 4096));
        if (present(&v, from, end) != (end - from) / 4096)
            fail_msg("%zu of the pages from %zu KiB to %zu are there", present(&v, from, end), (size_t)from / 1024,
                     (size_t)end / 1024);
        push_to(&v, end);
    }
    assert_true(is_content_right(&v));
    u64s_deinit(&v);
}
FOR_EACH_BACKEND(capacity_comes_in_windows_whose_pages_are_there)

static void nothing_is_made_ahead_for_a_small_vector(struct test_backend *b)
{
    size_t n_threads = count_threads();
    struct u64s v;

    assert_int_equal(u64s_init(&v, b->da), 0);
    assert_int_equal(present(&v, 0, MIB), 0);
    while (v.len < 2 * MIB / 8) {
        assert_int_equal(u64s_push(&v, mix(v.len)), 0);
        assert_true(diskalloc_region_size(v.region) < LARGE);
        assert_int_equal(present_behind(&v, v.cap * 8), 0);
        push_to(&v, v.cap * 8);
    }
    assert_int_equal(count_threads(), n_threads);
    u64s_deinit(&v);
}
FOR_EACH_BACKEND(nothing_is_made_ahead_for_a_small_vector)

// When the thread has come to rest.
static void the_thread_makes_a_quarter_ahead_and_32_mib_at_most_and_nothing_behind_the_size(struct test_backend *b)
{
    static const uint64_t ends[] = {9, 15, 16, 40, 70, 100, 144, 170};
    bool ahead = false;
    struct u64s v;

    if (cannot_help())
        return;
    assert_int_equal(u64s_init(&v, b->da), 0);
    for (size_t i = 0; i < sizeof(ends) / sizeof(*ends); i++) {
        uint64_t end, size, want;

        // a quarter would be more then, and is there
        if (ends[i] == 144)
            assert_int_equal(diskalloc_region_resize(v.region, 400 * MIB), 0);
        push_to(&v, ends[i] * MIB + 4096);
        await_idle(v.region);
        end = v.cap * 8;
        size = diskalloc_region_size(v.region);
        want = min(end + min(end / 4, AHEAD_MAX), size);
        ahead |= present(&v, end, want) > 0;
        assert_int_equal(present_behind(&v, want), 0);
        assert_int_equal(present(&v, align_up(size, 4096), size + 64 * MIB), 0);
        assert_true(v.region->prefetch.claimed <= size);
    }
    assert_true(ahead);
    assert_true(is_content_right(&v));
    u64s_deinit(&v);
}
FOR_EACH_BACKEND(the_thread_makes_a_quarter_ahead_and_32_mib_at_most_and_nothing_behind_the_size)

static void who_asks_for_much_at_once_gets_all_of_it_and_no_page(struct test_backend *b)
{
    struct u64s v;

    assert_int_equal(u64s_init(&v, b->da), 0);
    assert_int_equal(u64s_reserve(&v, 20 * MIB / 8), 0);
    assert_int_equal(v.cap, diskalloc_region_size(v.region) / 8);
    assert_true(v.cap >= 20 * MIB / 8);
    assert_int_equal(present(&v, 0, v.cap * 8), 0);
    u64s_deinit(&v);
}
FOR_EACH_BACKEND(who_asks_for_much_at_once_gets_all_of_it_and_no_page)

struct odd {
    char bytes[24];
};
DISKALLOC_VEC_DEFINE(odds, struct odd)

static void capacity_is_what_was_asked_for_at_least_and_the_size_at_most(struct test_backend *b)
{
    uint64_t seed = 7;
    struct odds v;

    assert_int_equal(odds_init(&v, b->da), 0);
    while (v.len * 24 < 40 * MIB) {
        uint64_t more = (seed = mix(seed)) >> 8, size;
        struct odd *at = NULL;

        more %= more & 1 ? 100 : 90000;
        assert_int_equal(odds_reserve(&v, more), 0);
        size = diskalloc_region_size(v.region);
        assert_true(v.cap >= v.len + more && v.cap * 24 <= size);
        assert_int_equal(odds_append_uninit(&v, more / 2 + 1, &at), 0);
        at[more / 2].bytes[23] = 1;
        assert_true(v.cap >= v.len && v.cap * 24 <= diskalloc_region_size(v.region));
    }
    odds_deinit(&v);
}
FOR_EACH_BACKEND(capacity_is_what_was_asked_for_at_least_and_the_size_at_most)

static void pages_that_can_not_be_made_are_no_trouble(struct test_backend *b)
{
    struct u64s v;
    uint64_t gap;

    assert_int_equal(u64s_init(&v, b->da), 0);
    push_to(&v, 20 * MIB + 8192);
    gap = align_up(v.cap * 8 + 3 * MIB, 4096) + 4096; // within the next windows and what is ahead
    assert_true(gap + MIB < diskalloc_region_size(v.region));
    assert_int_equal(diskalloc_region_discard(v.region, gap, MIB), 0);
    push_to(&v, gap);
    await_idle(v.region);
    assert_true(v.cap * 8 > gap);
    assert_int_equal(present(&v, gap, gap + MIB), 0);
    assert_int_equal(diskalloc_region_restore(v.region, gap, MIB), 0);
    push_to(&v, 60 * MIB);
    assert_true(is_content_right(&v));
    u64s_deinit(&v);
}
FOR_EACH_BACKEND(pages_that_can_not_be_made_are_no_trouble)

static void sparse_regions_get_only_what_they_touch(struct test_backend *b)
{
    struct diskalloc_region_options o = DISKALLOC_REGION_OPTIONS_INIT;
    size_t n_threads = count_threads();
    struct diskalloc_region *r = NULL;
    struct u64s v;

    o.flags = DISKALLOC_REGION_SPARSE;
    assert_int_equal(diskalloc_region_create(b->da, &o, &r), 0);
    assert_int_equal(u64s_init_region(&v, r), 0);
    push_to(&v, 21 * MIB + 64);
    assert_true(r->prefetch.off);
    assert_int_equal(present_behind(&v, v.len * 8), 0);
    assert_int_equal(count_threads(), n_threads);
    u64s_deinit(&v);
}
FOR_EACH_BACKEND(sparse_regions_get_only_what_they_touch)

static void read_only_regions_get_nothing(struct test_backend *b)
{
    struct diskalloc_region *r = NULL;
    size_t n_threads;
    struct u64s v;

    assert_int_equal(open_named(b->da, "book", 0, DISKALLOC_REGION_CREATE, &r), 0);
    assert_int_equal(diskalloc_region_resize(r, 40 * MIB), 0);
    assert_int_equal(diskalloc_region_commit(r, 12 * MIB, 8, 0), 0);
    diskalloc_region_close(r);
    n_threads = count_threads();
    assert_int_equal(open_named(b->da, "book", 0, DISKALLOC_REGION_READ_ONLY, &r), 0);
    assert_int_equal(u64s_init_region(&v, r), 0);
    assert_int_equal(u64s_push(&v, 1), -EROFS);
    assert_int_equal(u64s_reserve(&v, 1), -EROFS);
    assert_true(r->prefetch.off);
    assert_int_equal(present(&v, 0, 40 * MIB), 0);
    assert_int_equal(count_threads(), n_threads);
    u64s_deinit(&v);
    assert_int_equal(diskalloc_region_unlink(b->da, "book"), 0);
}
FOR_EACH_BACKEND(read_only_regions_get_nothing)

// Without threads windows are still made, and nothing ahead.
static void without_threads_nothing_is_made_ahead(struct test_backend *b)
{
    struct diskalloc_options o = DISKALLOC_OPTIONS_INIT;
    size_t n_threads = count_threads();
    struct diskalloc *da = NULL;
    struct u64s v;

    o.flags = DISKALLOC_NO_THREADS;
    assert_int_equal(diskalloc_open(b->address, &o, &da), 0);
    assert_int_equal(u64s_init(&v, da), 0);
    push_to(&v, 41 * MIB + 8);
    assert_int_equal(count_threads(), n_threads);
    assert_int_equal(present_behind(&v, v.cap * 8), 0);
    assert_int_equal(present(&v, v.len * 8, v.cap * 8) > 0, prefetch_is_possible());
    assert_true(is_content_right(&v));
    u64s_deinit(&v);
    assert_int_equal(count_threads(), n_threads);
    diskalloc_close(da);
}
FOR_EACH_BACKEND(without_threads_nothing_is_made_ahead)

// The environment is read once: a program of its own.
static void begin_without(void *data)
{
    setenv("DISKALLOC_PREFETCH", "0", 1);
    execl("/proc/self/exe", "test-client-prefetch", "without", data, (char *)NULL);
    _exit(126);
}

static int push_without(const char *address)
{
    size_t n_threads = count_threads();
    struct diskalloc *da = NULL;
    struct u64s v;

    NEED(diskalloc_open(address, NULL, &da) == 0);
    NEED(u64s_init(&v, da) == 0);
    while (v.len < 41 * MIB / 8)
        NEED(u64s_push(&v, mix(v.len)) == 0);
    NEED(v.region->prefetch.off);
    NEED(present_behind(&v, v.len * 8) == 0);
    NEED(count_threads() == n_threads);
    NEED(is_content_right(&v));
    u64s_deinit(&v);
    NEED(count_threads() == n_threads);
    diskalloc_close(da);
    return 0;
}

static void the_environment_can_turn_it_off(struct test_backend *b)
{
    assert_int_equal(test_in_child(begin_without, b->address, (uid_t)-1), 0);
}
FOR_EACH_BACKEND(the_environment_can_turn_it_off)

// While many elements are copied, the thread makes the pages behind the first quarter.
static void the_thread_helps_with_a_copy_of_many(struct test_backend *b)
{
    const size_t n = 40 * MIB / 8, few = 1000;
    uint64_t *source = malloc(n * 8);
    struct u64s v;

    assert_non_null(source);
    for (size_t i = 0; i < n; i++)
        source[i] = mix(i);
    assert_int_equal(u64s_init(&v, b->da), 0);
    assert_int_equal(u64s_extend(&v, source, few), 0);
    assert_int_equal(v.region->prefetch.want, 0);
    assert_int_equal(u64s_extend(&v, source + few, n - few), 0);
    if (prefetch_is_possible() && background_processors() > 1) {
        assert_true(v.region->prefetch.want > 30 * MIB && v.region->prefetch.want <= n * 8);
        await_idle(v.region);
    }
    assert_memory_equal(v.data, source, n * 8);
    // of the vector itself, and then one by one again
    assert_int_equal(u64s_reserve(&v, n), 0);
    assert_int_equal(u64s_extend(&v, v.data, n), 0);
    assert_memory_equal(v.data + n, source, n * 8);
    for (size_t i = 0; i < few; i++)
        assert_int_equal(u64s_push(&v, mix(i)), 0);
    assert_int_equal(v.len, 2 * n + few);
    assert_memory_equal(v.data + 2 * n, source, few * 8);
    u64s_deinit(&v);
    free(source);
}
FOR_EACH_BACKEND(the_thread_helps_with_a_copy_of_many)

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        EACH_BACKEND(capacity_comes_in_windows_whose_pages_are_there),
        EACH_BACKEND(nothing_is_made_ahead_for_a_small_vector),
        EACH_BACKEND(the_thread_makes_a_quarter_ahead_and_32_mib_at_most_and_nothing_behind_the_size),
        EACH_BACKEND(who_asks_for_much_at_once_gets_all_of_it_and_no_page),
        EACH_BACKEND(capacity_is_what_was_asked_for_at_least_and_the_size_at_most),
        EACH_BACKEND(pages_that_can_not_be_made_are_no_trouble),
        EACH_BACKEND(sparse_regions_get_only_what_they_touch),
        EACH_BACKEND(read_only_regions_get_nothing),
        EACH_BACKEND(without_threads_nothing_is_made_ahead),
        EACH_BACKEND(the_environment_can_turn_it_off),
        EACH_BACKEND(the_thread_helps_with_a_copy_of_many),
    };

    if (argc == 3 && strcmp(argv[1], "without") == 0)
        return push_without(argv[2]);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
