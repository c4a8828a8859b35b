// Soft limits: above one for a while, then no growth.
#include "tests/lib/harness.h"

#include "daemon/quota/charge.h"
#include "daemon/quota/quota.h"
#include "daemon/quota/soft.h"

enum { BEGIN = 1000, GRACE = 60 };

struct scene {
    struct quota *q;
    struct quota_user *user;
    struct quota_account *account;
    struct quota_charge charge;
    struct quota_refusal refusal;
    unsigned n_told;
    bool is_deaf;
    struct quota_over over[8];
    unsigned n_over;
};

static void limit(struct scene *s, uint64_t soft, uint64_t grace)
{
    const struct quota_limits limits = {.max = {100, QUOTA_UNLIMITED, QUOTA_UNLIMITED},
                                        .region_bytes = QUOTA_UNLIMITED,
                                        .warn_bytes = QUOTA_UNLIMITED,
                                        .soft = {.is_set = true, .bytes = soft, .grace = grace}};

    quota_account_set(s->account, "user:alice", &limits);
}

static bool on_mark(void *data, struct quota_account *a, enum quota_mark mark)
{
    struct scene *s = data;

    assert_ptr_equal(a, s->account);
    assert_int_equal(mark, QUOTA_MARK_SOFT);
    s->n_told += !s->is_deaf;
    return !s->is_deaf;
}

static void scene_init(struct scene *s)
{
    memset(s, 0, sizeof *s);
    s->q = quota_new();
    quota_set_time(s->q, BEGIN);
    s->user = quota_user_ref(s->q, 1000);
    s->account = quota_user_account(s->user);
    limit(s, 50, GRACE);
    quota_charge_init(&s->charge, s->user);
    quota_on_warning(s->q, on_mark, s);
}

static void scene_deinit(struct scene *s)
{
    quota_charge_deinit(&s->charge);
    quota_user_unref(s->user);
    quota_free(s->q);
}

static int take(struct scene *s, uint64_t bytes)
{
    int r = quota_charge_add(&s->charge, QUOTA_BYTES, bytes, &s->refusal);

    if (r == 0)
        quota_charge_tell(&s->charge);
    return r;
}

static void above_the_soft_limit_growth_is_allowed_for_the_grace_period_only(void **state)
{
    struct scene s;

    (void)state;
    scene_init(&s);
    assert_int_equal(take(&s, 50), 0);
    assert_int_equal(quota_account_grace_ends(s.account), 0);
    assert_int_equal(s.n_told, 0);
    assert_int_equal(take(&s, 1), 0);
    assert_int_equal(quota_account_grace_ends(s.account), BEGIN + GRACE);
    quota_set_time(s.q, BEGIN + GRACE - 1);
    assert_int_equal(take(&s, 9), 0); // and the period goes on
    assert_int_equal(quota_account_left(s.account, QUOTA_BYTES), 40);
    quota_set_time(s.q, BEGIN + GRACE);
    assert_int_equal(take(&s, 1), -EDQUOT);
    assert_string_equal(s.refusal.limit_name, "user:alice soft_bytes");
    assert_int_equal(s.refusal.limit, 50);
    assert_int_equal(s.refusal.used, 60);
    assert_int_equal(s.refusal.asked, 1);
    assert_false(s.refusal.of_one_region);
    assert_int_equal(quota_account_left(s.account, QUOTA_BYTES), 0);
    assert_int_equal(take(&s, 0), 0);                                               // takes nothing
    assert_int_equal(quota_charge_add(&s.charge, QUOTA_REGIONS, 1, &s.refusal), 0); // is no byte
    quota_charge_sub(&s.charge, QUOTA_BYTES, 9);
    assert_int_equal(take(&s, 1), -EDQUOT); // 51 are still above
    quota_charge_sub(&s.charge, QUOTA_BYTES, 1);
    assert_int_equal(quota_account_grace_ends(s.account), 0);
    assert_int_equal(take(&s, 1), 0); // a new period
    assert_int_equal(quota_account_grace_ends(s.account), BEGIN + GRACE + GRACE);
    assert_int_equal(take(&s, 50), -EDQUOT); // the hard limit holds
    assert_string_equal(s.refusal.limit_name, "user:alice bytes");
    scene_deinit(&s);
}

static void a_clock_that_is_set_moves_the_grace_period(void **state)
{
    struct scene s;
    uint64_t changes;

    (void)state;
    scene_init(&s);
    assert_int_equal(take(&s, 51), 0);
    changes = quota_over_changes(s.q);
    quota_set_time(s.q, BEGIN + 100000);
    quota_move_time(s.q, 100000);
    assert_int_equal(quota_account_grace_ends(s.account), BEGIN + 100000 + GRACE);
    assert_int_not_equal(quota_over_changes(s.q), changes);
    assert_int_equal(take(&s, 1), 0);
    quota_set_time(s.q, BEGIN + 100000 + GRACE);
    assert_int_equal(take(&s, 1), -EDQUOT);
    quota_set_time(s.q, BEGIN + GRACE - 1);
    quota_move_time(s.q, -100000);
    assert_int_equal(quota_account_grace_ends(s.account), BEGIN + GRACE);
    assert_int_equal(take(&s, 1), 0);
    quota_set_time(s.q, 1);
    quota_move_time(s.q, -BEGIN - 1); // to before 1970
    assert_int_equal(quota_account_grace_ends(s.account), GRACE);
    scene_deinit(&s);
}

static void it_is_told_once_each_time(void **state)
{
    struct scene s;

    (void)state;
    scene_init(&s);
    s.is_deaf = true;
    assert_int_equal(take(&s, 51), 0);
    s.is_deaf = false;
    assert_int_equal(take(&s, 1), 0);
    assert_int_equal(take(&s, 1), 0);
    assert_int_equal(s.n_told, 1);
    quota_charge_sub(&s.charge, QUOTA_BYTES, 3);
    assert_int_equal(take(&s, 3), 0);
    assert_int_equal(s.n_told, 2);
    scene_deinit(&s);
}

static void a_grace_of_nothing_and_one_without_end(void **state)
{
    struct scene s;

    (void)state;
    scene_init(&s);
    limit(&s, 50, 0);
    assert_int_equal(take(&s, 60), 0);
    assert_int_equal(take(&s, 1), -EDQUOT);
    limit(&s, 50, QUOTA_UNLIMITED);
    assert_int_equal(quota_account_grace_ends(s.account), UINT64_MAX);
    quota_set_time(s.q, BEGIN + 1000000000);
    assert_int_equal(take(&s, 1), 0);
    scene_deinit(&s);
}

static void a_limit_that_changes_begins_or_ends_the_period(void **state)
{
    struct scene s;

    (void)state;
    scene_init(&s);
    assert_int_equal(take(&s, 40), 0);
    quota_set_time(s.q, BEGIN + 10);
    limit(&s, 30, GRACE);
    assert_int_equal(quota_account_grace_ends(s.account), BEGIN + 10 + GRACE);
    quota_set_time(s.q, BEGIN + 20);
    limit(&s, 20, GRACE + 5); // still above
    assert_int_equal(quota_account_grace_ends(s.account), BEGIN + 10 + GRACE + 5);
    limit(&s, 40, GRACE);
    assert_int_equal(quota_account_grace_ends(s.account), 0);
    scene_deinit(&s);
}

static void early_growth_stays_below_three_quarters_of_it(void **state)
{
    struct scene s;

    (void)state;
    scene_init(&s);
    limit(&s, 40, GRACE);
    assert_int_equal(quota_charge_add_early(&s.charge, QUOTA_BYTES, 31, 31), -EXFULL);
    assert_int_equal(quota_charge_add_early(&s.charge, QUOTA_BYTES, 30, 30), 0);
    assert_int_equal(quota_charge_add_early(&s.charge, QUOTA_REGIONS, 50, 30), 0);
    limit(&s, 200, GRACE); // above the hard one, of which it is three quarters then
    assert_int_equal(quota_charge_add_early(&s.charge, QUOTA_BYTES, 46, 46), -EXFULL);
    assert_int_equal(quota_charge_add_early(&s.charge, QUOTA_BYTES, 45, 45), 0);
    scene_deinit(&s);
}

static void remember(void *data, const struct quota_over *over)
{
    struct scene *s = data;

    assert_true(s->n_over < 8);
    s->over[s->n_over++] = *over;
}

// All kinds of accounts are above theirs; a daemon that starts anew is told since when.
static void what_was_noted_holds_after_a_restart(void **state)
{
    static const char *const keys[] = {"total", "unlisted", "user:+1000", "group:+50", "cgroup:/a b"};
    const struct quota_limits limits = {.max = {QUOTA_UNLIMITED, QUOTA_UNLIMITED, QUOTA_UNLIMITED},
                                        .region_bytes = QUOTA_UNLIMITED,
                                        .warn_bytes = QUOTA_UNLIMITED,
                                        .soft = {.is_set = true, .bytes = 5, .grace = GRACE}};
    struct quota_account *groups[2], *cgroup;
    struct quota_job *job;
    struct scene s;
    bool is_new;

    (void)state;
    scene_init(&s);
    quota_on_warning(s.q, NULL, NULL);
    groups[0] = quota_group(s.q, 50);
    groups[1] = quota_unlisted(s.q);
    cgroup = quota_cgroup(s.q, "/a b");
    job = quota_job_ref(s.q, "/a b/c", &is_new);
    assert_int_equal(quota_job_set_accounts(job, &cgroup, 1), 0);
    quota_charge_set_job(&s.charge, job);
    assert_int_equal(quota_user_set_groups(s.user, groups, 2), 0);
    struct quota_account *const all[] = {quota_total(s.q), groups[1], s.account, groups[0], cgroup};
    for (size_t i = 0; i < 5; i++)
        quota_account_set(all[i], keys[i], &limits);
    quota_each_over(s.q, remember, &s);
    assert_int_equal(s.n_over, 0);
    assert_int_equal(take(&s, 6), 0);
    assert_int_equal(quota_over_changes(s.q), 5);
    quota_each_over(s.q, remember, &s);
    assert_int_equal(s.n_over, 5);
    for (size_t i = 0; i < 5; i++) {
        struct quota_over earlier = {.since = BEGIN - 10}, later = {.since = BEGIN + 10};

        assert_string_equal(s.over[i].key, keys[i]);
        assert_int_equal(s.over[i].since, BEGIN);
        strcpy(earlier.key, keys[i]);
        strcpy(later.key, keys[i]);
        assert_true(quota_note_over(s.q, &later)); // no file makes the period longer
        assert_int_equal(quota_over_changes(s.q), 5 + i);
        assert_int_equal(quota_account_grace_ends(all[i]), BEGIN + GRACE);
        assert_true(quota_note_over(s.q, &earlier));
        assert_int_equal(quota_over_changes(s.q), 6 + i);
        assert_int_equal(quota_account_grace_ends(all[i]), BEGIN - 10 + GRACE);
    }
    for (size_t i = 0; i < 4; i++) {
        static const char *const strange[] = {"user:+1001", "group:+51", "cgroup:/a", "nobody"};
        struct quota_over over = {.since = 1};

        strcpy(over.key, strange[i]);
        assert_false(quota_note_over(s.q, &over));
    }
    quota_charge_sub(&s.charge, QUOTA_BYTES, 1); // nobody is above any more
    assert_false(quota_note_over(s.q, &s.over[0]));
    assert_int_equal(quota_account_grace_ends(quota_total(s.q)), 0);
    // Charges that move take the period along to where they go, or leave it.
    assert_int_equal(take(&s, 1), 0);
    assert_int_equal(quota_user_set_groups(s.user, groups, 1), 0);
    assert_int_equal(quota_account_grace_ends(groups[1]), 0);
    assert_int_equal(quota_job_set_accounts(job, NULL, 0), 0);
    assert_int_equal(quota_account_grace_ends(cgroup), 0);
    quota_job_unref(job);
    scene_deinit(&s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(above_the_soft_limit_growth_is_allowed_for_the_grace_period_only),
        TEST(a_clock_that_is_set_moves_the_grace_period),
        TEST(it_is_told_once_each_time),
        TEST(a_grace_of_nothing_and_one_without_end),
        TEST(a_limit_that_changes_begins_or_ends_the_period),
        TEST(early_growth_stays_below_three_quarters_of_it),
        TEST(what_was_noted_holds_after_a_restart),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
