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

static void do_nothing(evutil_socket_t fd, short what, void *data)
{
    (void)fd;
    (void)what;
    (void)data;
}

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
    turns_charge(&s->env, c->peer.user, 1);
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

// The packets of one take the loop ten times as long as those of the other.
static void two_users_have_the_same_share_of_the_loops_time(void **state)
{
    enum { HEAVY_US = 100, LIGHT_US = 10, TURNS = 1100 };
    struct scene *s = malloc(sizeof *s);
    struct conn *heavy, *light;
    uint64_t heavy_us = 0, light_us = 0;

    (void)state;
    assert_non_null(s);
    scene_init(s);
    heavy = &s->of_lent[0];
    light = &s->of_other;
    turns_queue(heavy);
    turns_queue(light);
    for (int i = 0; i < TURNS; i++) {
        struct conn *c = take(s);

        turns_charge(&s->env, c->peer.user, (c == heavy ? HEAVY_US : LIGHT_US) - 1);
        *(c == heavy ? &heavy_us : &light_us) += c == heavy ? HEAVY_US : LIGHT_US;
        assert_true(heavy_us <= light_us + HEAVY_US && light_us <= heavy_us + HEAVY_US);
    }
    turns_unqueue(heavy);
    turns_unqueue(light);
    scene_deinit(s);
    free(s);
}

// A client that asks, waits for its reply and asks again, beside others that always have more to ask.
static void who_asks_for_little_is_next(void **state)
{
    struct scene *s = malloc(sizeof *s);

    (void)state;
    assert_non_null(s);
    scene_init(s);
    for (int i = 0; i < 2; i++) {
        s->lent[i]->shared_account = NULL;
        turns_queue(&s->of_lent[i]);
    }
    for (int i = 0; i < 100; i++) {
        for (int n = 0; n < 4; n++)
            turns_charge(&s->env, take(s)->peer.user, 30);
        turns_queue(&s->of_other);
        assert_ptr_equal(turns_next(&s->env), &s->of_other);
        turns_unqueue(&s->of_other);
        turns_charge(&s->env, s->other, 20);
    }
    for (int i = 0; i < 2; i++)
        turns_unqueue(&s->of_lent[i]);
    scene_deinit(s);
    free(s);
}

// One user's client has ended, which had very many connections; another one connects.
static void changed_connections_of_users_take_turns(void **state)
{
    struct scene *s = malloc(sizeof *s);

    (void)state;
    assert_non_null(s);
    scene_init(s);
    rounds_init(&s->env.changed);
    s->env.settle = event_new(s->f.base, -1, 0, do_nothing, NULL);
    for (int i = 0; i < UIDS; i++) {
        s->of_lent[i].peer.user = s->lent[0];
        conn_changed(&s->of_lent[i]);
        conn_changed(&s->of_lent[i]); // once is enough
    }
    assert_ptr_equal(conn_next_changed(&s->env), &s->of_lent[0]);
    conn_changed(&s->of_other);
    rounds_remove(&s->of_lent[1].of_changed);
    assert_ptr_equal(conn_next_changed(&s->env), &s->of_lent[2]);
    assert_ptr_equal(conn_next_changed(&s->env), &s->of_other);
    for (int i = 3; i < UIDS; i++)
        assert_ptr_equal(conn_next_changed(&s->env), &s->of_lent[i]);
    assert_null(conn_next_changed(&s->env));
    event_free(s->env.settle);
    scene_deinit(s);
    free(s);
}

static void nobody_saves_up_many_turns(void **state)
{
    struct scene *s = malloc(sizeof *s);
    int n_of_other = 0;

    (void)state;
    assert_non_null(s);
    scene_init(s);
    turns_queue(&s->of_lent[0]);
    for (int i = 0; i < 1000; i++)
        take(s);
    turns_queue(&s->of_other);
    for (int i = 0; i < 300; i++)
        n_of_other += take(s) == &s->of_other;
    assert_in_range(n_of_other, 150, 200); // of as many as the time is divided into, 100 were saved up at most
    turns_unqueue(&s->of_lent[0]);
    turns_unqueue(&s->of_other);
    scene_deinit(s);
    free(s);
}

static void who_asks_for_little_may_ask_for_more_once(void **state)
{
    struct scene *s = malloc(sizeof *s);

    (void)state;
    assert_non_null(s);
    scene_init(s);
    turns_queue(&s->of_lent[0]);
    for (int i = 0; i < 10; i++)
        turns_charge(&s->env, take(s)->peer.user, 30);
    for (int i = 0; i < 2; i++) { // the first one takes long
        turns_queue(&s->of_other);
        assert_ptr_equal(turns_next(&s->env), &s->of_other);
        turns_unqueue(&s->of_other);
        turns_charge(&s->env, s->other, 70);
    }
    turns_queue(&s->of_other); // and so does the second
    assert_ptr_equal(turns_next(&s->env), &s->of_lent[0]);
    turns_unqueue(&s->of_lent[0]);
    turns_unqueue(&s->of_other);
    scene_deinit(s);
    free(s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(one_person_with_many_uids_has_one_turn),
        TEST(uids_that_are_lent_no_longer_have_turns_of_their_own),
        TEST(who_holds_too_much_has_no_turn),
        TEST(two_users_have_the_same_share_of_the_loops_time),
        TEST(who_asks_for_little_is_next),
        TEST(changed_connections_of_users_take_turns),
        TEST(nobody_saves_up_many_turns),
        TEST(who_asks_for_little_may_ask_for_more_once),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
