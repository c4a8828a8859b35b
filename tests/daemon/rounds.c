// Round robin: the owners of items take turns, and each item comes once.
#include "daemon/rounds.h"
#include "tests/lib/harness.h"

enum { N = 4 };

struct scene {
    struct rounds rounds;
    struct rounds_owner busy, other;
    struct rounds_item of_busy[N], of_other[N];
};

static void begin(struct scene *s)
{
    *s = (struct scene){0};
    rounds_init(&s->rounds);
    rounds_owner_init(&s->busy);
    rounds_owner_init(&s->other);
}

static void owners_take_turns(void **state)
{
    struct scene s;

    (void)state;
    begin(&s);
    assert_true(rounds_is_empty(&s.rounds));
    assert_null(rounds_take(&s.rounds));
    for (int i = 0; i < N; i++)
        rounds_add(&s.rounds, &s.busy, &s.of_busy[i]);
    rounds_add(&s.rounds, &s.other, &s.of_other[0]);
    rounds_add(&s.rounds, &s.other, &s.of_other[1]);
    assert_ptr_equal(rounds_take(&s.rounds), &s.of_busy[0]);
    assert_ptr_equal(rounds_take(&s.rounds), &s.of_other[0]);
    assert_ptr_equal(rounds_take(&s.rounds), &s.of_busy[1]);
    assert_ptr_equal(rounds_take(&s.rounds), &s.of_other[1]);
    assert_ptr_equal(rounds_take(&s.rounds), &s.of_busy[2]);
    rounds_add(&s.rounds, &s.other, &s.of_other[0]); // comes back, behind the other one
    assert_ptr_equal(rounds_take(&s.rounds), &s.of_busy[3]);
    assert_ptr_equal(rounds_take(&s.rounds), &s.of_other[0]);
    assert_true(rounds_is_empty(&s.rounds));
}

static void an_item_waits_once_and_can_be_taken_back(void **state)
{
    struct scene s;

    (void)state;
    begin(&s);
    rounds_remove(&s.of_busy[0]); // it waits nowhere
    rounds_add(&s.rounds, &s.busy, &s.of_busy[0]);
    rounds_add(&s.rounds, &s.busy, &s.of_busy[0]);
    rounds_add(&s.rounds, &s.busy, &s.of_busy[1]);
    rounds_add(&s.rounds, &s.other, &s.of_other[0]);
    rounds_remove(&s.of_busy[0]);
    rounds_remove(&s.of_other[0]);
    assert_ptr_equal(rounds_take(&s.rounds), &s.of_busy[1]);
    assert_null(rounds_take(&s.rounds));
    rounds_add(&s.rounds, &s.busy, &s.of_busy[0]);
    rounds_remove(&s.of_busy[0]);
    assert_true(rounds_is_empty(&s.rounds));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(owners_take_turns),
        TEST(an_item_waits_once_and_can_be_taken_back),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
