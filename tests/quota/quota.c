// The accounts: limits, warnings, groups, and the exactness of charge and release.
#include "tests/lib/harness.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/quota/charge.h"
#include "daemon/quota/quota.h"

static struct quota_limits limits_of(uint64_t bytes, uint64_t regions, uint64_t connections)
{
    return (struct quota_limits){
        .max = {bytes, regions, connections},
        .region_bytes = QUOTA_UNLIMITED,
        .warn_bytes = QUOTA_UNLIMITED,
    };
}

static void set(struct quota_account *a, const char *label, uint64_t bytes)
{
    struct quota_limits limits = limits_of(bytes, QUOTA_UNLIMITED, QUOTA_UNLIMITED);

    quota_account_set(a, label, &limits);
}

// The user alice, who is a member of a configured group, and everything that was made for her.
struct alice {
    struct quota *q;
    struct quota_user *user;
    struct quota_account *group;
    struct quota_charge charge;
};

static void alice_init(struct alice *a, uint64_t own, uint64_t group, uint64_t total)
{
    a->q = quota_new();
    a->user = quota_user_ref(a->q, 1000);
    a->group = quota_group(a->q, 50);
    assert_int_equal(quota_user_set_groups(a->user, &a->group, 1), 0);
    set(quota_user_account(a->user), "user:alice", own);
    set(a->group, "group:analysts", group);
    set(quota_total(a->q), "total", total);
    quota_charge_init(&a->charge, a->user);
}

static void alice_deinit(struct alice *a)
{
    quota_charge_deinit(&a->charge);
    quota_user_unref(a->user);
    quota_free(a->q);
}

static void assert_used(const struct alice *a, uint64_t bytes)
{
    assert_int_equal(quota_account_used(quota_user_account(a->user), QUOTA_BYTES), bytes);
    assert_int_equal(quota_account_used(a->group, QUOTA_BYTES), bytes);
    assert_int_equal(quota_account_used(quota_total(a->q), QUOTA_BYTES), bytes);
    assert_int_equal(a->charge.amount[QUOTA_BYTES], bytes);
}

static void a_charge_counts_in_every_account_and_its_release_takes_it_back(void **state)
{
    struct alice a;
    struct quota_refusal refusal;

    (void)state;
    alice_init(&a, 100, 200, 300);
    assert_int_equal(quota_charge_add(&a.charge, QUOTA_BYTES, 70, &refusal), 0);
    assert_used(&a, 70);
    quota_charge_sub(&a.charge, QUOTA_BYTES, 30);
    assert_used(&a, 40);
    quota_charge_deinit(&a.charge);
    assert_used(&a, 0);
    quota_charge_deinit(&a.charge);
    alice_deinit(&a);
}

static void assert_refused(struct alice *a, uint64_t amount, const char *name, uint64_t limit)
{
    struct quota_refusal refusal = {0};
    uint64_t before = a->charge.amount[QUOTA_BYTES];

    assert_int_equal(quota_charge_add(&a->charge, QUOTA_BYTES, amount, &refusal), -EDQUOT);
    assert_string_equal(refusal.limit_name, name);
    assert_int_equal(refusal.limit, limit);
    assert_int_equal(refusal.used, before);
    assert_int_equal(refusal.asked, amount);
    assert_used(a, before);
}

static void a_refusal_names_the_limit_and_changes_nothing(void **state)
{
    static const struct {
        uint64_t own, group, total;
        const char *name;
    } cases[] = {
        {100, 500, 500, "user:alice bytes"},
        {500, 100, 500, "group:analysts bytes"},
        {500, 500, 100, "total bytes"},
        {100, 100, 100, "user:alice bytes"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct alice a;
        struct quota_refusal refusal;

        alice_init(&a, cases[i].own, cases[i].group, cases[i].total);
        assert_int_equal(quota_charge_add(&a.charge, QUOTA_BYTES, 60, &refusal), 0);
        assert_refused(&a, 41, cases[i].name, 100);
        assert_refused(&a, 400, cases[i].name, 100);
        assert_int_equal(quota_charge_add(&a.charge, QUOTA_BYTES, 40, &refusal), 0);
        assert_refused(&a, 1, cases[i].name, 100);
        alice_deinit(&a);
    }
}

static void every_resource_is_named_in_its_refusal(void **state)
{
    static const char *const names[] = {"group:g bytes", "group:g regions", "group:g connections"};
    struct quota_limits limits = limits_of(1, 2, 3);
    struct quota_refusal refusal;
    struct alice a;

    (void)state;
    alice_init(&a, QUOTA_UNLIMITED, 0, QUOTA_UNLIMITED);
    quota_account_set(a.group, "group:g", &limits);
    for (int i = 0; i < QUOTA_RESOURCE_N; i++) {
        enum quota_resource r = (enum quota_resource)i;

        assert_int_equal(quota_charge_add(&a.charge, r, (uint64_t)i + 1, &refusal), 0);
        assert_int_equal(quota_charge_add(&a.charge, r, 1, &refusal), -EDQUOT);
        assert_string_equal(refusal.limit_name, names[i]);
        assert_int_equal(refusal.limit, i + 1);
    }
    alice_deinit(&a);
}

static void a_charge_that_would_wrap_is_refused_even_without_limits(void **state)
{
    struct alice a;
    struct quota_charge other;
    struct quota_refusal refusal;

    (void)state;
    alice_init(&a, QUOTA_UNLIMITED, QUOTA_UNLIMITED, QUOTA_UNLIMITED);
    quota_charge_init(&other, a.user);
    assert_int_equal(quota_charge_force(&other, QUOTA_BYTES, UINT64_MAX - 5), 0);
    assert_int_equal(quota_charge_add(&a.charge, QUOTA_BYTES, 6, &refusal), -EOVERFLOW);
    assert_int_equal(quota_charge_force(&a.charge, QUOTA_BYTES, 6), -EOVERFLOW);
    assert_int_equal(a.charge.amount[QUOTA_BYTES], 0);
    assert_int_equal(quota_account_used(a.group, QUOTA_BYTES), UINT64_MAX - 5);
    assert_int_equal(quota_charge_add(&a.charge, QUOTA_BYTES, 5, &refusal), 0);
    quota_charge_deinit(&other);
    assert_used(&a, 5);
    alice_deinit(&a);
}

static void what_exists_is_charged_beyond_the_limit_and_only_growth_is_refused(void **state)
{
    struct alice a;
    struct quota_refusal refusal;

    (void)state;
    alice_init(&a, 10, 1000, 1000);
    assert_int_equal(quota_charge_force(&a.charge, QUOTA_BYTES, 50), 0);
    assert_used(&a, 50);
    assert_int_equal(quota_account_left(quota_user_account(a.user), QUOTA_BYTES), 0);
    assert_int_equal(quota_user_left(a.user, QUOTA_BYTES), 0);
    assert_int_equal(quota_charge_add(&a.charge, QUOTA_BYTES, 0, &refusal), 0);
    assert_refused(&a, 1, "user:alice bytes", 10);
    quota_charge_sub(&a.charge, QUOTA_BYTES, 45);
    assert_int_equal(quota_charge_add(&a.charge, QUOTA_BYTES, 5, &refusal), 0);
    alice_deinit(&a);
}

static void a_lowered_limit_takes_nothing_away(void **state)
{
    struct alice a;
    struct quota_refusal refusal;

    (void)state;
    alice_init(&a, 100, 100, 100);
    assert_int_equal(quota_charge_add(&a.charge, QUOTA_BYTES, 80, &refusal), 0);
    set(a.group, "group:analysts", 20);
    assert_used(&a, 80);
    assert_refused(&a, 1, "group:analysts bytes", 20);
    set(a.group, "group:analysts", QUOTA_UNLIMITED);
    assert_int_equal(quota_charge_add(&a.charge, QUOTA_BYTES, 20, &refusal), 0);
    alice_deinit(&a);
}

static void what_is_left_is_the_least_of_all_accounts(void **state)
{
    struct alice a;
    struct quota_refusal refusal;

    (void)state;
    alice_init(&a, 100, 70, QUOTA_UNLIMITED);
    assert_int_equal(quota_charge_add(&a.charge, QUOTA_BYTES, 40, &refusal), 0);
    assert_int_equal(quota_user_left(a.user, QUOTA_BYTES), 30);
    assert_int_equal(quota_account_left(quota_user_account(a.user), QUOTA_BYTES), 60);
    set(a.group, "group:analysts", 200);
    assert_int_equal(quota_user_left(a.user, QUOTA_BYTES), 60);
    alice_deinit(&a);
}

static void a_region_is_refused_beyond_region_bytes_unless_it_shrinks(void **state)
{
    struct quota_limits limits = limits_of(1000, 1000, 1000);
    struct quota_refusal refusal;
    struct alice a;

    (void)state;
    alice_init(&a, 0, 1000, 1000);
    limits.region_bytes = 64;
    quota_account_set(quota_user_account(a.user), "user:alice", &limits);
    assert_int_equal(quota_check_region_size(&a.charge, 0, 64, &refusal), 0);
    assert_int_equal(quota_check_region_size(&a.charge, 60, 65, &refusal), -EDQUOT);
    assert_string_equal(refusal.limit_name, "user:alice region_bytes");
    assert_int_equal(refusal.limit, 64);
    assert_int_equal(refusal.used, 60);
    assert_int_equal(refusal.asked, 5);
    assert_int_equal(quota_check_region_size(&a.charge, 100, 90, &refusal), 0);
    assert_int_equal(quota_check_region_size(&a.charge, 100, 100, &refusal), 0);
    alice_deinit(&a);
}

static void a_long_label_is_cut_between_characters_and_the_resource_stays_readable(void **state)
{
    struct quota_refusal refusal;
    struct alice a;
    char label[1000] = "user:";

    (void)state;
    alice_init(&a, 0, 0, 0);
    while (strlen(label) < 900)
        strcat(label, "\xc3\xa4");
    set(quota_user_account(a.user), label, 0);
    assert_int_equal(quota_charge_add(&a.charge, QUOTA_CONNECTIONS, 1, &refusal), 0);
    assert_int_equal(quota_charge_add(&a.charge, QUOTA_BYTES, 1, &refusal), -EDQUOT);
    assert_string_equal(strchr(refusal.limit_name, ' '), " bytes");
    assert_int_equal((unsigned char)strchr(refusal.limit_name, ' ')[-1], 0xa4);
    alice_deinit(&a);
}

static void a_user_with_charges_outlives_the_last_reference_of_others(void **state)
{
    struct quota *q = quota_new();
    struct quota_user *user = quota_user_ref(q, 7);
    struct quota_charge charge;

    (void)state;
    assert_ptr_equal(quota_user_ref(q, 7), user);
    quota_user_unref(user);
    quota_charge_init(&charge, user);
    quota_user_unref(user);
    assert_ptr_equal(quota_find_user(q, 7), user);
    assert_int_equal(quota_user_uid(user), 7);
    quota_charge_deinit(&charge);
    assert_null(quota_find_user(q, 7));
    quota_free(q);
}

static void a_hundred_thousand_accounts_are_all_found(void **state)
{
    enum { N = 100000 };
    struct quota *q = quota_new();
    struct quota_user **users = calloc(N, sizeof(*users));

    (void)state;
    for (uint32_t i = 0; i < N; i++)
        users[i] = quota_user_ref(q, i * 7919u);
    for (uint32_t i = 0; i < N; i++)
        assert_ptr_equal(quota_find_user(q, i * 7919u), users[i]);
    assert_null(quota_find_user(q, 1));
    for (uint32_t i = 0; i < N; i += 2)
        quota_user_unref(users[i]);
    for (uint32_t i = 0; i < N; i++)
        assert_ptr_equal(quota_find_user(q, i * 7919u), i % 2 ? users[i] : NULL);
    for (uint32_t i = 1; i < N; i += 2)
        quota_user_unref(users[i]);
    free(users);
    quota_free(q);
}

static void charges_of_a_borrower_count_in_the_lenders_account_and_stay_when_the_lender_changes_groups(void **state)
{
    struct quota *q = quota_new();
    struct quota_user *lender = quota_user_ref(q, 7), *borrower = quota_user_ref(q, 100007);
    struct quota_account *own = quota_user_account(lender), *group = quota_group(q, 50);
    struct quota_account *const beside[] = {own, quota_unlisted(q)};
    struct quota_charge hers, lent;

    (void)state;
    quota_charge_init(&hers, lender);
    quota_charge_init(&lent, borrower);
    assert_int_equal(quota_charge_force(&hers, QUOTA_BYTES, 10), 0);
    assert_int_equal(quota_charge_force(&lent, QUOTA_BYTES, 3), 0);
    assert_int_equal(quota_user_set_groups(borrower, beside, 1), 0);
    assert_int_equal(quota_account_used(own, QUOTA_BYTES), 13);
    assert_int_equal(quota_user_used(lender, QUOTA_BYTES), 10);
    // Only the lender's own charges move: those of the borrower move when the borrower's accounts are set.
    assert_int_equal(quota_user_set_groups(lender, &group, 1), 0);
    assert_int_equal(quota_account_used(group, QUOTA_BYTES), 10);
    assert_int_equal(quota_user_set_groups(borrower, beside + 1, 1), 0);
    assert_int_equal(quota_account_used(own, QUOTA_BYTES), 10);
    assert_int_equal(quota_account_used(quota_unlisted(q), QUOTA_BYTES), 3);
    assert_int_equal(quota_account_used(quota_total(q), QUOTA_BYTES), 13);
    quota_charge_deinit(&lent);
    quota_charge_deinit(&hers);
    quota_user_unref(borrower);
    quota_user_unref(lender);
    quota_free(q);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(charges_of_a_borrower_count_in_the_lenders_account_and_stay_when_the_lender_changes_groups),
        TEST(a_charge_counts_in_every_account_and_its_release_takes_it_back),
        TEST(a_refusal_names_the_limit_and_changes_nothing),
        TEST(every_resource_is_named_in_its_refusal),
        TEST(a_charge_that_would_wrap_is_refused_even_without_limits),
        TEST(what_exists_is_charged_beyond_the_limit_and_only_growth_is_refused),
        TEST(a_lowered_limit_takes_nothing_away),
        TEST(what_is_left_is_the_least_of_all_accounts),
        TEST(a_region_is_refused_beyond_region_bytes_unless_it_shrinks),
        TEST(a_long_label_is_cut_between_characters_and_the_resource_stays_readable),
        TEST(a_user_with_charges_outlives_the_last_reference_of_others),
        TEST(a_hundred_thousand_accounts_are_all_found),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
