// The accounts when there is no memory: each call that makes something changes nothing, or makes it without its label.
// The linker sends the calls of quota.c through this file.
#include "tests/lib/harness.h"

#include "daemon/quota/charge.h"
#include "daemon/quota/quota.h"

static unsigned fails_in, n_calls; // 0: no call fails; else the FAILS_IN-th from now on

static bool fails(void)
{
    n_calls++;
    return fails_in > 0 && --fails_in == 0;
}

void *__real_calloc(size_t n, size_t size);
void *__wrap_calloc(size_t n, size_t size);
void *__wrap_calloc(size_t n, size_t size)
{
    return fails() ? NULL : __real_calloc(n, size);
}

char *__real_strndup(const char *s, size_t n);
char *__wrap_strndup(const char *s, size_t n);
char *__wrap_strndup(const char *s, size_t n)
{
    return fails() ? NULL : __real_strndup(s, n);
}

char *__real_strdup(const char *s);
char *__wrap_strdup(const char *s);
char *__wrap_strdup(const char *s)
{
    return fails() ? NULL : __real_strdup(s);
}

int __real_vasprintf(char **ret, const char *format, va_list arguments);
int __wrap_vasprintf(char **ret, const char *format, va_list arguments) __attribute__((format(printf, 2, 0)));
int __wrap_vasprintf(char **ret, const char *format, va_list arguments)
{
    return fails() ? -1 : __real_vasprintf(ret, format, arguments);
}

// The same with FORTIFY_SOURCE.
int __wrap___vasprintf_chk(char **ret, int flag, const char *format, va_list arguments)
    __attribute__((format(printf, 3, 0)));
int __wrap___vasprintf_chk(char **ret, int flag, const char *format, va_list arguments)
{
    (void)flag;
    return fails() ? -1 : __real_vasprintf(ret, format, arguments);
}

static const struct quota_limits small = {
    .max = {10, 20, 30}, .region_bytes = QUOTA_UNLIMITED, .warn_bytes = QUOTA_UNLIMITED};

static void without_memory_there_are_no_accounts(void **state)
{
    (void)state;
    fails_in = 1;
    assert_null(quota_new());
    quota_free(NULL);
    quota_user_unref(NULL);
}

static void a_user_or_group_without_memory_is_not_made_and_the_next_try_makes_it(void **state)
{
    struct quota *q = quota_new();
    struct quota_user *u;

    (void)state;
    fails_in = 1;
    assert_null(quota_user_ref(q, 7));
    assert_null(quota_find_user(q, 7));
    fails_in = 1;
    assert_null(quota_group(q, 50));
    assert_null(quota_find_group(q, 50));
    u = quota_user_ref(q, 7);
    assert_non_null(u);
    assert_non_null(quota_group(q, 50));
    quota_user_unref(u);
    quota_free(q);
}

static void an_account_without_a_label_is_refused_under_a_general_one(void **state)
{
    struct quota *q = quota_new();
    struct quota_refusal refusal;
    struct quota_charge c;
    struct quota_user *u;

    (void)state;
    fails_in = 2; // the user's memory is there, the label's is not
    u = quota_user_ref(q, 7);
    assert_non_null(u);
    assert_string_equal(quota_account_label(quota_user_account(u)), "account");
    fails_in = 1;
    quota_account_set(quota_user_account(u), "user:alice", &small); // the limits hold, whatever becomes of the label
    quota_charge_init(&c, u);
    assert_int_equal(quota_charge_add(&c, QUOTA_BYTES, 11, &refusal), -EDQUOT);
    assert_string_equal(refusal.limit_name, "account bytes");
    quota_account_set(quota_user_account(u), "user:alice", &small);
    assert_string_equal(quota_account_label(quota_user_account(u)), "user:alice");
    fails_in = 1;
    quota_account_set(quota_user_account(u), "user:bob", &small);
    assert_string_equal(quota_account_label(quota_user_account(u)), "user:alice");
    quota_charge_deinit(&c);
    quota_user_unref(u);
    quota_free(q);
}

static void a_user_whose_groups_find_no_memory_keeps_the_old_ones(void **state)
{
    struct quota *q = quota_new();
    struct quota_user *u = quota_user_ref(q, 7);
    struct quota_account *old = quota_group(q, 50), *new = quota_group(q, 51);
    struct quota_charge c;

    (void)state;
    assert_int_equal(quota_user_set_groups(u, &old, 1), 0);
    quota_charge_init(&c, u);
    assert_int_equal(quota_charge_force(&c, QUOTA_BYTES, 5), 0);
    fails_in = 1;
    assert_int_equal(quota_user_set_groups(u, &new, 1), -ENOMEM);
    assert_true(quota_user_counts_in(u, old));
    assert_false(quota_user_counts_in(u, new));
    assert_int_equal(quota_account_used(old, QUOTA_BYTES), 5);
    assert_int_equal(quota_account_used(new, QUOTA_BYTES), 0);
    quota_charge_deinit(&c);
    quota_user_unref(u);
    quota_free(q);
}

static void a_job_or_control_group_without_memory_is_not_made_and_a_job_keeps_its_accounts(void **state)
{
    struct quota *q = quota_new();
    struct quota_user *u = quota_user_ref(q, 7);
    struct quota_account *account;
    struct quota_charge c;
    struct quota_job *j;
    bool is_new;

    (void)state;
    for (unsigned call = 1; call <= 2; call++) {
        fails_in = call; // the path, then the rest
        assert_null(quota_job_ref(q, "/a/b", &is_new));
        assert_null(quota_job_next(q, NULL));
        fails_in = call;
        assert_null(quota_cgroup(q, "/a"));
        assert_null(quota_find_cgroup(q, "/a"));
    }
    fails_in = 3;
    account = quota_cgroup(q, "/a");
    assert_string_equal(quota_account_label(account), "account");
    j = quota_job_ref(q, "/a/b", &is_new);
    assert_int_equal(quota_job_set_accounts(j, &account, 1), 0);
    quota_charge_init(&c, u);
    quota_charge_set_job(&c, j);
    assert_int_equal(quota_charge_force(&c, QUOTA_BYTES, 5), 0);
    fails_in = 1;
    assert_int_equal(quota_job_set_accounts(j, NULL, 0), -ENOMEM);
    assert_int_equal(quota_account_used(account, QUOTA_BYTES), 5);
    quota_charge_deinit(&c);
    quota_job_unref(j);
    quota_user_unref(u);
    quota_free(q);
}

// Else the tests above would prove nothing.
static void the_calls_of_the_accounts_come_through_here(void **state)
{
    struct quota *q;
    struct quota_user *u;

    (void)state;
    n_calls = 0;
    q = quota_new(); // itself and two labels
    assert_int_equal(n_calls, 3);
    u = quota_user_ref(q, 7); // itself and its label
    assert_int_equal(n_calls, 5);
    quota_user_unref(u);
    quota_free(q);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(the_calls_of_the_accounts_come_through_here),
        TEST(without_memory_there_are_no_accounts),
        TEST(a_user_or_group_without_memory_is_not_made_and_the_next_try_makes_it),
        TEST(an_account_without_a_label_is_refused_under_a_general_one),
        TEST(a_user_whose_groups_find_no_memory_keeps_the_old_ones),
        TEST(a_job_or_control_group_without_memory_is_not_made_and_a_job_keeps_its_accounts),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
