// Requests that wait for an answer of the user database: users take turns to be told of it.
#include "daemon/lookup.h"
#include "proto/util/container.h"
#include "tests/lib/op_fixture.h"

enum { MANY = 50, BUSY_UID = 71001, OTHER_UID = 71002 };

struct waiter {
    struct user_waiter base;
    unsigned told_as; // the first one told: 1; 0: not told
};

static unsigned n_told;

static void note(struct user_waiter *base)
{
    container_of(base, struct waiter, base)->told_as = ++n_told;
}

static void await(struct user *u, struct waiter *w)
{
    *w = (struct waiter){.base.ready = note};
    lookup_await(u, &w->base);
}

static void answers_are_told_in_turns(void **state)
{
    struct waiter of_busy[MANY], of_other, forgotten, late;
    struct user *busy, *other;
    struct fixture f;

    (void)state;
    n_told = 0;
    fixture_init(&f);
    busy = user_ref(f.users, BUSY_UID);
    other = user_ref(f.users, OTHER_UID);
    for (int i = 0; i < MANY; i++)
        await(busy, &of_busy[i]);
    await(busy, &forgotten);
    await(other, &of_other);
    while (!busy->known || !other->known)
        event_base_loop(f.base, EVLOOP_ONCE);
    assert_int_equal(n_told, 0);
    assert_true(lookup_has_answers(f.users));

    lookup_forget(busy, &forgotten.base);
    assert_true(lookup_tell(f.users, 1));
    assert_true(lookup_tell(f.users, 1));
    assert_int_equal(n_told, 2);
    assert_in_range(of_other.told_as, 1, 2);
    await(busy, &late); // the answer is fresh
    assert_int_equal(late.told_as, 3);
    while (lookup_tell(f.users, 4))
        continue;
    for (int i = 0; i < MANY; i++)
        assert_in_range(of_busy[i].told_as, 1, MANY + 2);
    assert_int_equal(n_told, MANY + 2);
    assert_int_equal(forgotten.told_as, 0);
    assert_false(lookup_has_answers(f.users));
    user_unref(busy);
    user_unref(other);
    fixture_deinit(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(answers_are_told_in_turns),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
