// Numbers that limit nothing: refusals that were told, things counted per account, the sums of a disk; and the accounts
// of a kind, in a row.
#include "tests/lib/harness.h"

#include "daemon/quota/charge.h"
#include "daemon/quota/quota.h"

static void limit(struct quota_account *a, const char *label, uint64_t bytes)
{
    const struct quota_limits limits = {.max = {bytes, QUOTA_UNLIMITED, QUOTA_UNLIMITED},
                                        .region_bytes = QUOTA_UNLIMITED,
                                        .warn_bytes = QUOTA_UNLIMITED};

    quota_account_set(a, label, &limits);
}

static void a_charge_counts_in_its_tally_and_takes_along_what_it_holds(void **state)
{
    struct quota *q = quota_new();
    struct quota_user *user = quota_user_ref(q, 1000);
    struct quota_tally first = {{0}}, second = {{0}};
    struct quota_charge c;

    (void)state;
    quota_charge_init(&c, user);
    assert_int_equal(quota_charge_force(&c, QUOTA_BYTES, 30), 0);
    quota_charge_set_tally(&c, &first);
    assert_int_equal(first.used[QUOTA_BYTES], 30);
    assert_int_equal(quota_charge_force(&c, QUOTA_BYTES, 10), 0);
    assert_int_equal(quota_charge_force(&c, QUOTA_REGIONS, 1), 0);
    quota_charge_sub(&c, QUOTA_BYTES, 5);
    assert_int_equal(first.used[QUOTA_BYTES], 35);
    quota_charge_set_tally(&c, &second);
    assert_int_equal(first.used[QUOTA_BYTES], 0);
    assert_int_equal(first.used[QUOTA_REGIONS], 0);
    assert_int_equal(second.used[QUOTA_BYTES], 35);
    assert_int_equal(second.used[QUOTA_REGIONS], 1);
    quota_charge_set_tally(&c, NULL);
    assert_int_equal(second.used[QUOTA_BYTES], 0);
    assert_int_equal(second.used[QUOTA_REGIONS], 0);
    assert_int_equal(quota_account_used(quota_total(q), QUOTA_BYTES), 35);
    quota_charge_set_tally(&c, &first);
    quota_charge_deinit(&c);
    assert_int_equal(first.used[QUOTA_BYTES], 0);
    assert_int_equal(first.used[QUOTA_REGIONS], 0);
    quota_user_unref(user);
    quota_free(q);
}

static void a_refusal_counts_in_its_account_and_in_the_sum_of_the_kind_which_outlives_the_account(void **state)
{
    struct quota *q = quota_new();
    struct quota_user *user = quota_user_ref(q, 1000);
    struct quota_account *account = quota_user_account(user);
    struct quota_refusal refusal, of_no_account = {.limit_name = "disk space"};
    struct quota_charge c;

    (void)state;
    limit(account, "user:alice", 10);
    quota_charge_init(&c, user);
    assert_int_equal(quota_charge_add(&c, QUOTA_BYTES, 11, &refusal), -EDQUOT);
    assert_int_equal(quota_account_refusals(account, QUOTA_LIMIT_BYTES), 0); // before the client is told
    quota_count_refusal(&refusal);
    quota_count_refusal(&refusal);
    quota_count_refusal(&of_no_account);
    assert_int_equal(quota_account_refusals(account, QUOTA_LIMIT_BYTES), 2);
    assert_int_equal(quota_account_refusals(account, QUOTA_LIMIT_REGIONS), 0);
    assert_int_equal(quota_account_refusals(quota_total(q), QUOTA_LIMIT_BYTES), 0);
    quota_charge_deinit(&c);
    quota_user_unref(user);
    assert_null(quota_find_user(q, 1000));
    assert_int_equal(quota_refusals(q, QUOTA_KIND_USER, QUOTA_LIMIT_BYTES), 2);
    assert_int_equal(quota_refusals(q, QUOTA_KIND_TOTAL, QUOTA_LIMIT_BYTES), 0);
    quota_free(q);
}

static void things_are_counted_in_each_account_of_their_charges_and_anew_each_time(void **state)
{
    struct quota *q = quota_new();
    struct quota_user *alice = quota_user_ref(q, 1000), *bob = quota_user_ref(q, 1001);
    struct quota_account *group = quota_group(q, 50), *slice = quota_cgroup(q, "/batch.slice");
    struct quota_charge hers, his, nobodys = {0};
    struct quota_job *job;
    bool is_new;

    (void)state;
    assert_int_equal(quota_user_set_groups(alice, &group, 1), 0);
    job = quota_job_ref(q, "/batch.slice/a", &is_new);
    assert_int_equal(quota_job_set_accounts(job, &slice, 1), 0);
    quota_charge_init(&hers, alice);
    quota_charge_init(&his, bob);
    quota_charge_set_job(&his, job);
    for (int i = 0; i < 2; i++) {
        quota_begin_count(q);
        quota_count_charge(&hers);
        quota_count_charge(&hers);
        quota_count_charge(&his);
        quota_count_charge(&nobodys);
        assert_int_equal(quota_account_counted(quota_total(q)), 3);
        assert_int_equal(quota_account_counted(group), 2);
        assert_int_equal(quota_account_counted(quota_user_account(bob)), 1);
        assert_int_equal(quota_account_counted(slice), 1);
        assert_int_equal(quota_account_counted(quota_unlisted(q)), 0);
    }
    quota_begin_count(q);
    assert_int_equal(quota_account_counted(quota_total(q)), 0);
    quota_charge_deinit(&his);
    quota_charge_deinit(&hers);
    quota_job_unref(job);
    quota_user_unref(bob);
    quota_user_unref(alice);
    quota_free(q);
}

// Goes through all accounts of KIND, which have to be those of EXPECTED in that order.
static void expect_in_a_row(struct quota *q, enum quota_kind kind, struct quota_account *const *expected, size_t n)
{
    struct quota_account *a = NULL;

    for (size_t i = 0; i < n; i++) {
        a = quota_next_account_of(q, kind, a);
        assert_ptr_equal(a, expected[i]);
        assert_int_equal(quota_account_kind(a), kind);
        assert_int_equal(quota_account_is_of_cgroup(a), kind == QUOTA_KIND_CGROUP);
    }
    assert_null(quota_next_account_of(q, kind, a));
}

static void the_accounts_of_a_kind_come_one_after_the_other(void **state)
{
    static const enum quota_kind kinds[] = {QUOTA_KIND_USER, QUOTA_KIND_GROUP, QUOTA_KIND_CGROUP};
    struct quota *q = quota_new();
    struct quota_user *second, *first;

    (void)state;
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++)
        expect_in_a_row(q, kinds[i], NULL, 0);
    second = quota_user_ref(q, 1001);
    first = quota_user_ref(q, 1000);
    expect_in_a_row(q, QUOTA_KIND_USER,
                    (struct quota_account *const[]){quota_user_account(first), quota_user_account(second)}, 2);
    expect_in_a_row(q, QUOTA_KIND_GROUP,
                    (struct quota_account *const[]){quota_group(q, 50), quota_group(q, 60), quota_group(q, 70)}, 3);
    assert_ptr_equal(quota_group(q, 60), quota_find_group(q, 60)); // it is there already
    expect_in_a_row(q, QUOTA_KIND_CGROUP, (struct quota_account *const[]){quota_cgroup(q, "/a"), quota_cgroup(q, "/b")},
                    2);
    quota_user_unref(first);
    quota_user_unref(second);
    quota_free(q);
}

static void groups_that_are_named_no_more_have_no_limits_and_are_not_found(void **state)
{
    const struct quota_limits limits = {
        .max = {10, 10, 10}, .region_bytes = 10, .warn_bytes = 10, .soft = {.is_set = true, .bytes = 5, .grace = 60}};
    struct quota *q = quota_new();
    struct quota_account *kept = quota_group(q, 60), *group = quota_group(q, 50), *slice = quota_cgroup(q, "/a");

    (void)state;
    quota_account_set(kept, "group:kept", &limits);
    quota_account_set(group, "group:gone", &limits);
    quota_account_set(slice, "cgroup:/a", &limits);
    quota_begin_limits(q);
    assert_ptr_equal(quota_group(q, 60), kept);
    quota_end_limits(q);
    expect_in_a_row(q, QUOTA_KIND_GROUP, &kept, 1);
    expect_in_a_row(q, QUOTA_KIND_CGROUP, NULL, 0);
    assert_null(quota_find_group(q, 50));
    assert_null(quota_find_cgroup(q, "/a"));
    assert_int_equal(quota_account_limits(kept)->max[QUOTA_BYTES], 10);
    for (size_t i = 0; i < 2; i++) {
        const struct quota_limits *l = quota_account_limits(i ? slice : group);

        assert_int_equal(l->max[QUOTA_BYTES], QUOTA_UNLIMITED);
        assert_false(l->soft.is_set);
    }
    assert_ptr_equal(quota_group(q, 50), group); // named anew
    assert_ptr_equal(quota_cgroup(q, "/a"), slice);
    expect_in_a_row(q, QUOTA_KIND_GROUP, (struct quota_account *const[]){group, kept}, 2);
    expect_in_a_row(q, QUOTA_KIND_CGROUP, &slice, 1);
    quota_free(q);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_charge_counts_in_its_tally_and_takes_along_what_it_holds),
        TEST(a_refusal_counts_in_its_account_and_in_the_sum_of_the_kind_which_outlives_the_account),
        TEST(things_are_counted_in_each_account_of_their_charges_and_anew_each_time),
        TEST(the_accounts_of_a_kind_come_one_after_the_other),
        TEST(groups_that_are_named_no_more_have_no_limits_and_are_not_found),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
