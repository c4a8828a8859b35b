// The accounts against a naive model: charges in a plain array, and sums computed anew each time.
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

enum { N_USERS = 5, N_GROUPS = 3, N_CHARGES = 24, N_STEPS = 200000, BIGGEST = 40 };

struct model {
    struct quota *q;
    struct quota_user *users[N_USERS];
    struct quota_account *groups[N_GROUPS];
    struct quota_charge charges[N_CHARGES];
    uint64_t amount[N_CHARGES][QUOTA_RESOURCE_N];
    bool member[N_USERS][N_GROUPS];
    uint64_t user_limit[N_USERS], group_limit[N_GROUPS], total_limit;
};

static uint64_t sum_of_user(const struct model *m, size_t user, size_t resource)
{
    uint64_t sum = 0;

    for (size_t i = user; i < N_CHARGES; i += N_USERS)
        sum += m->amount[i][resource];
    return sum;
}

static uint64_t sum_of_group(const struct model *m, size_t group, size_t resource)
{
    uint64_t sum = 0;

    for (size_t user = 0; user < N_USERS; user++)
        if (m->member[user][group])
            sum += sum_of_user(m, user, resource);
    return sum;
}

static uint64_t sum_of_all(const struct model *m, size_t resource)
{
    uint64_t sum = 0;

    for (size_t user = 0; user < N_USERS; user++)
        sum += sum_of_user(m, user, resource);
    return sum;
}

static bool fits(uint64_t used, uint64_t amount, uint64_t limit)
{
    return limit == QUOTA_UNLIMITED || used + amount <= limit;
}

static bool model_allows(const struct model *m, size_t charge, size_t resource, uint64_t amount)
{
    size_t user = charge % N_USERS;

    if (amount == 0)
        return true;
    if (!fits(sum_of_user(m, user, resource), amount, m->user_limit[user]) ||
        !fits(sum_of_all(m, resource), amount, m->total_limit))
        return false;
    for (size_t g = 0; g < N_GROUPS; g++)
        if (m->member[user][g] && !fits(sum_of_group(m, g, resource), amount, m->group_limit[g]))
            return false;
    return true;
}

static void model_compare(const struct model *m)
{
    for (int i = 0; i < QUOTA_RESOURCE_N; i++) {
        enum quota_resource r = (enum quota_resource)i;

        for (size_t u = 0; u < N_USERS; u++)
            assert_int_equal(quota_account_used(quota_user_account(m->users[u]), r), sum_of_user(m, u, r));
        for (size_t g = 0; g < N_GROUPS; g++)
            assert_int_equal(quota_account_used(m->groups[g], r), sum_of_group(m, g, r));
        assert_int_equal(quota_account_used(quota_total(m->q), r), sum_of_all(m, r));
    }
}

static uint64_t random_below(unsigned n)
{
    return (uint64_t)random() % n;
}

static void random_limits(struct model *m)
{
    struct quota_limits limits;

    for (size_t u = 0; u < N_USERS; u++) {
        m->user_limit[u] = random_below(4) ? random_below(300) : QUOTA_UNLIMITED;
        limits = limits_of(m->user_limit[u], m->user_limit[u], m->user_limit[u]);
        quota_account_set(quota_user_account(m->users[u]), "user:u", &limits);
    }
    for (size_t g = 0; g < N_GROUPS; g++) {
        m->group_limit[g] = random_below(4) ? random_below(600) : QUOTA_UNLIMITED;
        limits = limits_of(m->group_limit[g], m->group_limit[g], m->group_limit[g]);
        quota_account_set(m->groups[g], "group:g", &limits);
    }
    m->total_limit = random_below(4) ? random_below(1200) : QUOTA_UNLIMITED;
    limits = limits_of(m->total_limit, m->total_limit, m->total_limit);
    quota_account_set(quota_total(m->q), "total", &limits);
}

static void random_groups(struct model *m)
{
    struct quota_account *groups[2 * N_GROUPS];
    size_t user = random_below(N_USERS), n = 0;

    for (size_t g = 0; g < N_GROUPS; g++) {
        m->member[user][g] = random_below(2);
        for (uint64_t times = m->member[user][g] ? 1 + random_below(2) : 0; times > 0; times--)
            groups[n++] = m->groups[g]; // named twice, a group still counts once
    }
    assert_int_equal(quota_user_set_groups(m->users[user], groups, n), 0);
}

static void random_charge(struct model *m)
{
    size_t i = random_below(N_CHARGES), resource = random_below(QUOTA_RESOURCE_N);
    uint64_t amount = random_below(BIGGEST);
    struct quota_refusal refusal;
    int expected = model_allows(m, i, resource, amount) ? 0 : -EDQUOT;

    assert_int_equal(quota_charge_add(&m->charges[i], (enum quota_resource)resource, amount, &refusal), expected);
    if (expected == 0)
        m->amount[i][resource] += amount;
}

static void random_release(struct model *m)
{
    size_t i = random_below(N_CHARGES), resource = random_below(QUOTA_RESOURCE_N);
    uint64_t amount = random_below((unsigned)m->amount[i][resource] + 1);

    quota_charge_sub(&m->charges[i], (enum quota_resource)resource, amount);
    m->amount[i][resource] -= amount;
}

static void random_death(struct model *m)
{
    size_t i = random_below(N_CHARGES);

    quota_charge_deinit(&m->charges[i]);
    quota_charge_init(&m->charges[i], m->users[i % N_USERS]);
    memset(m->amount[i], 0, sizeof(m->amount[i]));
}

static void random_step(struct model *m)
{
    switch (random_below(16)) {
    case 0:
        random_death(m);
        break;
    case 1:
        random_groups(m);
        break;
    case 2:
        if (random_below(20) == 0)
            random_limits(m);
        break;
    case 3:
    case 4:
    case 5:
    case 6:
        random_release(m);
        break;
    default:
        random_charge(m);
    }
}

static void model_init(struct model *m)
{
    *m = (struct model){.q = quota_new()};
    for (size_t u = 0; u < N_USERS; u++)
        m->users[u] = quota_user_ref(m->q, (uid_t)u);
    for (size_t g = 0; g < N_GROUPS; g++)
        m->groups[g] = quota_group(m->q, (gid_t)g);
    for (size_t i = 0; i < N_CHARGES; i++)
        quota_charge_init(&m->charges[i], m->users[i % N_USERS]);
    random_limits(m);
}

static void after_any_sequence_the_accounts_are_what_a_naive_model_says(void **state)
{
    struct model m;

    (void)state;
    srandom(20240229);
    model_init(&m);
    for (size_t i = 0; i < N_STEPS; i++) {
        random_step(&m);
        model_compare(&m);
    }
    for (size_t i = 0; i < N_CHARGES; i++)
        quota_charge_deinit(&m.charges[i]);
    for (size_t u = 0; u < N_USERS; u++)
        quota_user_unref(m.users[u]);
    quota_free(m.q);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(after_any_sequence_the_accounts_are_what_a_naive_model_says),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
