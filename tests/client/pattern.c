// Telling how a region is read at random, in runs, and in phases of both.
#include "client/memory/windows.h"
#include "tests/lib/made_up_world.h"

static unsigned at_random_in_the_first_half(void)
{
    return world_touch(world_any_below(world_n_pages() / 2));
}

static unsigned backwards(void)
{
    return world_touch(world_n_pages() - 1 - world->next++ % world_n_pages());
}

static unsigned sixteen_streams(void)
{
    return world_streams(16);
}

static unsigned by_strides_of_16_mib(void)
{
    return world_touch(world->next++ * 16 * MIB / page_size() % world_n_pages());
}

static unsigned first_half_at_random_second_in_order(void)
{
    unsigned half = world_n_pages() / 2;

    return world_touch(world_any_below(2048) == 0 ? world_any_below(half) : half + world->next++ % half);
}

static unsigned records(uint64_t length)
{
    uint64_t at = world_any_below(world_n_pages() - length);
    unsigned passed = 0;

    for (uint64_t i = 0; i < length; i++)
        passed += world_touch(at + i);
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
        world_open(sizes[i], sizes[i] / 8);
        world_read_for(20, world_at_random);
        assert_int_equal(world_count_single(), (sizes[i] + world->p->part_size - 1) / world->p->part_size);
        assert_int_equal(world->n_large, 0);
        world_read_for(200, world_at_random);
        assert_true(world->n_large <= 4);
        world_close();
    }
}

static void so_they_do_if_most_of_it_is_in_memory(void **state)
{
    const uint64_t memories[] = {64 * MIB, GIB, 2 * GIB, 3 * GIB};

    (void)state;
    for (size_t i = 0; i < 4; i++) {
        world_open(4 * GIB, memories[i]);
        world_read_for(40, world_at_random);
        assert_true(world_count_single() >= PATTERN_PARTS - 1);
        world_close();
    }
}

static void records_and_strides_count_as_random_reads(void **state)
{
    (void)state;
    world_open(4 * GIB, 512 * MIB);
    world_read_for(30, records_of_8_kib);
    assert_true(world_count_single() >= PATTERN_PARTS - 1);
    world_close();
    world_open(4 * GIB, 512 * MIB);
    world_read_for(30, by_strides_of_16_mib);
    assert_true(world_count_single() >= PATTERN_PARTS - 1);
    world_close();
}

static void a_scan_changes_nothing(void **state)
{
    unsigned (*const scans[])(void) = {world_in_order, backwards, sixteen_streams};
    const uint64_t memories[] = {256 * MIB, GIB, 3 * GIB};

    (void)state;
    for (size_t i = 0; i < 9; i++) {
        world_open(4 * GIB, memories[i / 3]);
        world_read_for(200, scans[i % 3]);
        assert_int_equal(world->n_single, 0);
        world_close();
    }
}

static void phases_are_followed_both_ways(void **state)
{
    (void)state;
    world_open(4 * GIB, 512 * MIB);
    for (int round = 0; round < 5; round++) {
        world_read_for(60, world_at_random);
        assert_true(world_count_single() >= PATTERN_PARTS - 1);
        world_read_for(10, world_in_order);
        assert_int_equal(world_count_single(), 0);
        world_read_for(60, world_in_order);
        assert_int_equal(world_count_single(), 0);
    }
    world_close();
}

// With single pages a scan comes to a window every few looks.  One is enough.
static void a_slow_scan_is_seen_at_its_first_window(void **state)
{
    unsigned looks = 0;

    (void)state;
    world_open(4 * GIB, 512 * MIB);
    world_read_for(60, world_at_random);
    assert_int_equal(world_count_single(), PATTERN_PARTS);
    world->page_takes = 4;
    while (world_count_single() > 0) {
        world_read_for(1, world_in_order);
        looks++;
    }
    assert_in_range(looks, 1, 8);
    world_close();
}

// With a slow disk, nothing may be seen for some looks of a part that is read all the same.
static void random_reads_soon_after_a_scan_change_no_part_back(void **state)
{
    (void)state;
    for (unsigned takes = 1; takes <= 8; takes *= 2) {
        world_open(GIB, 128 * MIB);
        world->page_takes = takes;
        for (int round = 0; round < 5; round++) {
            world_read_for(100, world_at_random);
            assert_true(world_count_single() >= PATTERN_PARTS - 1);
            for (int looks = 0; looks < 200 && world_count_single() > 0; looks++)
                world_read_for(1, world_in_order);
            assert_int_equal(world_count_single(), 0);
            world->n_large = 0;
            world_read_for(60, world_at_random);
            assert_true(world_count_single() >= PATTERN_PARTS - 1);
            assert_int_equal(world->n_large, 0);
        }
        world_close();
    }
}

static void parts_are_judged_apart(void **state)
{
    (void)state;
    world_open(4 * GIB, 512 * MIB);
    world_read_for(60, first_half_at_random_second_in_order);
    for (unsigned i = 0; i < PATTERN_PARTS; i++)
        assert_int_equal(world_is_single(i), i < PATTERN_PARTS / 2);
    world_close();
}

static void a_part_that_is_left_alone_goes_back(void **state)
{
    (void)state;
    world_open(4 * GIB, 512 * MIB);
    world_read_for(30, world_at_random);
    assert_true(world_count_single() >= PATTERN_PARTS - 1);
    world_read_for(100, at_random_in_the_first_half);
    for (unsigned i = 0; i < PATTERN_PARTS; i++)
        assert_int_equal(world_is_single(i), i < PATTERN_PARTS / 2);
    world_close();
}

// They look scattered while pages are large, and like runs while pages are single.
static void records_of_half_a_unit_end_with_large_pages(void **state)
{
    (void)state;
    world_open(4 * GIB, 512 * MIB);
    world_read_for(2000, records_of_1_mib);
    assert_true(world->n_single < 20 * PATTERN_PARTS);
    world->n_single = world->n_large = 0;
    world_read_for(1000, records_of_1_mib);
    assert_true(world->n_single <= 3 * PATTERN_PARTS);
    world_close();
}

static void parts_that_are_skipped_get_no_verdict(void **state)
{
    (void)state;
    world_open(4 * GIB, 512 * MIB);
    world->region.skipped = 0x00f1;
    world_read_for(60, world_at_random);
    for (unsigned i = 0; i < PATTERN_PARTS; i++)
        if (world->region.skipped & 1U << i)
            assert_false(world_is_single(i));
    assert_true(world_count_single() >= 10);
    world_close();
}

static void after_a_long_pause_a_look_decides_nothing(void **state)
{
    (void)state;
    world_open(4 * GIB, 512 * MIB);
    for (int i = 0; i < 50; i++) {
        for (int k = 0; k < 200; k++)
            world_at_random();
        assert_false(pattern_look(world->p, &world->region, false));
    }
    world_close();
}

static void a_region_may_end_anywhere(void **state)
{
    const uint64_t sizes[] = {1, 4096, UNIT - 1, UNIT + 1, 65 * MIB, 2047 * MIB + 4097};

    (void)state;
    world_open(4 * GIB, 512 * MIB);
    for (size_t i = 0; i < 6; i++) {
        world->region.size = sizes[i];
        world->n_units = (sizes[i] + UNIT - 1) / UNIT;
        pattern_reset(world->p, windows_part_size(sizes[i]));
        memset(world->region.single_to, 0, sizeof world->region.single_to);
        world_read_for(30, world_at_random);
    }
    world_close();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(random_reads_change_a_region_to_single_pages),
        TEST(so_they_do_if_most_of_it_is_in_memory),
        TEST(records_and_strides_count_as_random_reads),
        TEST(a_scan_changes_nothing),
        TEST(phases_are_followed_both_ways),
        TEST(a_slow_scan_is_seen_at_its_first_window),
        TEST(random_reads_soon_after_a_scan_change_no_part_back),
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
