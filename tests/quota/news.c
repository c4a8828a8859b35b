// When a refusal or a warning mark is news, and when it is again: once told, an account has to recover first.
#include "tests/lib/harness.h"

#include "daemon/quota/charge.h"
#include "daemon/quota/quota.h"

// The user 7, whose account has limits and a mark, with one charge; and the warnings that were given.
struct scene {
    struct quota *q;
    struct quota_user *user;
    struct quota_account *account;
    struct quota_charge charge;
    unsigned n_warnings;
    bool is_told; // the answer to a warning
};

static bool on_warning(void *data, struct quota_account *a, enum quota_mark mark)
{
    struct scene *s = data;

    assert_ptr_equal(a, s->account);
    assert_int_equal(mark, QUOTA_MARK_WARN);
    s->n_warnings++;
    return s->is_told;
}

static void scene_init(struct scene *s, uint64_t bytes, uint64_t warn_bytes)
{
    const struct quota_limits limits = {.max = {bytes, 8, 8}, .region_bytes = 1000, .warn_bytes = warn_bytes};

    *s = (struct scene){.q = quota_new(), .is_told = true};
    s->user = quota_user_ref(s->q, 7);
    s->account = quota_user_account(s->user);
    quota_account_set(s->account, "user:alice", &limits);
    quota_charge_init(&s->charge, s->user);
}

static void scene_deinit(struct scene *s)
{
    quota_charge_deinit(&s->charge);
    quota_user_unref(s->user);
    quota_free(s->q);
}

static bool refused_anew(struct scene *s, enum quota_resource resource, uint64_t amount)
{
    struct quota_refusal refusal;

    assert_int_equal(quota_charge_add(&s->charge, resource, amount, &refusal), -EDQUOT);
    return quota_refusal_is_news(&refusal);
}

static void takes(struct scene *s, enum quota_resource resource, uint64_t amount)
{
    struct quota_refusal refusal;

    assert_int_equal(quota_charge_add(&s->charge, resource, amount, &refusal), 0);
    quota_charge_tell(&s->charge);
}

static void a_refusal_is_news_once_and_again_when_an_eighth_is_free(void **state)
{
    struct scene s;

    (void)state;
    scene_init(&s, 80, QUOTA_UNLIMITED);
    takes(&s, QUOTA_BYTES, 80);
    assert_true(refused_anew(&s, QUOTA_BYTES, 1));
    assert_false(refused_anew(&s, QUOTA_BYTES, 1));
    quota_charge_sub(&s.charge, QUOTA_BYTES, 9); // an eighth is 10
    assert_false(refused_anew(&s, QUOTA_BYTES, 70));
    quota_charge_sub(&s.charge, QUOTA_BYTES, 1);
    assert_true(refused_anew(&s, QUOTA_BYTES, 70));
    scene_deinit(&s);
}

static void each_resource_has_news_of_its_own(void **state)
{
    struct scene s;

    (void)state;
    scene_init(&s, 80, QUOTA_UNLIMITED);
    takes(&s, QUOTA_BYTES, 80);
    takes(&s, QUOTA_REGIONS, 8);
    assert_true(refused_anew(&s, QUOTA_BYTES, 1));
    assert_true(refused_anew(&s, QUOTA_REGIONS, 1));
    quota_charge_sub(&s.charge, QUOTA_REGIONS, 1);
    assert_true(refused_anew(&s, QUOTA_REGIONS, 2));
    assert_false(refused_anew(&s, QUOTA_BYTES, 1));
    scene_deinit(&s);
}

static void a_refusal_that_no_account_gave_is_no_news(void **state)
{
    (void)state;
    assert_false(quota_refusal_is_news(&(struct quota_refusal){0}));
}

static void other_limits_make_a_refusal_news_again_and_the_same_ones_do_not(void **state)
{
    struct scene s;
    struct quota_limits limits;

    (void)state;
    scene_init(&s, 80, QUOTA_UNLIMITED);
    limits = *quota_account_limits(s.account);
    assert_true(refused_anew(&s, QUOTA_BYTES, 81));
    quota_account_set(s.account, "user:alice", &limits);
    assert_false(refused_anew(&s, QUOTA_BYTES, 81));
    for (int i = 0; i < 6; i++) {
        limits.max[QUOTA_BYTES] -= i == 0;
        limits.region_bytes += i == 1;
        limits.warn_bytes -= i == 2;
        limits.soft.is_set = limits.soft.is_set || i == 3;
        limits.soft.bytes += i == 4;
        limits.soft.grace += i == 5;
        quota_account_set(s.account, "user:alice", &limits);
        assert_true(refused_anew(&s, QUOTA_BYTES, 81));
        assert_false(refused_anew(&s, QUOTA_BYTES, 81));
    }
    scene_deinit(&s);
}

static void the_mark_is_told_once_and_again_after_use_fell_an_eighth_below_it(void **state)
{
    struct scene s;

    (void)state;
    scene_init(&s, 1000, 80);
    quota_on_warning(s.q, on_warning, &s);
    takes(&s, QUOTA_BYTES, 79);
    assert_int_equal(s.n_warnings, 0);
    takes(&s, QUOTA_BYTES, 1);
    takes(&s, QUOTA_BYTES, 1);
    assert_int_equal(s.n_warnings, 1);
    quota_charge_sub(&s.charge, QUOTA_BYTES, 10); // to 71; an eighth below is 70
    takes(&s, QUOTA_BYTES, 10);
    assert_int_equal(s.n_warnings, 1);
    quota_charge_sub(&s.charge, QUOTA_BYTES, 11);
    takes(&s, QUOTA_BYTES, 10);
    assert_int_equal(s.n_warnings, 2);
    scene_deinit(&s);
}

static void a_mark_that_could_not_be_told_is_told_at_the_next_charge(void **state)
{
    struct scene s;

    (void)state;
    scene_init(&s, 1000, 80);
    quota_on_warning(s.q, on_warning, &s);
    s.is_told = false;
    takes(&s, QUOTA_BYTES, 80);
    s.is_told = true;
    takes(&s, QUOTA_BYTES, 1);
    takes(&s, QUOTA_BYTES, 1);
    assert_int_equal(s.n_warnings, 2);
    scene_deinit(&s);
}

// An eighth of so small a mark is nothing: use has to fall below the mark itself.
static void a_mark_of_a_few_bytes_is_told_again_only_after_use_was_below_it(void **state)
{
    struct scene s;

    (void)state;
    scene_init(&s, 1000, 4);
    quota_on_warning(s.q, on_warning, &s);
    takes(&s, QUOTA_BYTES, 5);
    quota_charge_sub(&s.charge, QUOTA_BYTES, 1);
    takes(&s, QUOTA_BYTES, 1);
    assert_int_equal(s.n_warnings, 1);
    quota_charge_sub(&s.charge, QUOTA_BYTES, 2);
    takes(&s, QUOTA_BYTES, 1);
    assert_int_equal(s.n_warnings, 2);
    scene_deinit(&s);
}

static void a_mark_passed_while_nobody_listens_is_not_told_later(void **state)
{
    struct scene s;

    (void)state;
    scene_init(&s, 1000, 80);
    takes(&s, QUOTA_BYTES, 80);
    quota_on_warning(s.q, on_warning, &s);
    takes(&s, QUOTA_BYTES, 1);
    assert_int_equal(s.n_warnings, 0);
    scene_deinit(&s);
}

static void a_mark_that_is_raised_above_the_use_is_told_when_it_is_reached(void **state)
{
    struct quota_limits limits;
    struct scene s;

    (void)state;
    scene_init(&s, 1000, 80);
    quota_on_warning(s.q, on_warning, &s);
    takes(&s, QUOTA_BYTES, 90);
    limits = *quota_account_limits(s.account);
    limits.warn_bytes = 90;
    quota_account_set(s.account, "user:alice", &limits);
    takes(&s, QUOTA_BYTES, 1);
    assert_int_equal(s.n_warnings, 1);
    limits.warn_bytes = 100;
    quota_account_set(s.account, "user:alice", &limits);
    takes(&s, QUOTA_BYTES, 8);
    assert_int_equal(s.n_warnings, 1);
    takes(&s, QUOTA_BYTES, 1);
    assert_int_equal(s.n_warnings, 2);
    scene_deinit(&s);
}

static void an_early_charge_leaves_a_quarter_of_each_limit(void **state)
{
    struct scene s;

    (void)state;
    scene_init(&s, 100, QUOTA_UNLIMITED);
    // More than three quarters at once.
    assert_int_equal(quota_charge_add_early(&s.charge, QUOTA_BYTES, 76, 76), -EXFULL);
    assert_int_equal(quota_charge_add_early(&s.charge, QUOTA_BYTES, 70, 70), 0);
    assert_int_equal(quota_charge_add_early(&s.charge, QUOTA_BYTES, 6, 76), -EXFULL); // with what is there
    assert_int_equal(quota_charge_add_early(&s.charge, QUOTA_BYTES, 5, 75), 0);
    assert_int_equal(quota_account_used(s.account, QUOTA_BYTES), 75);
    scene_deinit(&s);
    scene_init(&s, QUOTA_UNLIMITED, QUOTA_UNLIMITED);
    assert_int_equal(quota_charge_add_early(&s.charge, QUOTA_BYTES, 1, 751), -EXFULL); // region_bytes
    assert_int_equal(quota_charge_add_early(&s.charge, QUOTA_BYTES, 1, 750), 0);
    scene_deinit(&s);
    scene_init(&s, QUOTA_UNLIMITED, QUOTA_UNLIMITED); // 8 regions
    assert_int_equal(quota_charge_add_early(&s.charge, QUOTA_REGIONS, 6, 1), 0);
    assert_int_equal(quota_charge_add_early(&s.charge, QUOTA_REGIONS, 1, 1), -EXFULL);
    assert_int_equal(quota_account_used(s.account, QUOTA_REGIONS), 6);
    scene_deinit(&s);
}

static void a_group_that_is_named_twice_counts_once(void **state)
{
    struct scene s;
    struct quota_account *groups[3];

    (void)state;
    scene_init(&s, 100, QUOTA_UNLIMITED);
    groups[0] = groups[2] = quota_group(s.q, 50);
    groups[1] = quota_group(s.q, 51);
    assert_int_equal(quota_user_set_groups(s.user, groups, 3), 0);
    takes(&s, QUOTA_BYTES, 10);
    assert_int_equal(quota_account_used(groups[0], QUOTA_BYTES), 10);
    assert_int_equal(quota_account_used(groups[1], QUOTA_BYTES), 10);
    assert_ptr_equal(quota_find_group(s.q, 50), groups[0]);
    scene_deinit(&s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_refusal_is_news_once_and_again_when_an_eighth_is_free),
        TEST(each_resource_has_news_of_its_own),
        TEST(a_refusal_that_no_account_gave_is_no_news),
        TEST(other_limits_make_a_refusal_news_again_and_the_same_ones_do_not),
        TEST(the_mark_is_told_once_and_again_after_use_fell_an_eighth_below_it),
        TEST(a_mark_that_could_not_be_told_is_told_at_the_next_charge),
        TEST(a_mark_of_a_few_bytes_is_told_again_only_after_use_was_below_it),
        TEST(a_mark_passed_while_nobody_listens_is_not_told_later),
        TEST(a_mark_that_is_raised_above_the_use_is_told_when_it_is_reached),
        TEST(an_early_charge_leaves_a_quarter_of_each_limit),
        TEST(a_group_that_is_named_twice_counts_once),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
