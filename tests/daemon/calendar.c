// By how much the time of day was set.
#include "daemon/calendar.h"

#include "tests/lib/harness.h"

enum { NOW = 1700000000 };

static void a_clock_that_goes_on_is_not_set(void **state)
{
    struct calendar c = {0};

    (void)state;
    calendar_note(&c, NOW, 10);
    calendar_note(&c, NOW + 5, 15);
    calendar_note(&c, NOW + 86400, 10 + 86400); // nobody looked for a day
    calendar_note(&c, NOW + 86459, 10 + 86400); // less than a minute
    calendar_note(&c, NOW + 86400, 10 + 86400);
    assert_int_equal(c.set_by, 0);
}

static void steps_add_up(void **state)
{
    struct calendar c = {0};

    (void)state;
    calendar_note(&c, 0, 10); // 1970
    calendar_note(&c, NOW, 11);
    assert_int_equal(c.set_by, NOW - 1);
    calendar_note(&c, NOW + 1, 12);
    assert_int_equal(c.set_by, NOW - 1);
    calendar_note(&c, NOW - 58, 12); // less than a minute
    calendar_note(&c, NOW - 118, 12);
    assert_int_equal(c.set_by, NOW - 61);
}

static void a_time_is_converted_to_the_present_calendar(void **state)
{
    struct calendar c = {.set_by = 100};

    (void)state;
    assert_int_equal(calendar_convert(&c, 1000, 0), 1100);
    assert_int_equal(calendar_convert(&c, 1000, 100), 1000);
    assert_int_equal(calendar_convert(&c, 1000, 300), 800);
    assert_int_equal(calendar_convert(&c, 1000, 1100), 0);
    assert_int_equal(calendar_convert(&c, 1000, 5000), 0);
}

static void the_machines_clocks_agree(void **state)
{
    struct calendar c = {0};

    (void)state;
    assert_true(calendar_now(&c) >= (uint64_t)c.wall);
    calendar_now(&c);
    assert_true(c.is_known);
    assert_int_equal(c.set_by, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_clock_that_goes_on_is_not_set),
        TEST(steps_add_up),
        TEST(a_time_is_converted_to_the_present_calendar),
        TEST(the_machines_clocks_agree),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
