// Following a program that fills memory: a program, a thread that makes units, and a clock that are made up.
#include "tests/lib/harness.h"

#include "client/memory/fronts.h"

enum { MOST_UNITS = 65536, THREADS = 20, MAKE_US = 400 };
#define UNIT FRONTS_UNIT
#define MINUTE_US ((uint64_t)60 * 1000 * 1000)

// Fills the units from at to end, in order, US each, and needs as long again as making takes where it is the first.
struct filler {
    uint64_t at, end, us, due;
};

static struct world {
    struct fronts fronts;
    struct fronts_limits limits;
    uint64_t now, n_units, n_steps, n_made, n_ahead; // n_ahead: made, and not come to by the program
    uint64_t n_own;                                  // made by the program
    bool made[MOST_UNITS], come[MOST_UNITS];
    struct filler fillers[THREADS];
    unsigned n_fillers;
    uint64_t look_us;                     // the program goes on while it is looked at
    uint64_t random, touch_us, touch_due; // one random touch each touch_us; 0: none
} w;

static void let_pass(uint64_t us);

static bool is_touched(void *data, uint64_t unit)
{
    (void)data;
    let_pass(w.look_us);
    assert_true(unit < w.n_units);
    return w.made[unit] || w.come[unit];
}

static void begin_world(uint64_t n_units)
{
    memset(&w, 0, sizeof w);
    w.n_units = n_units;
    w.now = 1000000;
    w.limits = (struct fronts_limits){.most = FRONTS_AHEAD, .n_processors = 64};
    w.random = 88172645463325252;
    fronts_begin(&w.fronts, 0, n_units * UNIT, w.now);
}

static void come_to(uint64_t unit)
{
    w.n_ahead -= w.made[unit] && !w.come[unit];
    w.n_own += !w.made[unit] && !w.come[unit];
    w.come[unit] = true;
}

static void add_filler(uint64_t at, uint64_t end, uint64_t us)
{
    w.fillers[w.n_fillers++] = (struct filler){.at = at, .end = end, .us = us, .due = w.now};
}

static void touch_at_random(void)
{
    w.random ^= w.random << 13;
    w.random ^= w.random >> 7;
    w.random ^= w.random << 17;
    come_to(w.random % w.n_units);
    w.touch_due += w.touch_us;
}

static void let_pass(uint64_t us)
{
    w.now += us;
    for (unsigned i = 0; i < w.n_fillers; i++) {
        struct filler *x = &w.fillers[i];

        while (x->at < x->end && x->due <= w.now) {
            x->due += x->us + (w.made[x->at] || w.come[x->at] ? 0 : MAKE_US);
            come_to(x->at++);
        }
    }
    while (w.touch_us > 0 && w.touch_due <= w.now)
        touch_at_random();
}

static struct fronts_step step(void)
{
    struct fronts_step s = fronts_step(&w.fronts, w.now, &w.limits, &(struct fronts_eyes){.is_touched = is_touched});

    w.n_steps++;
    if (s.advice == FRONTS_WAIT) {
        assert_in_range(s.pause_ms, 1, 1000);
        let_pass(s.pause_ms * 1000);
    }
    if (s.advice != FRONTS_MAKE)
        return s;
    assert_true(s.unit < w.n_units && !w.made[s.unit] && (w.look_us > 0 || !w.come[s.unit]));
    let_pass(MAKE_US);
    w.n_ahead += !w.come[s.unit];
    w.made[s.unit] = true;
    w.n_made++;
    // The bound of all bounds.
    assert_true(w.n_ahead <= FRONTS_AHEAD && fronts_count_ahead(&w.fronts) <= FRONTS_AHEAD);
    return s;
}

static bool all_have_ended(void)
{
    for (unsigned i = 0; i < w.n_fillers; i++)
        if (w.fillers[i].at < w.fillers[i].end)
            return false;
    return true;
}

static void run_until_filled(void)
{
    while (!all_have_ended())
        if (step().advice == FRONTS_OVER)
            let_pass(1000000);
}

static void run_for(uint64_t us)
{
    for (uint64_t end = w.now + us; w.now < end;)
        if (step().advice == FRONTS_OVER)
            let_pass(end - w.now);
}

static void a_program_that_fills_in_order_makes_a_small_share_itself(void **state)
{
    (void)state;
    for (uint64_t us = 100; us <= 1600; us *= 2) {
        begin_world(512);
        w.limits.n_processors = 2; // another one than the program's
        add_filler(0, 512, us);
        run_until_filled();
        // While the units are made more slowly than the program fills them, it makes more.
        assert_in_range(w.n_own, 512 / 8, us < MAKE_US ? 512 / 5 * 2 : 512 / 5);
        assert_int_equal(w.n_ahead, 0);
        assert_false(w.made[511]); // it shows that the program has come through
        assert_int_equal(step().advice, FRONTS_OVER);
    }
}

static void one_thread_is_one_front_however_long_a_look_takes(void **state)
{
    (void)state;
    for (uint64_t us = 20; us <= 1000; us += 20) {
        begin_world(2048);
        w.look_us = us;
        w.limits.n_processors = 2;
        add_filler(0, 2048, 300);
        while (!all_have_ended()) {
            unsigned n_fronts = 0;

            if (step().advice == FRONTS_OVER)
                let_pass(1000000);
            for (unsigned i = 0; i < w.fronts.n; i++)
                n_fronts += w.fronts.items[i].window > 0;
            assert_true(n_fronts <= 1);
        }
        assert_true(us > 40 || w.n_made > 1024);
    }
}

static void each_of_several_threads_is_followed(void **state)
{
    (void)state;
    for (unsigned n = 2; n <= 8; n *= 2) {
        begin_world(4096);
        for (unsigned i = 0; i < n; i++)
            add_filler(4096 / n * i, 4096 / n * (i + 1), MAKE_US * n);
        run_until_filled();
        assert_in_range(w.n_own, 4096 / 8, 4096 / 2);
        for (unsigned i = 0; i < n; i++) {
            unsigned n_made = 0;

            for (uint64_t unit = 4096 / n * i; unit < 4096 / n * (i + 1); unit++)
                n_made += w.made[unit];
            assert_true(n_made > 4096 / n / 3);
        }
    }
}

static void a_thread_that_begins_anywhere_is_found(void **state)
{
    (void)state;
    begin_world(MOST_UNITS); // 128 GiB: a sample each 512 MiB
    add_filler(10007, 12007, 1000);
    run_until_filled();
    assert_true(w.n_made > 2000 / 2);
    assert_true(w.n_made < 2000);
}

static void nothing_more_is_made_when_the_program_stops(void **state)
{
    uint64_t n_steps, n_made;

    (void)state;
    begin_world(2048);
    add_filler(0, 1000, 300);
    run_until_filled();
    run_for(10000);
    assert_in_range(w.n_ahead, 5, FRONTS_WINDOW + FRONTS_GAP - 1);
    n_made = w.n_made;
    n_steps = w.n_steps;
    while (step().advice != FRONTS_OVER)
        assert_true(w.now < 3 * MINUTE_US);
    assert_int_equal(w.n_made, n_made);
    assert_in_range(w.n_steps - n_steps, 1, 200);
    // And then there are no looks any more.
    assert_int_equal(step().advice, FRONTS_OVER);
}

static void a_program_that_goes_on_is_followed_again(void **state)
{
    (void)state;
    begin_world(2048);
    for (unsigned i = 0; i < 10; i++) {
        w.n_fillers = 0;
        add_filler(i * 200, i * 200 + 200, 300);
        run_until_filled();
        run_for(30000);
    }
    assert_in_range(w.n_own, 250, 1000);
}

static void touches_at_random_get_nothing(void **state)
{
    (void)state;
    for (uint64_t us = 10; us <= 100000; us *= 10) {
        begin_world(MOST_UNITS);
        w.touch_us = us;
        w.touch_due = w.now;
        run_for(us * 30000 < 5000000 ? us * 30000 : 5000000);
        assert_int_equal(w.n_made, 0);
    }
    // The whole region is soon touched.
    begin_world(512);
    w.touch_us = 20;
    w.touch_due = w.now;
    run_for(1000000);
    assert_int_equal(w.n_made, 0);
}

static void filling_downwards_and_striding_get_nothing(void **state)
{
    (void)state;
    begin_world(1024);
    for (uint64_t unit = 1024; unit-- > 0; run_for(500))
        come_to(unit);
    assert_true(w.n_made <= 3);
    begin_world(1024);
    for (uint64_t unit = 0; unit < 1024; unit += 5, run_for(500))
        come_to(unit);
    assert_int_equal(w.n_made, 0);
}

static void nothing_is_made_while_memory_is_short_and_less_where_less_may(void **state)
{
    (void)state;
    begin_world(2048);
    add_filler(0, 2048, 500);
    w.limits.most = 0;
    run_for(200000);
    assert_int_equal(w.n_made, 0);
    w.limits.most = 3;
    for (uint64_t end = w.now + 200000; w.now < end;) {
        step();
        assert_true(w.n_ahead <= 3);
    }
    assert_true(w.n_made > 50);
    w.limits.most = 0;
    w.n_made = 0;
    run_for(100000);
    assert_int_equal(w.n_made, 0);
}

static void nothing_is_made_where_all_processors_fill(void **state)
{
    uint64_t n_steps;

    (void)state;
    begin_world(4096);
    w.limits.n_processors = 4;
    for (unsigned i = 0; i < 4; i++)
        add_filler(1024 * i, 1024 * (i + 1), 300);
    run_for(50000);
    w.n_made = 0;
    n_steps = w.n_steps;
    run_for(400000);
    assert_int_equal(w.n_made, 0);
    assert_true(w.n_steps - n_steps <= 41);
    w.fillers[3].end = w.fillers[3].at;
    run_for(200000);
    assert_true(w.n_made > 100);
}

static void a_program_that_overtakes_is_found_where_it_is(void **state)
{
    (void)state;
    begin_world(4096);
    add_filler(0, 4096, 300);
    run_for(50000);
    for (uint64_t unit = w.fillers[0].at; unit < w.fillers[0].at + 20; unit++)
        come_to(unit);
    w.fillers[0].at += 20;
    w.n_made = 0;
    run_for(10000);
    assert_true(w.n_made > 8);
    // A long run of another thread's: the front does not go on behind it unless the program does.
    for (uint64_t unit = w.fillers[0].at + 30; unit < 3000; unit++)
        come_to(unit);
    w.fillers[0].end = w.fillers[0].at + 35;
    run_for(100000);
    for (uint64_t unit = 3000; unit < 4096; unit++)
        assert_false(w.made[unit]);
}

static void nothing_is_made_behind_a_cut(void **state)
{
    (void)state;
    begin_world(1024);
    add_filler(0, 512, 300);
    add_filler(512, 1024, 300);
    run_for(50000);
    fronts_cut(&w.fronts, 200 * UNIT + UNIT - 1);
    w.n_units = 200;
    run_for(500000); // is_touched checks
    assert_int_equal(step().advice, FRONTS_OVER);
    fronts_cut(&w.fronts, 0);
    assert_int_equal(fronts_count_ahead(&w.fronts), 0);
    assert_int_equal(step().advice, FRONTS_OVER);
}

static struct fronts_step step_until_made(void)
{
    for (;;) {
        struct fronts_step s =
            fronts_step(&w.fronts, w.now, &w.limits, &(struct fronts_eyes){.is_touched = is_touched});

        if (s.advice == FRONTS_MAKE)
            return s;
        let_pass(1000);
    }
}

static void a_unit_that_was_not_made_is_made_later_and_one_that_cannot_be_ends_its_front(void **state)
{
    struct fronts_step first, again;

    (void)state;
    begin_world(64);
    add_filler(0, 10, 1000);
    first = step_until_made();
    fronts_put_off(&w.fronts, first.unit);
    assert_int_equal(fronts_count_ahead(&w.fronts), 0);
    again = step_until_made();
    assert_int_equal(first.unit, again.unit);
    fronts_put_off(&w.fronts, first.unit + 1); // not the last
    assert_int_equal(fronts_count_ahead(&w.fronts), 1);
    again = step_until_made();
    assert_int_equal(fronts_count_ahead(&w.fronts), 2);
    fronts_put_off(&w.fronts, again.unit);
    again = step_until_made();
    fronts_give_up(&w.fronts, again.unit);
    assert_int_equal(w.fronts.n, 0);
    // What was made stays made.
    assert_int_equal(fronts_count_ahead(&w.fronts), 2);
}

static void more_memory_is_watched_beside_what_is_watched_already(void **state)
{
    (void)state;
    begin_world(1024);
    add_filler(0, 200, 300);
    run_until_filled();
    fronts_begin(&w.fronts, 1024 * UNIT, 2048 * UNIT, w.now);
    w.n_units = 2048;
    add_filler(200, 1024, 600);
    add_filler(1024, 2048, 600);
    run_until_filled();
    assert_in_range(w.n_own, 2048 / 8, 2048 / 2);
    // Too little for a unit.
    memset(&w.fronts, 0, sizeof w.fronts);
    fronts_begin(&w.fronts, 1, 2 * UNIT - 1, w.now);
    assert_int_equal(step().advice, FRONTS_OVER);
}

static void more_threads_than_can_be_followed_are_no_trouble(void **state)
{
    (void)state;
    begin_world(20000);
    for (unsigned i = 0; i < THREADS; i++)
        add_filler(1000 * i + i, 1000 * i + 900, 2000 + i);
    run_until_filled();
    assert_true(w.n_made > 1000);
}

// Each thread takes the next piece of the memory when it has filled one.
static void threads_that_take_pieces_in_turn_are_followed(void **state)
{
    enum { PIECE = 24, N = 6 };
    uint64_t next = 0;

    (void)state;
    begin_world(6144);
    for (unsigned i = 0; i < N; i++, next += PIECE)
        add_filler(next, next + PIECE, 1000 + 10 * i);
    while (next < 6144) {
        for (unsigned i = 0; i < N && next < 6144; i++)
            if (w.fillers[i].at == w.fillers[i].end) {
                w.fillers[i] = (struct filler){.at = next, .end = next + PIECE, .us = 1000 + 10 * i, .due = w.now};
                next += PIECE;
            }
        step();
    }
    run_until_filled();
    assert_true(w.n_made > 6144 / 3);
}

static void touches_that_lead_nowhere_make_room_for_a_thread(void **state)
{
    (void)state;
    begin_world(4096);
    for (uint64_t unit = 16; unit < 2048; unit += 16)
        come_to(unit);
    run_for(100000);
    assert_int_equal(w.fronts.n, FRONTS_MOST);
    assert_int_equal(w.n_made, 0);
    add_filler(3000, 4000, 500);
    run_until_filled();
    assert_true(w.n_made > 500);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_program_that_fills_in_order_makes_a_small_share_itself),
        TEST(one_thread_is_one_front_however_long_a_look_takes),
        TEST(each_of_several_threads_is_followed),
        TEST(a_thread_that_begins_anywhere_is_found),
        TEST(nothing_more_is_made_when_the_program_stops),
        TEST(a_program_that_goes_on_is_followed_again),
        TEST(touches_at_random_get_nothing),
        TEST(filling_downwards_and_striding_get_nothing),
        TEST(nothing_is_made_while_memory_is_short_and_less_where_less_may),
        TEST(nothing_is_made_where_all_processors_fill),
        TEST(a_program_that_overtakes_is_found_where_it_is),
        TEST(nothing_is_made_behind_a_cut),
        TEST(a_unit_that_was_not_made_is_made_later_and_one_that_cannot_be_ends_its_front),
        TEST(more_memory_is_watched_beside_what_is_watched_already),
        TEST(threads_that_take_pieces_in_turn_are_followed),
        TEST(touches_that_lead_nowhere_make_room_for_a_thread),
        TEST(more_threads_than_can_be_followed_are_no_trouble),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
