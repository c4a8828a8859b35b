// Telling how a region is read by strides, by reads that are announced, and by many runs at once.
#include "tests/lib/made_up_world.h"

// The page comes in alone, however the part is read.
static unsigned announced(void)
{
    uint64_t page = world_any_below(world_n_pages());

    if (!world_is_in(page))
        world->came[page] = ++world->n_came;
    world->region.announced[world_part_of(page)]++;
    return 1;
}

static unsigned two_hundred_streams(void)
{
    return world_streams(200);
}

static unsigned by_strides(uint64_t stride)
{
    uint64_t n = world_n_pages() * page_size() / stride, i = world->next++;

    return world_touch((i % n * stride + i / n * page_size() % stride) / page_size());
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
    unsigned passed = world_touch(world->next % (world_n_pages() / 2));

    return world->next++ % 64 == 0 ? passed + announced() : passed;
}

static void announced_reads_change_a_region_and_a_scan_outweighs_them(void **state)
{
    (void)state;
    world_open(4 * GIB, 512 * MIB);
    world_read_for(20, announced);
    assert_int_equal(world_count_single(), PATTERN_PARTS);
    world_read_for(100, announced);
    assert_int_equal(world->n_large, 0);
    world_read_for(10, world_in_order);
    assert_int_equal(world_count_single(), 0);
    world_close();
    world_open(4 * GIB, 512 * MIB);
    world_read_for(20, world_in_order);
    world_read_for(200, a_scan_of_the_first_half_and_announced);
    assert_int_equal(world->n_single, 0);
    world_close();
}

static void strides_that_touch_little_of_what_is_read_get_single_pages(void **state)
{
    unsigned (*const strides[])(void) = {by_strides_of_1_mib, by_strides_of_2_mib};

    (void)state;
    for (size_t i = 0; i < 4; i++) {
        world_open(i < 2 ? 4 * GIB : 512 * MIB, i < 2 ? 512 * MIB : 64 * MIB);
        world_read_for(20, strides[i % 2]);
        assert_int_equal(world->n_single, 0);
        world->sparse = true;
        world_read_for(20, strides[i % 2]);
        assert_true(world_count_single() >= world->region.size / world->p->part_size - 1);
        world_read_for(400, strides[i % 2]);
        assert_true(world_count_single() >= world->region.size / world->p->part_size - 1);
        assert_true(world->n_large <= 4);
        world_close();
    }
}

// They touch little too, but large pages are right for them.
static void dense_strides_are_tried_now_and_then_only(void **state)
{
    unsigned (*const strides[])(void) = {by_strides_of_64_kib, world_in_order};

    (void)state;
    for (size_t i = 0; i < 4; i++) {
        unsigned n = 0;

        world_open(i < 2 ? 4 * GIB : 512 * MIB, i < 2 ? 512 * MIB : 64 * MIB);
        world->sparse = true;
        world_read_for(1000, strides[i % 2]);
        assert_true(world->n_single > 0 && world->n_single < 6 * PATTERN_PARTS);
        world->n_single = 0;
        for (int k = 0; k < 100; k++) {
            world_read_for(10, strides[i % 2]);
            n += world_count_single() == 0;
        }
        assert_true(n >= 90);
        assert_true(world->n_single <= 2 * PATTERN_PARTS);
        world_close();
    }
}

// Each of them reads four pages a look.
static void slow_runs_are_runs(void **state)
{
    (void)state;
    world_open(4 * GIB, 512 * MIB);
    world_read_for(60, world_at_random);
    assert_true(world_count_single() >= PATTERN_PARTS - 1);
    world_read_for(150, two_hundred_streams);
    assert_true(world_count_single() <= 1);
    world_close();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(announced_reads_change_a_region_and_a_scan_outweighs_them),
        TEST(strides_that_touch_little_of_what_is_read_get_single_pages),
        TEST(dense_strides_are_tried_now_and_then_only),
        TEST(slow_runs_are_runs),
    };

    if (page_size() != 4096)
        test_skip_all("the made-up kernel has pages of 4 KiB");
    return cmocka_run_group_tests(tests, NULL, NULL);
}
