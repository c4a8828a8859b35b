// Whose packet is read next: users take turns, however many connections and uids each of them has.
#include "daemon/conn/connection.h"

#include "daemon/user.h"
#include "tests/lib/op_fixture.h"

enum { UIDS = 50, EACH = 20, LENDER = 7000, FIRST_LENT = 70000, OTHER = 7001 };

struct scene {
    struct fixture f;
    struct request_env request;
    struct conn_env env;
    struct user *lender, *other, *lent[UIDS];
    struct conn of_other, of_lent[UIDS];
};

// The uids of LENT are lent by LENDER, and count in that account.
static void scene_init(struct scene *s)
{
    memset(s, 0, sizeof *s);
    fixture_init(&s->f);
    s->env.base = s->f.base;
    s->env.request = &s->request;
    budget_init(&s->request.budget);
    assert_int_equal(turns_init(&s->env), 0);
    s->lender = user_ref(s->f.users, LENDER);
    s->other = user_ref(s->f.users, OTHER);
    assert_true(s->lender && s->other);
    s->of_other.env = &s->env;
    s->of_other.peer.user = s->other;
    for (int i = 0; i < UIDS; i++) {
        s->lent[i] = user_ref(s->f.users, FIRST_LENT + (uid_t)i);
        assert_non_null(s->lent[i]);
        assert_int_equal(user_set_lender(s->lent[i], LENDER), 0);
        s->lent[i]->shared_account = quota_user_account(s->lender->quota);
        s->of_lent[i].env = &s->env;
        s->of_lent[i].peer.user = s->lent[i];
    }
}

static void scene_deinit(struct scene *s)
{
    for (int i = 0; i < UIDS; i++)
        user_unref(s->lent[i]);
    user_unref(s->other);
    user_unref(s->lender);
    turns_deinit(&s->env);
    fixture_deinit(&s->f);
}

// Takes the connection that has the next turn; it has more to read.
static struct conn *take(struct scene *s)
{
    struct conn *c = turns_next(&s->env);

    assert_non_null(c);
    turns_unqueue(c);
    turns_queue(c);
    return c;
}

static void one_person_with_many_uids_has_one_turn(void **state)
{
    struct scene *s = malloc(sizeof *s);
    unsigned n_of_other = 0, n_of_lent[UIDS] = {0};

    (void)state;
    assert_non_null(s);
    scene_init(s);
    for (int i = 0; i < UIDS; i++)
        turns_queue(&s->of_lent[i]);
    turns_queue(&s->of_other);
    assert_int_equal(s->env.n_readable, UIDS + 1);
    for (int i = 0; i < 2 * UIDS * EACH; i++) {
        const struct conn *c = take(s);

        if (c == &s->of_other)
            n_of_other++;
        else
            n_of_lent[c - s->of_lent]++;
        assert_in_range(2 * n_of_other, i, i + 2); // every second one
    }
    for (int i = 0; i < UIDS; i++)
        assert_int_equal(n_of_lent[i], EACH);
    for (int i = 0; i < UIDS; i++)
        turns_unqueue(&s->of_lent[i]);
    assert_ptr_equal(turns_next(&s->env), &s->of_other);
    turns_unqueue(&s->of_other);
    assert_null(turns_next(&s->env));
    assert_int_equal(s->env.n_readable, 0);
    scene_deinit(s);
    free(s);
}

// The user database says something else of them while they wait for their turn.
static void uids_that_are_lent_no_longer_have_turns_of_their_own(void **state)
{
    struct scene *s = malloc(sizeof *s);
    unsigned n_of_other = 0;

    (void)state;
    assert_non_null(s);
    scene_init(s);
    for (int i = 0; i < UIDS; i++)
        turns_queue(&s->of_lent[i]);
    turns_queue(&s->of_other);
    for (int i = 0; i < UIDS; i++) {
        s->lent[i]->shared_account = NULL;
        assert_int_equal(user_set_lender(s->lent[i], (uid_t)-1), 0);
    }
    user_unref(s->lender); // the last reference but those of the turns
    while (n_of_other < UIDS)
        n_of_other += take(s) == &s->of_other;
    for (int i = 0; i < 2 * (UIDS + 1); i++)
        n_of_other += take(s) == &s->of_other;
    assert_int_equal(n_of_other, UIDS + 2);
    for (int i = 0; i < UIDS; i++)
        turns_unqueue(&s->of_lent[i]);
    turns_unqueue(&s->of_other);
    s->lender = user_ref(s->f.users, LENDER);
    scene_deinit(s);
    free(s);
}

// A uid that holds too much stands aside; the others of that person go on.
static void who_holds_too_much_has_no_turn(void **state)
{
    struct scene *s = malloc(sizeof *s);

    (void)state;
    assert_non_null(s);
    scene_init(s);
    s->request.budget.most = 3;
    for (int i = 0; i < 3; i++) {
        turns_queue(&s->of_lent[i]);
        budget_take(&s->request.budget, s->lent[0]);
    }
    assert_ptr_equal(take(s), &s->of_lent[1]);
    assert_ptr_equal(take(s), &s->of_lent[2]);
    assert_ptr_equal(take(s), &s->of_lent[1]);
    assert_int_equal(s->env.n_readable, 2);
    assert_true(s->lent[0]->held_up);
    budget_give_back(&s->request.budget, s->lent[0], 3);
    assert_false(s->lent[0]->held_up);
    assert_ptr_equal(take(s), &s->of_lent[2]);
    assert_ptr_equal(take(s), &s->of_lent[1]);
    assert_ptr_equal(take(s), &s->of_lent[0]);
    for (int i = 0; i < 3; i++)
        turns_unqueue(&s->of_lent[i]);
    assert_null(turns_next(&s->env));
    scene_deinit(s);
    free(s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(one_person_with_many_uids_has_one_turn),
        TEST(uids_that_are_lent_no_longer_have_turns_of_their_own),
        TEST(who_holds_too_much_has_no_turn),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
