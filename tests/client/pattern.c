// Telling how a region is read: a program and a kernel that are made up.  The memory holds what came in last.
#include "tests/lib/harness.h"

#include "client/memory/pattern.h"
#include "proto/util/page.h"

enum { PAGES_OF_UNIT = 512, MOST_UNITS = 4096 };
#define UNIT (2 * MIB)

// Large units come in whole, single pages one by one; the oldest go when there are too many.
struct world {
    struct pattern *p;
    struct pattern_region region;
    uint64_t n_units, memory;                  // pages
    uint64_t came[MOST_UNITS * PAGES_OF_UNIT]; // a page is in memory if it came less than memory pages ago
    uint64_t n_came, random, next;
    unsigned n_single, n_large; // changes
    bool sparse;                // the program touches little of what is read
    unsigned n_units_read;      // since the last look
};

static struct world *w;

static bool is_in(uint64_t page)
{
    return w->came[page] > 0 && w->n_came - w->came[page] < w->memory;
}

static uint16_t look(void *data, uint64_t at)
{
    unsigned bits = 0;

    (void)data;
    for (unsigned i = 0; i < PATTERN_WINDOW; i++)
        bits |= (unsigned)is_in(at / page_size() + i) << i;
    return (uint16_t)bits;
}

static void open_world(uint64_t size, uint64_t memory)
{
    w = calloc(1, sizeof *w);
    assert_non_null(w);
    w->p = pattern_new();
    assert_non_null(w->p);
    w->n_units = size / UNIT;
    assert_true(w->n_units <= MOST_UNITS);
    w->memory = memory / page_size();
    w->random = 88172645463325252;
    w->region = (struct pattern_region){.size = size, .look = look};
    pattern_reset(w->p, pattern_part_size(size));
}

static void close_world(void)
{
    pattern_free(w->p);
    free(w);
}

static unsigned part_of(uint64_t page)
{
    return (unsigned)(page * page_size() / w->p->part_size);
}

static bool is_single(unsigned part)
{
    return w->region.single_to[part] > 0;
}

static unsigned count_single(void)
{
    unsigned n = 0;

    for (unsigned i = 0; i < PATTERN_PARTS; i++)
        n += is_single(i);
    return n;
}

// Returns how long that took: a unit takes as long as 16 single pages.
static unsigned touch(uint64_t page)
{
    uint64_t unit = page / PAGES_OF_UNIT * PAGES_OF_UNIT;

    if (is_in(page))
        return 0;
    if (is_single(part_of(page))) {
        w->came[page] = ++w->n_came;
        return 1;
    }
    for (uint64_t i = unit; i < unit + PAGES_OF_UNIT; i++)
        w->came[i] = ++w->n_came;
    w->n_units_read++;
    return 16;
}

static uint64_t any_below(uint64_t n)
{
    w->random ^= w->random << 13;
    w->random ^= w->random >> 7;
    w->random ^= w->random << 17;
    return w->random % n;
}

static void obey(void)
{
    for (unsigned i = 0; i < PATTERN_PARTS; i++) {
        if (w->p->verdicts[i] == PATTERN_SCATTERED && !is_single(i)) {
            w->region.single_to[i] = (i + 1) * w->p->part_size;
            w->n_single++;
        } else if (w->p->verdicts[i] == PATTERN_RUNS && is_single(i)) {
            w->region.single_to[i] = 0;
            w->n_large++;
        }
    }
}

// READ reads something, and returns how long that took.
static void read_for(unsigned n_looks, unsigned (*read)(void))
{
    for (unsigned k = 0; k < n_looks; k++) {
        for (unsigned passed = 0, n = 0; passed < 800 && n < 1000000; n++)
            passed += read();
        w->region.sparse = w->sparse && w->n_units_read > 10;
        w->n_units_read = 0;
        if (pattern_look(w->p, &w->region, true))
            obey();
        memset(w->region.announced, 0, sizeof w->region.announced);
    }
}

static unsigned n_pages(void)
{
    return (unsigned)(w->n_units * PAGES_OF_UNIT);
}

static unsigned at_random(void)
{
    return touch(any_below(n_pages()));
}

static unsigned at_random_in_the_first_half(void)
{
    return touch(any_below(n_pages() / 2));
}

// The page comes in alone, however the part is read.
static unsigned announced(void)
{
    uint64_t page = any_below(n_pages());

    if (!is_in(page))
        w->came[page] = ++w->n_came;
    w->region.announced[part_of(page)]++;
    return 1;
}

static unsigned in_order(void)
{
    return touch(w->next++ % n_pages());
}

static unsigned backwards(void)
{
    return touch(n_pages() - 1 - w->next++ % n_pages());
}

static unsigned streams(unsigned n)
{
    uint64_t stream = w->next % n, at = w->next / n;

    w->next++;
    return touch(stream * (n_pages() / n) + at % (n_pages() / n));
}

static unsigned sixteen_streams(void)
{
    return streams(16);
}

static unsigned two_hundred_streams(void)
{
    return streams(200);
}

static unsigned by_strides_of_16_mib(void)
{
    return touch(w->next++ * 16 * MIB / page_size() % n_pages());
}

static unsigned by_strides(uint64_t stride)
{
    uint64_t n = n_pages() * page_size() / stride, i = w->next++;

    return touch((i % n * stride + i / n * page_size() % stride) / page_size());
}

static unsigned by_strides_of_1_mib(void)
{
    return by_strides(MIB);
}

static unsigned by_strides_of_2_mib(void)
{
    return by_strides(2 * MIB);
}

static unsigned by_strides_of_64_kib(void)
{
    return by_strides(64 * KIB);
}

static unsigned a_scan_of_the_first_half_and_announced(void)
{
    unsigned passed = touch(w->next % (n_pages() / 2));

    return w->next++ % 64 == 0 ? passed + announced() : passed;
}

static unsigned first_half_at_random_second_in_order(void)
{
    unsigned half = n_pages() / 2;

    return touch(any_below(2048) == 0 ? any_below(half) : half + w->next++ % half);
}

static unsigned records(uint64_t length)
{
    uint64_t at = any_below(n_pages() - length);
    unsigned passed = 0;

    for (uint64_t i = 0; i < length; i++)
        passed += touch(at + i);
    return passed;
}

static unsigned records_of_8_kib(void)
{
    return records(2);
}

static unsigned records_of_1_mib(void)
{
    return records(256);
}

static void random_reads_change_a_region_to_single_pages(void **state)
{
    const uint64_t sizes[] = {64 * MIB, 512 * MIB, 4 * GIB, 8 * GIB};

    (void)state;
    for (size_t i = 0; i < 4; i++) {
        open_world(sizes[i], sizes[i] / 8);
        read_for(20, at_random);
        assert_int_equal(count_single(), (sizes[i] + w->p->part_size - 1) / w->p->part_size);
        assert_int_equal(w->n_large, 0);
        read_for(200, at_random);
        assert_true(w->n_large <= 4);
        close_world();
    }
}

static void so_they_do_if_most_of_it_is_in_memory(void **state)
{
    const uint64_t memories[] = {64 * MIB, GIB, 2 * GIB, 3 * GIB};

    (void)state;
    for (size_t i = 0; i < 4; i++) {
        open_world(4 * GIB, memories[i]);
        read_for(40, at_random);
        assert_true(count_single() >= PATTERN_PARTS - 1);
        close_world();
    }
}

static void records_and_strides_count_as_random_reads(void **state)
{
    (void)state;
    open_world(4 * GIB, 512 * MIB);
    read_for(30, records_of_8_kib);
    assert_true(count_single() >= PATTERN_PARTS - 1);
    close_world();
    open_world(4 * GIB, 512 * MIB);
    read_for(30, by_strides_of_16_mib);
    assert_true(count_single() >= PATTERN_PARTS - 1);
    close_world();
}

static void announced_reads_change_a_region_and_a_scan_outweighs_them(void **state)
{
    (void)state;
    open_world(4 * GIB, 512 * MIB);
    read_for(20, announced);
    assert_int_equal(count_single(), PATTERN_PARTS);
    read_for(100, announced);
    assert_int_equal(w->n_large, 0);
    read_for(10, in_order);
    assert_int_equal(count_single(), 0);
    close_world();
    open_world(4 * GIB, 512 * MIB);
    read_for(20, in_order);
    read_for(200, a_scan_of_the_first_half_and_announced);
    assert_int_equal(w->n_single, 0);
    close_world();
}

static void strides_that_touch_little_of_what_is_read_get_single_pages(void **state)
{
    unsigned (*const strides[])(void) = {by_strides_of_1_mib, by_strides_of_2_mib};

    (void)state;
    for (size_t i = 0; i < 4; i++) {
        open_world(i < 2 ? 4 * GIB : 512 * MIB, i < 2 ? 512 * MIB : 64 * MIB);
        read_for(20, strides[i % 2]);
        assert_int_equal(w->n_single, 0);
        w->sparse = true;
        read_for(20, strides[i % 2]);
        assert_true(count_single() >= w->region.size / w->p->part_size - 1);
        read_for(400, strides[i % 2]);
        assert_true(count_single() >= w->region.size / w->p->part_size - 1);
        assert_true(w->n_large <= 4);
        close_world();
    }
}

// They touch little too, but large pages are right for them.
static void dense_strides_are_tried_now_and_then_only(void **state)
{
    unsigned (*const strides[])(void) = {by_strides_of_64_kib, in_order};

    (void)state;
    for (size_t i = 0; i < 4; i++) {
        unsigned n = 0;

        open_world(i < 2 ? 4 * GIB : 512 * MIB, i < 2 ? 512 * MIB : 64 * MIB);
        w->sparse = true;
        read_for(1000, strides[i % 2]);
        assert_true(w->n_single > 0 && w->n_single < 6 * PATTERN_PARTS);
        w->n_single = 0;
        for (int k = 0; k < 100; k++) {
            read_for(10, strides[i % 2]);
            n += count_single() == 0;
        }
        assert_true(n >= 90);
        assert_true(w->n_single <= 2 * PATTERN_PARTS);
        close_world();
    }
}

static void a_scan_changes_nothing(void **state)
{
    unsigned (*const scans[])(void) = {in_order, backwards, sixteen_streams};
    const uint64_t memories[] = {256 * MIB, GIB, 3 * GIB};

    (void)state;
    for (size_t i = 0; i < 9; i++) {
        open_world(4 * GIB, memories[i / 3]);
        read_for(200, scans[i % 3]);
        assert_int_equal(w->n_single, 0);
        close_world();
    }
}

static void phases_are_followed_both_ways(void **state)
{
    (void)state;
    open_world(4 * GIB, 512 * MIB);
    for (int round = 0; round < 5; round++) {
        read_for(60, at_random);
        assert_true(count_single() >= PATTERN_PARTS - 1);
        read_for(10, in_order);
        assert_int_equal(count_single(), 0);
        read_for(60, in_order);
        assert_int_equal(count_single(), 0);
    }
    close_world();
}

// Each of them reads four pages a look.
static void slow_runs_are_runs(void **state)
{
    (void)state;
    open_world(4 * GIB, 512 * MIB);
    read_for(60, at_random);
    assert_true(count_single() >= PATTERN_PARTS - 1);
    read_for(150, two_hundred_streams);
    assert_true(count_single() <= 1);
    close_world();
}

static void parts_are_judged_apart(void **state)
{
    (void)state;
    open_world(4 * GIB, 512 * MIB);
    read_for(60, first_half_at_random_second_in_order);
    for (unsigned i = 0; i < PATTERN_PARTS; i++)
        assert_int_equal(is_single(i), i < PATTERN_PARTS / 2);
    close_world();
}

static void a_part_that_is_left_alone_goes_back(void **state)
{
    (void)state;
    open_world(4 * GIB, 512 * MIB);
    read_for(30, at_random);
    assert_true(count_single() >= PATTERN_PARTS - 1);
    read_for(100, at_random_in_the_first_half);
    for (unsigned i = 0; i < PATTERN_PARTS; i++)
        assert_int_equal(is_single(i), i < PATTERN_PARTS / 2);
    close_world();
}

// They look scattered while pages are large, and like runs while pages are single.
static void records_of_half_a_unit_end_with_large_pages(void **state)
{
    (void)state;
    open_world(4 * GIB, 512 * MIB);
    read_for(2000, records_of_1_mib);
    assert_true(w->n_single < 20 * PATTERN_PARTS);
    w->n_single = w->n_large = 0;
    read_for(1000, records_of_1_mib);
    assert_true(w->n_single <= 3 * PATTERN_PARTS);
    close_world();
}

static void parts_that_are_skipped_get_no_verdict(void **state)
{
    (void)state;
    open_world(4 * GIB, 512 * MIB);
    w->region.skipped = 0x00f1;
    read_for(60, at_random);
    for (unsigned i = 0; i < PATTERN_PARTS; i++)
        if (w->region.skipped & 1U << i)
            assert_false(is_single(i));
    assert_true(count_single() >= 10);
    close_world();
}

static void after_a_long_pause_a_look_decides_nothing(void **state)
{
    (void)state;
    open_world(4 * GIB, 512 * MIB);
    for (int i = 0; i < 50; i++) {
        for (int k = 0; k < 200; k++)
            at_random();
        assert_false(pattern_look(w->p, &w->region, false));
    }
    close_world();
}

static void a_region_may_end_anywhere(void **state)
{
    const uint64_t sizes[] = {1, 4096, UNIT - 1, UNIT + 1, 65 * MIB, 2047 * MIB + 4097};

    (void)state;
    open_world(4 * GIB, 512 * MIB);
    for (size_t i = 0; i < 6; i++) {
        w->region.size = sizes[i];
        w->n_units = (sizes[i] + UNIT - 1) / UNIT;
        pattern_reset(w->p, pattern_part_size(sizes[i]));
        memset(w->region.single_to, 0, sizeof w->region.single_to);
        read_for(30, at_random);
    }
    close_world();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(random_reads_change_a_region_to_single_pages),
        TEST(so_they_do_if_most_of_it_is_in_memory),
        TEST(records_and_strides_count_as_random_reads),
        TEST(announced_reads_change_a_region_and_a_scan_outweighs_them),
        TEST(strides_that_touch_little_of_what_is_read_get_single_pages),
        TEST(dense_strides_are_tried_now_and_then_only),
        TEST(a_scan_changes_nothing),
        TEST(phases_are_followed_both_ways),
        TEST(slow_runs_are_runs),
        TEST(parts_are_judged_apart),
        TEST(a_part_that_is_left_alone_goes_back),
        TEST(records_of_half_a_unit_end_with_large_pages),
        TEST(parts_that_are_skipped_get_no_verdict),
        TEST(after_a_long_pause_a_look_decides_nothing),
        TEST(a_region_may_end_anywhere),
    };

    if (page_size() != 4096)
        test_skip_all("the made-up kernel has pages of 4 KiB");
    return cmocka_run_group_tests(tests, NULL, NULL);
}
