// Which lanes get no instant work, after which work, and for how long.
#include "daemon/work/trust.h"

#include "tests/lib/harness.h"

enum { NOW = 100000, LANE = 7, OTHER = 8, MOST_TRIES = 1000 };

static void a_slow_piece_costs_its_lane_a_pause_that_grows(void **state)
{
    uint64_t now = NOW, last = 0;
    struct trust t;

    (void)state;
    trust_init(&t);
    for (int i = 0; i < 10; i++) {
        uint64_t pause = 0;

        trust_note_slow(&t, LANE, now);
        assert_true(trust_allows(&t, OTHER, now));
        while (!trust_allows(&t, LANE, now + pause))
            pause++;
        assert_in_range(pause, last, 2 * last + 4);
        assert_true(pause > last || pause == 256);
        last = pause;
        now += pause;
    }
    assert_int_equal(last, 256);
    now += 2000; // much later, the first pause is short again
    trust_note_slow(&t, LANE, now);
    assert_true(trust_allows(&t, LANE, now + 4));
}

static void a_single_long_piece_costs_nothing_and_two_in_a_row_do(void **state)
{
    struct trust t;

    (void)state;
    trust_init(&t);
    for (int i = 0; i < 10; i++) {
        trust_note_length(&t, LANE, true, NOW);
        assert_true(trust_allows(&t, LANE, NOW));
        trust_note_length(&t, OTHER, true, NOW); // in between, and of no account for LANE
        trust_note_length(&t, OTHER, false, NOW);
        trust_note_length(&t, LANE, false, NOW);
    }
    trust_note_length(&t, LANE, true, NOW);
    trust_note_length(&t, OTHER, false, NOW);
    trust_note_length(&t, LANE, true, NOW);
    assert_false(trust_allows(&t, LANE, NOW));
    assert_true(trust_allows(&t, OTHER, NOW));
    assert_true(trust_allows(&t, LANE, NOW + 4));
}

static void two_lanes_whose_work_is_long_are_both_sent_away(void **state)
{
    struct trust t;

    (void)state;
    trust_init(&t);
    for (int i = 0; i < 2; i++) {
        trust_note_length(&t, LANE, true, NOW);
        trust_note_length(&t, OTHER, true, NOW);
    }
    assert_false(trust_allows(&t, LANE, NOW));
    assert_false(trust_allows(&t, OTHER, NOW));
}

static void work_of_many_lanes_leaves_those_that_pause(void **state)
{
    struct trust t;

    (void)state;
    trust_init(&t);
    trust_note_slow(&t, LANE, NOW);
    for (unsigned i = 0; i < TRUST_SLOW_LANES - 1; i++)
        trust_note_length(&t, 1000 + i, true, NOW);
    assert_false(trust_allows(&t, LANE, NOW));
    for (unsigned i = 0; i < 10 * TRUST_SLOW_LANES; i++)
        trust_note_length(&t, 2000 + i, true, NOW);
    assert_false(trust_allows(&t, LANE, NOW));
}

static void work_that_hangs_costs_its_lane_minutes(void **state)
{
    struct trust t;

    (void)state;
    trust_init(&t);
    trust_note_hung(&t, LANE, NOW);
    assert_false(trust_allows(&t, LANE, NOW + 9 * 60 * 1000));
    assert_true(trust_allows(&t, LANE, NOW + 10 * 60 * 1000));
    assert_true(trust_allows(&t, OTHER, NOW));
    trust_note_take_over(&t, NOW);
    assert_false(trust_allows(&t, OTHER, NOW));
    assert_true(trust_allows(&t, OTHER, NOW + 4));
}

// 200 us are too long for others, if there are some.
static void long_work_counts_only_beside_others(void **state)
{
    struct trust t;

    (void)state;
    trust_init(&t);
    for (int i = 0; i < 10; i++) {
        trust_note_offer(&t, LANE, NOW);
        trust_begin(&t);
        trust_judge(&t, LANE, 200, NOW + 1000); // the first offer alone was after another lane's, long ago
        assert_true(trust_allows(&t, LANE, NOW + 1000));
    }
    // Twice in a row, and again if another process had the processor meanwhile.
    for (int i = 0; i < MOST_TRIES && trust_allows(&t, LANE, NOW + 1000); i++) {
        trust_note_offer(&t, OTHER, NOW + 1000);
        trust_note_offer(&t, LANE, NOW + 1000);
        trust_begin(&t);
        trust_judge(&t, OTHER, 20, NOW + 1000);
        trust_judge(&t, LANE, 200, NOW + 1000);
    }
    assert_false(trust_allows(&t, LANE, NOW + 1000));
    assert_true(trust_allows(&t, OTHER, NOW + 1000));
}

static void slow_work_counts_always(void **state)
{
    struct trust t;

    (void)state;
    trust_init(&t);
    trust_begin(&t);
    trust_judge(&t, LANE, 499, NOW);
    assert_true(trust_allows(&t, LANE, NOW));
    for (int i = 0; i < MOST_TRIES && trust_allows(&t, LANE, NOW); i++) {
        trust_begin(&t);
        trust_judge(&t, LANE, 100 * 1000, NOW);
    }
    assert_false(trust_allows(&t, LANE, NOW));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_slow_piece_costs_its_lane_a_pause_that_grows),
        TEST(a_single_long_piece_costs_nothing_and_two_in_a_row_do),
        TEST(two_lanes_whose_work_is_long_are_both_sent_away),
        TEST(long_work_counts_only_beside_others),
        TEST(slow_work_counts_always),
        TEST(work_of_many_lanes_leaves_those_that_pause),
        TEST(work_that_hangs_costs_its_lane_minutes),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
