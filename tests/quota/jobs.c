// Jobs: charges that count in control groups too.
#include "tests/lib/harness.h"

#include "daemon/quota/charge.h"
#include "daemon/quota/quota.h"

// The user alice with a job in /batch.slice/a, which counts in /batch.slice and in /.
struct batch {
    struct quota *q;
    struct quota_user *alice;
    struct quota_account *slice, *root;
    struct quota_job *job;
    struct quota_charge charge;
};

static void limit(struct quota_account *a, const char *label, uint64_t bytes)
{
    const struct quota_limits limits = {.max = {bytes, QUOTA_UNLIMITED, QUOTA_UNLIMITED},
                                        .region_bytes = QUOTA_UNLIMITED,
                                        .warn_bytes = QUOTA_UNLIMITED};

    quota_account_set(a, label, &limits);
}

static void batch_init(struct batch *b)
{
    bool is_new;

    b->q = quota_new();
    b->alice = quota_user_ref(b->q, 1000);
    b->slice = quota_cgroup(b->q, "/batch.slice");
    b->root = quota_cgroup(b->q, "/");
    b->job = quota_job_ref(b->q, "/batch.slice/a", &is_new);
    assert_true(is_new);
    struct quota_account *const accounts[] = {b->slice, b->root};
    assert_int_equal(quota_job_set_accounts(b->job, accounts, 2), 0);
    limit(b->slice, "cgroup:/batch.slice", 100);
    quota_charge_init(&b->charge, b->alice);
    quota_charge_set_job(&b->charge, b->job);
}

static void batch_deinit(struct batch *b)
{
    quota_charge_deinit(&b->charge);
    quota_job_unref(b->job);
    assert_null(quota_job_next(b->q, NULL));
    quota_user_unref(b->alice);
    quota_free(b->q);
}

static void assert_used(const struct batch *b, uint64_t bytes)
{
    assert_int_equal(quota_account_used(b->slice, QUOTA_BYTES), bytes);
    assert_int_equal(quota_account_used(b->root, QUOTA_BYTES), bytes);
    assert_int_equal(quota_account_used(quota_user_account(b->alice), QUOTA_BYTES), bytes);
    assert_int_equal(quota_account_used(quota_total(b->q), QUOTA_BYTES), bytes);
}

static void a_charge_counts_in_the_control_groups_and_is_refused_by_them(void **state)
{
    struct quota_refusal refusal;
    struct batch b;

    (void)state;
    batch_init(&b);
    assert_string_equal(quota_job_path(b.job), "/batch.slice/a");
    assert_true(quota_account_is_of_cgroup(b.slice));
    assert_false(quota_account_is_of_cgroup(quota_total(b.q)));
    assert_true(quota_charge_counts_in(&b.charge, b.slice));
    assert_true(quota_charge_counts_in(&b.charge, quota_total(b.q)));
    assert_false(quota_charge_counts_in(&b.charge, quota_unlisted(b.q)));
    assert_int_equal(quota_charge_add(&b.charge, QUOTA_BYTES, 60, &refusal), 0);
    assert_used(&b, 60);
    assert_int_equal(quota_charge_left(&b.charge, QUOTA_BYTES), 40);
    assert_int_equal(quota_charge_add(&b.charge, QUOTA_BYTES, 41, &refusal), -EDQUOT);
    assert_string_equal(refusal.limit_name, "cgroup:/batch.slice bytes");
    assert_int_equal(refusal.limit, 100);
    assert_int_equal(refusal.used, 60);
    assert_used(&b, 60);
    assert_int_equal(quota_charge_add_early(&b.charge, QUOTA_BYTES, 16, 16), -EXFULL);
    assert_int_equal(quota_charge_add_early(&b.charge, QUOTA_BYTES, 15, 15), 0);
    quota_charge_sub(&b.charge, QUOTA_BYTES, 70);
    assert_used(&b, 5);
    batch_deinit(&b);
}

static void another_user_of_the_same_job_meets_the_same_limit(void **state)
{
    struct quota_refusal refusal;
    struct quota_charge hers;
    struct quota_user *carol;
    struct batch b;

    (void)state;
    batch_init(&b);
    carol = quota_user_ref(b.q, 1001);
    quota_charge_init(&hers, carol);
    quota_charge_set_job(&hers, b.job);
    assert_int_equal(quota_charge_add(&b.charge, QUOTA_BYTES, 60, &refusal), 0);
    assert_int_equal(quota_charge_add(&hers, QUOTA_BYTES, 41, &refusal), -EDQUOT);
    assert_int_equal(quota_charge_add(&hers, QUOTA_BYTES, 40, &refusal), 0);
    assert_int_equal(quota_account_used(b.slice, QUOTA_BYTES), 100);
    quota_charge_deinit(&hers);
    assert_used(&b, 60);
    quota_user_unref(carol);
    batch_deinit(&b);
}

static void present_charges_move_when_the_accounts_change(void **state)
{
    struct quota_refusal refusal;
    struct batch b;

    (void)state;
    batch_init(&b);
    assert_int_equal(quota_charge_add(&b.charge, QUOTA_BYTES, 60, &refusal), 0);
    assert_int_equal(quota_job_set_accounts(b.job, &b.root, 1), 0);
    assert_int_equal(quota_account_used(b.slice, QUOTA_BYTES), 0);
    assert_int_equal(quota_account_used(b.root, QUOTA_BYTES), 60);
    limit(b.slice, "cgroup:/batch.slice", 10);
    assert_int_equal(quota_job_set_accounts(b.job, &b.slice, 1), 0); // whatever the limit there
    assert_int_equal(quota_account_used(b.slice, QUOTA_BYTES), 60);
    assert_int_equal(quota_charge_left(&b.charge, QUOTA_BYTES), 0);
    assert_true(quota_job_is_counted(b.job));
    assert_int_equal(quota_job_set_accounts(b.job, NULL, 0), 0);
    assert_false(quota_job_is_counted(b.job));
    assert_false(quota_job_is_counted(NULL));
    assert_int_equal(quota_charge_add(&b.charge, QUOTA_BYTES, 1000, &refusal), 0);
    batch_deinit(&b);
}

static void the_size_of_a_region_is_limited_too(void **state)
{
    const struct quota_limits limits = {
        .max = {QUOTA_UNLIMITED, QUOTA_UNLIMITED, QUOTA_UNLIMITED}, .region_bytes = 50, .warn_bytes = QUOTA_UNLIMITED};
    struct quota_refusal refusal;
    struct batch b;

    (void)state;
    batch_init(&b);
    quota_account_set(b.slice, "cgroup:/batch.slice", &limits);
    assert_int_equal(quota_check_region_size(&b.charge, 10, 50, &refusal), 0);
    assert_int_equal(quota_check_region_size(&b.charge, 10, 51, &refusal), -EDQUOT);
    assert_string_equal(refusal.limit_name, "cgroup:/batch.slice region_bytes");
    assert_true(refusal.of_one_region);
    batch_deinit(&b);
}

static void jobs_are_found_by_their_paths_and_go_with_their_last_reference(void **state)
{
    struct quota_job *same, *before;
    struct batch b;
    bool is_new;

    (void)state;
    batch_init(&b);
    same = quota_job_ref(b.q, "/batch.slice/a", &is_new);
    assert_ptr_equal(same, b.job);
    assert_false(is_new);
    before = quota_job_ref(b.q, "/a", &is_new);
    assert_true(is_new);
    assert_ptr_equal(quota_job_next(b.q, NULL), before);
    assert_ptr_equal(quota_job_next(b.q, before), b.job);
    assert_null(quota_job_next(b.q, b.job));
    quota_job_unref(before);
    quota_job_unref(same);
    assert_ptr_equal(quota_job_next(b.q, NULL), b.job);
    assert_ptr_equal(quota_cgroup(b.q, "/batch.slice"), b.slice);
    assert_ptr_equal(quota_find_cgroup(b.q, "/batch.slice"), b.slice);
    assert_null(quota_find_cgroup(b.q, "/batch"));
    quota_charge_set_job(&b.charge, NULL);
    assert_false(quota_charge_counts_in(&b.charge, b.slice));
    quota_job_unref(NULL);
    batch_deinit(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_charge_counts_in_the_control_groups_and_is_refused_by_them),
        TEST(another_user_of_the_same_job_meets_the_same_limit),
        TEST(present_charges_move_when_the_accounts_change),
        TEST(the_size_of_a_region_is_limited_too),
        TEST(jobs_are_found_by_their_paths_and_go_with_their_last_reference),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
