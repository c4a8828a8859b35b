// Pages that are made ahead of a program that fills what it got in one piece: where, how far, and where not.
#include "tests/lib/fake_proc.h"
#include "tests/lib/prefetch_state.h"
#include "tests/lib/test_backend.h"

#include <time.h>

#define UNIT FRONTS_UNIT
#define AHEAD (FRONTS_AHEAD * UNIT)
#define MUCH (256 * MIB)
#define STEP 32 // one of so many words is stored: enough to touch each page

static void wait_ms(unsigned ms)
{
    const struct timespec t = {.tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000};

    nanosleep(&t, NULL);
}

static bool rests(void *data)
{
    struct diskalloc_region *r = data;
    struct background *b = &r->da->background;
    bool idle;

    pthread_mutex_lock(&b->lock);
    idle = !r->filling.task.queued && !r->filling.task.running;
    pthread_mutex_unlock(&b->lock);
    return idle;
}

static void fill(uint64_t *data, uint64_t from, uint64_t to)
{
    for (uint64_t i = from / 8; i < to / 8; i += STEP)
        data[i] = mix(i);
}

static bool is_filled(const uint64_t *data, uint64_t from, uint64_t to)
{
    for (uint64_t i = from / 8; i < to / 8; i += STEP)
        if (data[i] != mix(i))
            return false;
    return true;
}

// Fills unit by unit, and lets the thread look in between, until it has made N units more or all is full.  Returns how
// far it came.
static uint64_t fill_until_made(struct diskalloc_region *r, uint64_t from, uint64_t to, uint64_t n)
{
    uint64_t before = r->filling.n_made;

    for (; from < to && r->filling.n_made - before < n; from += UNIT) {
        fill(diskalloc_region_data(r), from, from + UNIT);
        wait_ms(3);
        test_wait_until(rests, r, 60, "the thread has looked");
    }
    return from;
}

static void expect_help(struct diskalloc_region *r, uint64_t from, uint64_t to)
{
    uint64_t before = r->filling.n_made, end = fill_until_made(r, from, to, 6);

    assert_in_range(r->filling.n_made - before, 6, (to - from) / UNIT);
    assert_true(end < to);
}

static void expect_no_help(struct diskalloc_region *r, uint64_t from, uint64_t to)
{
    uint64_t before = r->filling.n_made;

    fill_until_made(r, from, to, 1);
    assert_int_equal(r->filling.n_made, before);
}

// Other programs of the machine may be short of memory, which is no matter of these tests.  To be called before pages
// are made.
static void ignore_pressure(struct diskalloc_region *r)
{
    r->filling.pressure.root = "/nowhere";
}

static struct diskalloc_region *calm_region(struct test_backend *b, uint64_t size)
{
    struct diskalloc_region *r = make_region(b->da, 0);

    ignore_pressure(r);
    assert_int_equal(diskalloc_region_resize(r, size), 0);
    return r;
}

static size_t present_in(struct diskalloc_region *r, uint64_t from, uint64_t to)
{
    return count_present(diskalloc_region_data(r), from, to);
}

static struct u64s reserved(struct test_backend *b, uint64_t bytes)
{
    struct u64s v;

    assert_int_equal(u64s_init(&v, b->da), 0);
    ignore_pressure(v.region);
    assert_int_equal(u64s_reserve(&v, bytes / 8), 0);
    return v;
}

// ---- What is helped ----

static void what_was_reserved_and_is_pushed_is_made_ahead(struct test_backend *b)
{
    struct u64s v = reserved(b, MUCH);
    uint64_t end = 0;

    assert_int_equal(present(&v, 0, MUCH), 0);
    if (cannot_help()) {
        u64s_deinit(&v);
        return;
    }
    while (end < MUCH && v.region->filling.n_made < 8) {
        push_to(&v, end += MIB);
        wait_ms(1);
    }
    assert_true(end < MUCH);
    test_wait_until(rests, v.region, 60, "nothing more is made");
    wait_ms(20);
    test_wait_until(rests, v.region, 60, "nothing more is made");
    assert_true(present(&v, align_up(end, UNIT), MUCH) > 0);
    assert_true(present(&v, align_up(end, UNIT), MUCH) <= AHEAD / 4096);
    push_to(&v, MUCH);
    assert_true(is_content_right(&v));
    u64s_deinit(&v);
}
FOR_EACH_BACKEND(what_was_reserved_and_is_pushed_is_made_ahead)

static void appended_and_zeroed_elements_are_made_ahead_as_they_are_filled(struct test_backend *b)
{
    struct u64s v;
    uint64_t *at = NULL;

    if (cannot_help())
        return;
    assert_int_equal(u64s_init(&v, b->da), 0);
    ignore_pressure(v.region);
    push_to(&v, 20 * MIB);
    assert_int_equal(u64s_append_uninit(&v, MUCH / 8, &at), 0);
    expect_help(v.region, 20 * MIB, 20 * MIB + MUCH);
    u64s_deinit(&v);
    assert_int_equal(u64s_init(&v, b->da), 0);
    ignore_pressure(v.region);
    assert_int_equal(u64s_resize(&v, MUCH / 8), 0);
    expect_help(v.region, 0, MUCH);
    u64s_deinit(&v);
}
FOR_EACH_BACKEND(appended_and_zeroed_elements_are_made_ahead_as_they_are_filled)

// Of a block nothing but the memory is seen from here, and while others lack memory nothing is made.
static bool is_block_helped(void *data)
{
    struct diskalloc *da = data;
    uint64_t *block = diskalloc_malloc(da, 64 * MIB);
    bool helped = false;

    assert_non_null(block);
    block = diskalloc_realloc(da, block, MUCH);
    assert_non_null(block);
    for (uint64_t at = 0; at + 4 * UNIT < MUCH && !helped; at += UNIT) {
        fill(block, at, at + UNIT);
        wait_ms(3);
        helped = count_present((char *)block, at + 2 * UNIT, at + 4 * UNIT) > 0;
    }
    diskalloc_free(block);
    return helped;
}

// The same of a region that has its size from the first.
static bool is_new_region_helped(void *data)
{
    struct diskalloc_region *r = make_region(data, MUCH);
    bool helped = fill_until_made(r, 0, MUCH, 6) < MUCH;

    diskalloc_region_close(r);
    return helped;
}

static void regions_and_blocks_are_made_ahead_as_they_are_filled(struct test_backend *b)
{
    struct diskalloc_region *r;

    if (cannot_help())
        return;
    r = calm_region(b, MUCH);
    expect_help(r, 0, MUCH);
    assert_int_equal(diskalloc_region_resize(r, 2 * MUCH), 0);
    expect_help(r, MUCH, 2 * MUCH);
    assert_int_equal(diskalloc_region_resize_wait(r, 3 * MUCH, 1000), 0);
    expect_help(r, 2 * MUCH, 3 * MUCH);
    diskalloc_region_close(r);
    test_wait_until(is_new_region_helped, b->da, 60, "pages of a new region are made ahead");
    test_wait_until(is_block_helped, b->da, 60, "pages of a block are made ahead");
}
FOR_EACH_BACKEND(regions_and_blocks_are_made_ahead_as_they_are_filled)

// One thread in several places, as the machine may have no processor for another one.
static void several_places_are_followed(struct test_backend *b)
{
    struct diskalloc_region *r;
    uint64_t ends[3];

    if (cannot_help())
        return;
    r = calm_region(b, 3 * MUCH);
    for (unsigned i = 0; i < 3; i++) {
        ends[i] = fill_until_made(r, i * MUCH + i * 18 * MIB, (i + 1) * MUCH, 4);
        assert_true(ends[i] < (i + 1) * MUCH);
        wait_ms(100);
    }
    for (unsigned i = 0; i < 3; i++) {
        expect_help(r, ends[i], (i + 1) * MUCH);
        wait_ms(100);
    }
    assert_true(fronts_count_ahead(&r->filling.fronts) <= FRONTS_AHEAD);
    diskalloc_region_close(r);
}
FOR_EACH_BACKEND(several_places_are_followed)

struct part {
    uint64_t *data, from, to;
};

static void *fill_part(void *data)
{
    const struct part *p = data;

    fill(p->data, p->from, p->to);
    return NULL;
}

static void many_threads_find_what_they_wrote(struct test_backend *b)
{
    enum { N = 6, EACH = 2 * MUCH / N / 4096 * 4096 }; // no whole units
    struct u64s v;
    pthread_t threads[N];
    struct part parts[N];
    uint64_t *at = NULL;

    assert_int_equal(u64s_init(&v, b->da), 0);
    assert_int_equal(u64s_append_uninit(&v, 2 * MUCH / 8, &at), 0);
    for (uint64_t i = 0; i < N; i++) {
        parts[i] = (struct part){at, EACH * i, i + 1 == N ? 2 * MUCH : EACH * (i + 1)};
        assert_int_equal(pthread_create(&threads[i], NULL, fill_part, &parts[i]), 0);
    }
    for (int i = 0; i < N; i++)
        pthread_join(threads[i], NULL);
    assert_true(is_filled(at, 0, 2 * MUCH));
    u64s_deinit(&v);
}
FOR_EACH_BACKEND(many_threads_find_what_they_wrote)

// ---- How far ----

static void when_the_program_stops_no_more_is_made(struct test_backend *b)
{
    struct diskalloc_region *r;
    uint64_t end, n_made;

    if (cannot_help())
        return;
    r = calm_region(b, 2 * MUCH);
    end = fill_until_made(r, 0, MUCH, 20);
    assert_true(end < MUCH);
    wait_ms(100);
    test_wait_until(rests, r, 60, "nothing more is made");
    n_made = r->filling.n_made;
    assert_true(present_in(r, end, 2 * MUCH) <= (FRONTS_WINDOW + FRONTS_GAP) * UNIT / 4096);
    wait_ms(200);
    assert_int_equal(r->filling.n_made, n_made);
    expect_help(r, end, 2 * MUCH);
    diskalloc_region_close(r);
}
FOR_EACH_BACKEND(when_the_program_stops_no_more_is_made)

static void touches_at_random_make_a_window_at_most(struct test_backend *b)
{
    struct diskalloc_region *r = make_region(b->da, GIB);
    unsigned char *data = diskalloc_region_data(r);
    uint64_t seed = 5;

    for (unsigned i = 0; i < 300; i++) {
        data[(seed = mix(seed)) % GIB]++;
        wait_ms(i % 4 == 0);
    }
    assert_true(r->filling.n_made <= FRONTS_AHEAD);
    diskalloc_region_close(r);
}
FOR_EACH_BACKEND(touches_at_random_make_a_window_at_most)

// Where pressure looks is a made-up tree.
static void in_a_group(struct diskalloc_region *r, struct tree *t, unsigned dirty)
{
    put_mounts(t, "/", NULL);
    put_v1_group(t, "/job");
    put_v1(t, "/sys/fs/cgroup/memory/job", 512, 500, 440, dirty, 0, 0);
    r->filling.pressure.root = t->dir;
}

static void nothing_is_made_while_memory_is_short(struct test_backend *b)
{
    struct diskalloc_region *r;
    struct tree t;

    if (cannot_help())
        return;
    tree_start(&t);
    r = make_region(b->da, 0);
    in_a_group(r, &t, 150);
    assert_int_equal(diskalloc_region_resize(r, 2 * MUCH), 0);
    expect_no_help(r, 0, 64 * MIB);
    put_v1(&t, "/sys/fs/cgroup/memory/job", 512, 500, 440, 10, 0, 0);
    expect_help(r, 64 * MIB, MUCH);
    put_v1(&t, "/sys/fs/cgroup/memory/job", 512, 500, 440, 150, 0, 0);
    wait_ms(150);
    fill_until_made(r, MUCH, MUCH + 40 * MIB, 1000);
    wait_ms(150);
    expect_no_help(r, MUCH + 40 * MIB, MUCH + 100 * MIB);
    diskalloc_region_close(r);
    tree_end(&t);
}
FOR_EACH_BACKEND(nothing_is_made_while_memory_is_short)

static void in_a_group_a_sixteenth_of_it_is_ahead_at_most(struct test_backend *b)
{
    struct diskalloc_region *r;
    struct tree t;
    uint64_t end;

    if (cannot_help())
        return;
    tree_start(&t);
    r = make_region(b->da, 0);
    in_a_group(r, &t, 10);
    assert_int_equal(diskalloc_region_resize(r, 2 * MUCH), 0);
    end = fill_until_made(r, 0, MUCH, 30);
    wait_ms(50);
    test_wait_until(rests, r, 60, "nothing more is made");
    assert_true(r->filling.limits.most > 0 && r->filling.limits.most <= 512 / 16 / 2);
    assert_true(present_in(r, end, 2 * MUCH) <= 512 / 16 * MIB / 4096);
    diskalloc_region_close(r);
    tree_end(&t);
}
FOR_EACH_BACKEND(in_a_group_a_sixteenth_of_it_is_ahead_at_most)

// ---- Where not ----

static void nothing_is_made_where_the_advice_is_random(struct test_backend *b)
{
    struct diskalloc_region *r;

    if (cannot_help())
        return;
    r = calm_region(b, 4 * MUCH);
    assert_int_equal(diskalloc_region_advise(r, 0, MUCH, DISKALLOC_ADVICE_RANDOM), 0);
    expect_no_help(r, 0, 60 * MIB);
    expect_help(r, MUCH, 2 * MUCH);
    assert_int_equal(diskalloc_region_advise(r, 0, 4 * MUCH, DISKALLOC_ADVICE_RANDOM), 0);
    wait_ms(20);
    expect_no_help(r, 2 * MUCH, 2 * MUCH + 60 * MIB);
    assert_int_equal(diskalloc_region_advise(r, 0, 4 * MUCH, DISKALLOC_ADVICE_NORMAL), 0);
    expect_help(r, 3 * MUCH, 4 * MUCH);
    diskalloc_region_close(r);
}
FOR_EACH_BACKEND(nothing_is_made_where_the_advice_is_random)

static void sparse_and_read_only_and_small_regions_get_nothing(struct test_backend *b)
{
    struct diskalloc_region_options o = DISKALLOC_REGION_OPTIONS_INIT;
    size_t n_threads = count_threads();
    struct diskalloc_region *r = NULL;

    o.flags = DISKALLOC_REGION_SPARSE;
    o.size = 64 * MIB;
    assert_int_equal(diskalloc_region_create(b->da, &o, &r), 0);
    expect_no_help(r, 0, 32 * MIB);
    assert_int_equal(count_threads(), n_threads);
    diskalloc_region_close(r);
    n_threads = count_threads(); // closing may have started one
    r = make_region(b->da, 15 * MIB);
    expect_no_help(r, 0, 14 * MIB);
    assert_int_equal(count_threads(), n_threads);
    diskalloc_region_close(r);
    assert_int_equal(open_named(b->da, "book", MUCH, DISKALLOC_REGION_CREATE, &r), 0);
    expect_no_help(r, 0, 32 * MIB);
    diskalloc_region_close(r);
    assert_int_equal(open_named(b->da, "book", 0, DISKALLOC_REGION_READ_ONLY, &r), 0);
    assert_true(r->filling.off);
    diskalloc_region_close(r);
    assert_int_equal(diskalloc_region_unlink(b->da, "book"), 0);
}
FOR_EACH_BACKEND(sparse_and_read_only_and_small_regions_get_nothing)

static void without_threads_nothing_is_made(struct test_backend *b)
{
    struct diskalloc_options o = DISKALLOC_OPTIONS_INIT;
    size_t n_threads = count_threads();
    struct diskalloc *da = NULL;
    struct diskalloc_region *r;

    o.flags = DISKALLOC_NO_THREADS;
    assert_int_equal(diskalloc_open(b->address, &o, &da), 0);
    r = make_region(da, MUCH);
    expect_no_help(r, 0, 40 * MIB);
    assert_int_equal(count_threads(), n_threads);
    diskalloc_region_close(r);
    diskalloc_close(da);
}
FOR_EACH_BACKEND(without_threads_nothing_is_made)

static void begin_without(void *data)
{
    setenv("DISKALLOC_PREFETCH", "0", 1);
    execl("/proc/self/exe", "test-client-filling", "without", data, (char *)NULL);
    _exit(126);
}

static int fill_without(const char *address)
{
    size_t n_threads = count_threads();
    struct diskalloc *da = NULL;
    struct u64s v;

    NEED(diskalloc_open(address, NULL, &da) == 0);
    NEED(u64s_init(&v, da) == 0);
    NEED(u64s_reserve(&v, MUCH / 8) == 0);
    NEED(fill_until_made(v.region, 0, 40 * MIB, 1) == 40 * MIB);
    NEED(v.region->filling.n_made == 0);
    NEED(count_threads() == n_threads);
    u64s_deinit(&v);
    diskalloc_close(da);
    return 0;
}

static void the_environment_can_turn_it_off(struct test_backend *b)
{
    assert_int_equal(test_in_child(begin_without, b->address, (uid_t)-1), 0);
}
FOR_EACH_BACKEND(the_environment_can_turn_it_off)

// A vector that tells where it is needs nobody who looks.
static void a_vector_that_is_pushed_beyond_is_not_watched_any_more(struct test_backend *b)
{
    struct u64s v = reserved(b, 20 * MIB);
    uint64_t cap = v.cap;

    push_to(&v, cap * 8 + MIB);
    assert_false(v.region->filling.active);
    assert_int_equal(fronts_count_ahead(&v.region->filling.fronts), 0);
    push_to(&v, 100 * MIB);
    assert_true(is_content_right(&v));
    u64s_deinit(&v);
}
FOR_EACH_BACKEND(a_vector_that_is_pushed_beyond_is_not_watched_any_more)

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        EACH_BACKEND(what_was_reserved_and_is_pushed_is_made_ahead),
        EACH_BACKEND(appended_and_zeroed_elements_are_made_ahead_as_they_are_filled),
        EACH_BACKEND(regions_and_blocks_are_made_ahead_as_they_are_filled),
        EACH_BACKEND(several_places_are_followed),
        EACH_BACKEND(many_threads_find_what_they_wrote),
        EACH_BACKEND(when_the_program_stops_no_more_is_made),
        EACH_BACKEND(touches_at_random_make_a_window_at_most),
        EACH_BACKEND(nothing_is_made_while_memory_is_short),
        EACH_BACKEND(in_a_group_a_sixteenth_of_it_is_ahead_at_most),
        EACH_BACKEND(nothing_is_made_where_the_advice_is_random),
        EACH_BACKEND(sparse_and_read_only_and_small_regions_get_nothing),
        EACH_BACKEND(without_threads_nothing_is_made),
        EACH_BACKEND(the_environment_can_turn_it_off),
        EACH_BACKEND(a_vector_that_is_pushed_beyond_is_not_watched_any_more),
    };

    if (argc == 3 && strcmp(argv[1], "without") == 0)
        return fill_without(argv[2]);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
