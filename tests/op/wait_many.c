// Many operations that wait: no request, no release and no wake-up looks at all of them.  Counted, and not timed.
#include "daemon/op/op_internal.h"
#include "daemon/op/wait.h"
#include "daemon/op/waits.h"
#include "tests/lib/op_fixture.h"

enum { FIRST_UID = 5000, FEW = 1000, MANY = 10000, BLOCK = 4096 };
#define LIMIT (64 * MIB)

struct crowd {
    struct fixture f;
    struct region *bystander;
    int n, n_users, n_done;
    struct user **users;
    struct region **regions;
    struct op *ops;
};

static void count_done(struct op *op)
{
    struct crowd *c = op->owner;

    c->n_done++;
}

static void limit_total(struct crowd *c, uint64_t bytes)
{
    const struct quota_limits limits = {.max = {bytes, QUOTA_UNLIMITED, QUOTA_UNLIMITED},
                                        .region_bytes = QUOTA_UNLIMITED,
                                        .warn_bytes = QUOTA_UNLIMITED};

    quota_account_set(quota_total(c->f.quota), "total", &limits);
}

static struct region *make_region_of(struct crowd *c, struct user *u)
{
    struct record record = {.owner_uid = u->uid, .mode = 0600, .name_length = 5, .name = "large"};
    struct region *r;
    struct op op;

    assert_int_equal(handle_random(&record.handle), 0);
    r = region_add(&c->f.regions, &record, u);
    assert_non_null(r);
    op_init(&op, &c->f.env, &op_create, r);
    assert_int_equal(run_op(&c->f, &op), 0);
    return r;
}

static void ask(struct crowd *c, struct op *op, struct region *r, uint64_t size)
{
    op_init(op, &c->f.env, &op_grow, r);
    op->size = size;
    op->wait_deadline = UINT64_MAX;
    op->done = count_done;
    op->owner = c;
    op_submit(op);
}

static void begin_with_users(struct crowd *c, int n, int n_users)
{
    memset(c, 0, sizeof *c);
    fixture_init(&c->f);
    limit_total(c, LIMIT);
    assert_int_equal(create(&c->f, "own", LIMIT, &c->bystander), 0);
    c->n = n;
    c->n_users = n_users;
    c->users = calloc((size_t)n_users, sizeof *c->users);
    c->regions = calloc((size_t)n_users, sizeof *c->regions);
    c->ops = calloc((size_t)n, sizeof *c->ops);
    for (int i = 0; i < n_users; i++) {
        c->users[i] = user_ref(c->f.users, FIRST_UID + (uid_t)i);
        assert_non_null(c->users[i]);
        c->regions[i] = make_region_of(c, c->users[i]);
    }
}

// N operations of N_USERS wait, for SIZE bytes each; they have waited long enough to have claims.
static void begin(struct crowd *c, int n, int n_users, uint64_t size)
{
    begin_with_users(c, n, n_users);
    for (int i = 0; i < n; i++) {
        ask(c, &c->ops[i], c->regions[i % n_users], size);
        assert_true(c->ops[i].is_waiting);
        c->ops[i].wait_since -= 2000;
    }
    op_resume_waiting(&c->f.env, clock_now());
    assert_int_equal(c->n_done, 0);
}

static void finish(struct crowd *c)
{
    op_end_waiting(&c->f.env);
    assert_int_equal(c->n_done, c->n);
    for (int i = 0; i < c->n_users; i++)
        user_unref(c->users[i]);
    free(c->users);
    free(c->regions);
    free(c->ops);
    limit_total(c, QUOTA_UNLIMITED);
    fixture_deinit(&c->f);
}

// How often an operation or a user who waits was looked at.
struct looks {
    uint64_t request, wake, grant, query;
};

static uint64_t looks_since(const struct crowd *c, uint64_t *before)
{
    uint64_t n = c->f.env.wait->n_looks - *before;

    *before += n;
    return n;
}

static struct looks count_looks(int n, int n_users)
{
    struct looks l;
    struct crowd c;
    uint64_t before;

    begin(&c, n, n_users, 2 * MIB);
    // A wake-up while a request is served would be counted with it.
    c.f.is_asleep = true;
    event_del(c.f.waiting);
    before = c.f.env.wait->n_looks;
    assert_int_equal(resize(&c.f, c.bystander, LIMIT - 2 * BLOCK), 0);
    // The bystander has more than a fair share, which the others have claimed.
    assert_int_equal(resize(&c.f, c.bystander, LIMIT - BLOCK), -EDQUOT);
    l.request = looks_since(&c, &before);
    op_resume_waiting(&c.f.env, clock_now());
    l.wake = looks_since(&c, &before);
    assert_int_equal(resize(&c.f, c.bystander, LIMIT - 2 * MIB), 0);
    looks_since(&c, &before);
    op_resume_waiting(&c.f.env, clock_now());
    l.grant = looks_since(&c, &before);
    assert_int_equal(quota_account_left(quota_total(c.f.quota), QUOTA_BYTES), 0);
    assert_int_equal(wait_count(c.f.env.wait, quota_total(c.f.quota)), n - 1);
    l.query = looks_since(&c, &before);
    c.f.is_asleep = false;
    while (c.n_done == 0)
        assert_true(event_base_loop(c.f.base, EVLOOP_ONCE) >= 0);
    finish(&c);
    return l;
}

static void expect_not_more(uint64_t n, uint64_t n_before, uint64_t factor, uint64_t most)
{
    assert_in_range(n, 0, n_before * factor);
    assert_in_range(n, 1, most);
}

static void what_is_looked_at_does_not_depend_on_how_many_wait(void **state)
{
    struct looks few = count_looks(FEW, 10), many = count_looks(MANY, 10);

    (void)state;
    print_message("[ NOTE     ] %d and %d of 10 users wait: a request looks at %lu and %lu, a wake-up at %lu and %lu, "
                  "a grant at %lu and %lu, a query at %lu and %lu\n",
                  FEW, MANY, few.request, many.request, few.wake, many.wake, few.grant, many.grant, few.query,
                  many.query);
    expect_not_more(many.request, few.request, 1, 100);
    expect_not_more(many.wake, few.wake, 1, 100);
    expect_not_more(many.grant, few.grant, 1, 100);
    expect_not_more(many.query, few.query, 1, 100);
}

static void with_the_number_of_users_it_grows_as_that_and_not_as_its_square(void **state)
{
    struct looks few = count_looks(50, 50), many = count_looks(500, 500);

    (void)state;
    print_message("[ NOTE     ] 50 and 500 users wait: a request looks at %lu and %lu, a wake-up at %lu and %lu, "
                  "a grant at %lu and %lu, a query at %lu and %lu\n",
                  few.request, many.request, few.wake, many.wake, few.grant, many.grant, few.query, many.query);
    expect_not_more(many.request, few.request, 12, 5000);
    expect_not_more(many.wake, few.wake, 11, 5000);
    expect_not_more(many.grant, few.grant, 11, 5000);
    expect_not_more(many.query, few.query, 11, 5000);
}

// Uids cost nothing where they are lent: those of one lender have one user's room, and one user's turns.
static void lent_uids_wait_as_one_user(void **state)
{
    enum { LENDER = 77, USERS = 3, MOST = 1024 };
    struct crowd c;

    (void)state;
    begin_with_users(&c, MOST + 2, USERS + 1);
    for (int i = 0; i < USERS; i++) {
        assert_int_equal(user_set_lender(c.users[i], LENDER), 0);
        c.users[i]->shared_account = quota_user_account(c.users[i]->lender->quota);
    }
    for (int i = 0; i < MOST + 1; i++)
        ask(&c, &c.ops[i], c.regions[i % USERS], MIB);
    assert_int_equal(c.n_done, 1);
    assert_int_equal(c.ops[MOST].result, -EDQUOT);
    ask(&c, &c.ops[MOST + 1], c.regions[USERS], MIB); // of another user
    assert_true(c.ops[MOST + 1].is_waiting);
    // They have a turn, then the other user, and then they again.
    assert_int_equal(resize(&c.f, c.bystander, LIMIT - 3 * MIB), 0);
    op_resume_waiting(&c.f.env, clock_now());
    assert_false(c.ops[0].is_waiting || c.ops[1].is_waiting || c.ops[MOST + 1].is_waiting);
    assert_true(c.ops[2].is_waiting);
    while (c.n_done < 4)
        assert_true(event_base_loop(c.f.base, EVLOOP_ONCE) >= 0);
    // The lender may change while they wait.
    for (int i = 0; i < USERS; i++) {
        c.users[i]->shared_account = NULL;
        assert_int_equal(user_set_lender(c.users[i], (uid_t)-1), 0);
    }
    assert_int_equal(wait_count(c.f.env.wait, quota_total(c.f.quota)), MOST - 2);
    finish(&c);
}

// One call does a part of it.  The timer goes on, so that all are tried in the end, and ended in the end.
static void a_wake_up_tries_and_ends_a_bounded_number(void **state)
{
    enum { N = 500, MOST_LOOKS = 200, MOST_ENDED = 64 };
    struct crowd c;
    uint64_t before;

    (void)state;
    begin_with_users(&c, N, N);
    for (int i = 0; i < N; i++)
        ask(&c, &c.ops[i], c.regions[i], i == N - 1 ? MIB : 3 * MIB);
    before = c.f.env.wait->n_looks;
    op_resume_waiting(&c.f.env, clock_now());
    assert_in_range(looks_since(&c, &before), 1, MOST_LOOKS);
    // Enough for the last one only, which has its try all the same.
    assert_int_equal(resize(&c.f, c.bystander, LIMIT - MIB), 0);
    while (c.n_done == 0)
        assert_true(event_base_loop(c.f.base, EVLOOP_ONCE) >= 0);
    assert_int_equal(c.ops[N - 1].result, 0);
    for (int i = 0; i < N - 1; i++)
        op_cancel(&c.ops[i]);
    op_resume_waiting(&c.f.env, clock_now());
    assert_in_range(c.n_done, 1, 1 + MOST_ENDED);
    while (c.n_done < N)
        assert_true(event_base_loop(c.f.base, EVLOOP_ONCE) >= 0);
    finish(&c);
}

// The first user was tried already in the round that goes on.
static void what_comes_free_in_the_middle_of_a_round_is_offered_to_all(void **state)
{
    enum { N = 200 };
    struct crowd c;

    (void)state;
    begin_with_users(&c, N, N);
    for (int i = 0; i < N; i++)
        ask(&c, &c.ops[i], c.regions[i], i == 0 ? MIB : 3 * MIB);
    while (c.f.env.wait->in_round) // the wake-ups before
        op_resume_waiting(&c.f.env, clock_now());
    op_resume_waiting(&c.f.env, clock_now());
    assert_true(c.f.env.wait->in_round);
    assert_int_equal(resize(&c.f, c.bystander, LIMIT - MIB), 0);
    while (c.n_done == 0)
        assert_true(event_base_loop(c.f.base, EVLOOP_ONCE) >= 0);
    assert_int_equal(c.ops[0].result, 0);
    finish(&c);
}

static void an_account_that_went_while_an_operation_waited_is_not_touched(void **state)
{
    const struct quota_limits limits = {.max = {3 * BLOCK, QUOTA_UNLIMITED, QUOTA_UNLIMITED},
                                        .region_bytes = QUOTA_UNLIMITED,
                                        .warn_bytes = QUOTA_UNLIMITED};
    struct quota_account *account;
    struct quota_user *lender;
    struct crowd c;

    (void)state;
    begin_with_users(&c, 2, 2);
    limit_total(&c, QUOTA_UNLIMITED);
    lender = quota_user_ref(c.f.quota, FIRST_UID - 1);
    assert_non_null(lender);
    account = quota_user_account(lender);
    quota_account_set(account, "user:lender", &limits);
    for (int i = 0; i < 2; i++)
        assert_int_equal(quota_user_set_groups(c.users[i]->quota, &account, 1), 0);
    ask(&c, &c.ops[0], c.regions[0], 2 * BLOCK);
    while (c.n_done == 0)
        assert_true(event_base_loop(c.f.base, EVLOOP_ONCE) >= 0);
    ask(&c, &c.ops[1], c.regions[1], 2 * BLOCK);
    assert_true(c.ops[1].is_waiting);
    assert_ptr_equal(c.ops[1].refusal.account, account);
    for (int i = 0; i < 2; i++)
        assert_int_equal(quota_user_set_groups(c.users[i]->quota, NULL, 0), 0);
    quota_user_unref(lender);
    op_give_up(&c.ops[1], -EDQUOT);
    assert_int_equal(c.ops[1].result, -EDQUOT);
    assert_null(c.ops[1].refusal.account);
    finish(&c);
}

// Also where that is sooner than the grace for releases would end.
static void a_wait_is_looked_at_when_its_deadline_comes(void **state)
{
    static const uint64_t waits[] = {300, 900, 5000};
    struct crowd c;

    (void)state;
    for (size_t i = 0; i < sizeof waits / sizeof *waits; i++) {
        begin_with_users(&c, 1, 1);
        op_init(&c.ops[0], &c.f.env, &op_grow, c.regions[0]);
        c.ops[0].size = BLOCK;
        c.ops[0].wait_deadline = clock_now() + waits[i];
        c.ops[0].done = count_done;
        c.ops[0].owner = &c;
        op_submit(&c.ops[0]);
        assert_true(c.ops[0].is_waiting);
        assert_true(c.ops[0].due_at == c.ops[0].wait_deadline || clock_now() > c.ops[0].wait_deadline);
        finish(&c);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(what_is_looked_at_does_not_depend_on_how_many_wait),
        TEST(a_wake_up_tries_and_ends_a_bounded_number),
        TEST(what_comes_free_in_the_middle_of_a_round_is_offered_to_all),
        TEST(lent_uids_wait_as_one_user),
        TEST(a_wait_is_looked_at_when_its_deadline_comes),
        TEST(an_account_that_went_while_an_operation_waited_is_not_touched),
        TEST(with_the_number_of_users_it_grows_as_that_and_not_as_its_square),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
