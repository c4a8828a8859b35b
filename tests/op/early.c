// Early growth: where it is granted it is an ordinary grow; it is refused without a log line, long before a limit is
// reached.
#include "daemon/quota/charge.h"
#include "tests/lib/op_fixture.h"
#include "tests/lib/quota_usage.h"
#include "tests/lib/scratch.h"
#include "tests/lib/test_daemon.h"

static const char config[] = "[daemon]\nkeep_free = 0\n"
                             "[quota default]\nbytes = 80M\nregion_bytes = 40M\nwarn_at = 100%\n"
                             "[quota total]\nbytes = 100M\n";

static RawReply *ask_early(struct raw *c, const struct raw_handle *h, uint64_t size, uint64_t wait_ms)
{
    Diskalloc__V1__GrowRegion body = DISKALLOC__V1__GROW_REGION__INIT;
    RawRequest q = RAW_REQUEST_INIT;

    body.handle = raw_bytes(h);
    body.size = size;
    body.wait_ms = wait_ms;
    body.early = true;
    q.body_case = RAW_BODY(GROW_REGION);
    q.grow_region = &body;
    return raw_call(c, &q);
}

static int grow_early(struct raw *c, const struct raw_handle *h, uint64_t size)
{
    RawReply *reply = ask_early(c, h, size, 0);
    int code = raw_code(reply);

    if (code == RAW_CODE(EARLY_REFUSED)) {
        assert_string_equal(reply->error->limit_name, "");
        assert_int_equal(reply->error->limit + reply->error->used + reply->error->asked, 0);
    }
    raw_free(reply);
    return code;
}

static int grow_now(struct raw *c, const struct raw_handle *h, uint64_t size)
{
    RawReply *reply = raw_send_grow(c, h, size, 0) ? raw_answer(c) : NULL;
    int code = raw_code(reply);

    raw_free(reply);
    return code;
}

static int create_early(struct raw *c, const struct raw_handle *h, uint64_t size)
{
    Diskalloc__V1__CreateRegion body = DISKALLOC__V1__CREATE_REGION__INIT;
    RawRequest q = RAW_REQUEST_INIT;

    body.handle = raw_bytes(h);
    body.size = size;
    body.early = true;
    q.body_case = RAW_BODY(CREATE_REGION);
    q.create_region = &body;
    return raw_done(c, &q);
}

struct setting {
    struct test_daemon daemon;
    struct raw c;
    struct raw_handle h;
};

static void setting_start(struct setting *s)
{
    test_daemon_start(&s->daemon, config, NULL);
    assert_int_equal(raw_open(&s->c, s->daemon.socket), RAW_CODE(OK));
    s->h = raw_handle_new();
    assert_int_equal(raw_create(&s->c, &s->h, 0), RAW_CODE(OK));
}

static void setting_stop(struct setting *s)
{
    raw_close(&s->c);
    test_daemon_stop_and_remove(&s->daemon);
}

static uint64_t features_for(const char *path, uint64_t asked)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    Diskalloc__V1__Hello hello = DISKALLOC__V1__HELLO__INIT;
    RawRequest q = RAW_REQUEST_INIT;
    struct raw c = {.sock = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0)};
    RawReply *reply;
    uint64_t features;

    strcpy(address.sun_path, path);
    assert_return_code(connect(c.sock, (struct sockaddr *)&address, sizeof(address)), errno);
    hello.version_min = hello.version_max = 1;
    hello.features = asked;
    q.body_case = RAW_BODY(HELLO);
    q.hello = &hello;
    reply = raw_call(&c, &q);
    assert_int_equal(raw_code(reply), RAW_CODE(OK));
    features = reply->hello->features;
    raw_free(reply);
    raw_close(&c);
    return features;
}

static void hello_answers_the_features_that_both_know(void **state)
{
    struct setting s;

    (void)state;
    setting_start(&s);
    assert_int_equal(features_for(s.daemon.socket, 0), 0);
    assert_int_equal(features_for(s.daemon.socket, UINT64_MAX), PROTOCOL_FEATURES);
    assert_int_equal(features_for(s.daemon.socket, ~(uint64_t)PROTOCOL_FEATURES), 0);
    setting_stop(&s);
}

static void an_early_grow_is_charged_as_any_other(void **state)
{
    struct setting s;

    (void)state;
    setting_start(&s);
    assert_int_equal(grow_early(&s.c, &s.h, 10 * MIB), RAW_CODE(OK));
    assert_int_equal(USAGE_OF(&s.c, "total", bytes), 10 * MIB);
    assert_int_equal(test_sum_sizes(s.daemon.spill), 10 * MIB);
    // "At least": it may be repeated.
    assert_int_equal(grow_early(&s.c, &s.h, MIB), RAW_CODE(OK));
    assert_int_equal(raw_shrink(&s.c, &s.h, 0, 10 * MIB), RAW_CODE(OK));
    assert_int_equal(USAGE_OF(&s.c, "total", bytes), 0);
    setting_stop(&s);
}

static void with_a_wait_it_is_invalid(void **state)
{
    struct setting s;
    RawReply *reply;

    (void)state;
    setting_start(&s);
    reply = ask_early(&s.c, &s.h, MIB, 1);
    assert_int_equal(raw_code(reply), RAW_CODE(INVALID));
    raw_free(reply);
    assert_int_equal(USAGE_OF(&s.c, "total", bytes), 0);
    setting_stop(&s);
}

// SIZE is three quarters of a limit: it is granted, and not a block more.
static void expect_the_mark(struct setting *s, const struct raw_handle *h, uint64_t size)
{
    uint64_t before = USAGE_OF(&s->c, "total", bytes);

    assert_int_equal(grow_early(&s->c, h, size + 1), RAW_CODE(EARLY_REFUSED));
    assert_int_equal(USAGE_OF(&s->c, "total", bytes), before);
    assert_int_equal(test_sum_sizes(s->daemon.spill), before);
    assert_int_equal(grow_early(&s->c, h, size), RAW_CODE(OK));
    assert_int_equal(grow_early(&s->c, h, size + 1), RAW_CODE(EARLY_REFUSED));
    // An ordinary grow, of a client that needs the space, is granted.
    assert_int_equal(grow_now(&s->c, h, size + 1), RAW_CODE(OK));
}

static void above_three_quarters_of_a_limit_it_is_refused(void **state)
{
    struct raw_handle second = raw_handle_new(), third = raw_handle_new();
    struct setting s;

    (void)state;
    setting_start(&s);
    assert_int_equal(raw_create(&s.c, &second, 0), RAW_CODE(OK));
    assert_int_equal(raw_create(&s.c, &third, 0), RAW_CODE(OK));
    expect_the_mark(&s, &s.h, 30 * MIB); // region_bytes
    assert_int_equal(grow_now(&s.c, &s.h, 40 * MIB), RAW_CODE(OK));
    expect_the_mark(&s, &second, 20 * MIB); // the user's
    assert_int_equal(raw_set_quota(&s.c, "default", "bytes", "unlimited"), RAW_CODE(OK));
    assert_int_equal(grow_now(&s.c, &second, 24 * MIB), RAW_CODE(OK));
    expect_the_mark(&s, &third, 11 * MIB); // the total
    assert_int_equal(log_count(&s.daemon, ": refused "), 0);
    setting_stop(&s);
}

static void above_three_quarters_of_a_group_it_is_refused(void **state)
{
    const struct quota_limits limits = {
        .max = {400, QUOTA_UNLIMITED, QUOTA_UNLIMITED}, .region_bytes = QUOTA_UNLIMITED, .warn_bytes = QUOTA_UNLIMITED};
    struct quota *q = quota_new();
    struct quota_account *group = quota_group(q, 7);
    struct quota_user *u = quota_user_ref(q, 1);
    struct quota_charge c;

    (void)state;
    quota_account_set(group, "group:g", &limits);
    assert_int_equal(quota_user_set_groups(u, &group, 1), 0);
    quota_charge_init(&c, u);
    assert_int_equal(quota_charge_add_early(&c, QUOTA_BYTES, 301, 301), -EXFULL);
    assert_int_equal(quota_account_used(quota_total(q), QUOTA_BYTES), 0);
    assert_int_equal(quota_charge_add_early(&c, QUOTA_BYTES, 300, 300), 0);
    assert_int_equal(quota_account_used(group, QUOTA_BYTES), 300);
    quota_charge_deinit(&c);
    quota_user_unref(u);
    quota_free(q);
}

static void a_refusal_of_an_early_grow_is_no_news_and_does_not_make_another_old(void **state)
{
    struct setting s;

    (void)state;
    setting_start(&s);
    assert_int_equal(grow_early(&s.c, &s.h, 500 * MIB), RAW_CODE(EARLY_REFUSED));
    assert_int_equal(log_count(&s.daemon, ": refused "), 0);
    assert_int_equal(grow_now(&s.c, &s.h, 500 * MIB), RAW_CODE(LIMIT));
    await_log(&s.daemon, ": refused ", 1);
    assert_int_equal(s.c.n_events, 0);
    setting_stop(&s);
}

static bool somebody_waits(void *data)
{
    return USAGE_OF((struct raw *)data, "total", waiters) == 1;
}

static void it_does_not_take_what_somebody_waits_for(void **state)
{
    struct raw_handle large = raw_handle_new();
    struct setting s;
    struct raw waiter, admin;
    RawReply *reply;

    (void)state;
    setting_start(&s);
    assert_int_equal(raw_set_quota(&s.c, "default", "region_bytes", "unlimited"), RAW_CODE(OK));
    assert_int_equal(raw_open(&waiter, s.daemon.socket), RAW_CODE(OK));
    assert_int_equal(raw_open(&admin, s.daemon.socket), RAW_CODE(OK));
    assert_int_equal(raw_create(&waiter, &large, 0), RAW_CODE(OK));
    assert_int_equal(grow_early(&s.c, &s.h, 10 * MIB), RAW_CODE(OK));
    assert_int_not_equal(raw_send_grow(&waiter, &large, 75 * MIB, UINT64_MAX), 0);
    test_wait_until(somebody_waits, &admin, 60, "somebody waits");
    assert_int_equal(grow_early(&s.c, &s.h, 11 * MIB), RAW_CODE(EARLY_REFUSED));
    // An ordinary grow may pass: the wait has only begun.  An early grow must not take what a waiting grow is granted.
    assert_int_equal(raw_shrink(&s.c, &s.h, 5 * MIB, 10 * MIB), RAW_CODE(OK));
    reply = raw_answer(&waiter);
    assert_int_equal(raw_code(reply), RAW_CODE(OK));
    raw_free(reply);
    assert_int_equal(raw_shrink(&waiter, &large, 0, 75 * MIB), RAW_CODE(OK));
    assert_int_equal(grow_early(&s.c, &s.h, 11 * MIB), RAW_CODE(OK));
    raw_close(&waiter);
    raw_close(&admin);
    setting_stop(&s);
}

static void a_region_may_be_made_early_and_is_charged_as_any_other(void **state)
{
    struct raw_handle h = raw_handle_new();
    struct setting s;

    (void)state;
    setting_start(&s);
    assert_int_equal(create_early(&s.c, &h, 10 * MIB), RAW_CODE(OK));
    assert_int_equal(USAGE_OF(&s.c, "total", bytes), 10 * MIB);
    assert_int_equal(USAGE_OF(&s.c, "total", regions), 2);
    // It may be repeated.
    assert_int_equal(create_early(&s.c, &h, 10 * MIB), RAW_CODE(OK));
    assert_int_equal(USAGE_OF(&s.c, "total", regions), 2);
    assert_int_equal(raw_shrink(&s.c, &h, 0, 10 * MIB), RAW_CODE(OK));
    assert_int_equal(USAGE_OF(&s.c, "total", bytes), 0);
    setting_stop(&s);
}

static void expect_no_early_region(struct setting *s, uint64_t size)
{
    struct raw_handle h = raw_handle_new();
    uint64_t bytes = USAGE_OF(&s->c, "total", bytes), regions = USAGE_OF(&s->c, "total", regions);

    assert_int_equal(create_early(&s->c, &h, size), RAW_CODE(EARLY_REFUSED));
    assert_int_equal(USAGE_OF(&s->c, "total", bytes), bytes);
    assert_int_equal(USAGE_OF(&s->c, "total", regions), regions);
    assert_int_equal(test_sum_sizes(s->daemon.spill), bytes);
    // A client that needs the region gets it.
    assert_int_equal(raw_create(&s->c, &h, size), RAW_CODE(OK));
}

static void above_three_quarters_of_a_limit_no_region_is_made_early(void **state)
{
    struct raw_handle h = raw_handle_new();
    struct setting s;

    (void)state;
    setting_start(&s);
    assert_int_equal(create_early(&s.c, &h, 30 * MIB), RAW_CODE(OK));
    expect_no_early_region(&s, 30 * MIB + 1); // region_bytes
    expect_no_early_region(&s, 4096);         // the user's bytes
    assert_int_equal(raw_set_quota(&s.c, "default", "bytes", "unlimited"), RAW_CODE(OK));
    assert_int_equal(raw_set_quota(&s.c, "default", "regions", "6"), RAW_CODE(OK));
    h = raw_handle_new();
    assert_int_equal(create_early(&s.c, &h, 0), RAW_CODE(EARLY_REFUSED)); // it would be the fifth of six
    assert_int_equal(log_count(&s.daemon, ": refused "), 0);
    setting_stop(&s);
}

// ---- With a disk that says what it is told ----

static struct statvfs disk;

static int told_stat_fs(int fd, struct statvfs *ret)
{
    (void)fd;
    *ret = disk;
    return 0;
}

static int resize_early(struct fixture *f, struct region *r, uint64_t size)
{
    struct op op;

    op_init(&op, &f->env, &op_grow, r);
    op.size = size;
    op.early = true;
    return run_op(f, &op);
}

// In blocks of 4 KiB: 1,000,000, of which root alone may use 100,000.
static void say_used(uint64_t used)
{
    disk =
        (struct statvfs){.f_frsize = 4096, .f_blocks = 1000000, .f_bfree = 1000000 - used, .f_bavail = 900000 - used};
}

static void above_three_quarters_of_the_disk_it_is_refused(void **state)
{
    struct fixture f;
    struct region *r;

    (void)state;
    fixture_init(&f);
    f.ops.stat_fs = told_stat_fs;
    say_used(0);
    assert_int_equal(create(&f, "r", 4096, &r), 0);
    say_used(674999);
    assert_int_equal(resize_early(&f, r, 3 * 4096), -EXFULL);
    expect_consistent(&f, 4096, 1);
    assert_int_equal(resize_early(&f, r, 2 * 4096), 0);
    // keep_free counts as used.
    f.disk.keep_free = 4096;
    assert_int_equal(resize_early(&f, r, 3 * 4096), -EXFULL);
    f.disk.keep_free = UINT64_MAX;
    assert_int_equal(resize_early(&f, r, 3 * 4096), -EXFULL);
    f.disk.keep_free = 4096;
    assert_int_equal(resize(&f, r, 3 * 4096), 0);
    expect_consistent(&f, 3 * 4096, 1);
    fixture_deinit(&f);
}

static void a_sparse_region_does_not_ask_the_disk(void **state)
{
    struct fixture f;
    struct region *r;

    (void)state;
    fixture_init(&f);
    f.ops.stat_fs = told_stat_fs;
    say_used(0);
    assert_int_equal(create(&f, "r", 4096, &r), 0);
    r->record.flags |= RECORD_SPARSE;
    say_used(900000);
    assert_int_equal(resize_early(&f, r, 2 * 4096), 0);
    fixture_deinit(&f);
}

static bool count_warning(void *data, struct quota_account *a, enum quota_mark mark)
{
    (void)a;
    (void)mark;
    ++*(int *)data;
    return true;
}

static void nobody_is_warned_of_what_was_refused(void **state)
{
    const struct quota_limits limits = {
        .max = {1 << 20, QUOTA_UNLIMITED, QUOTA_UNLIMITED}, .region_bytes = QUOTA_UNLIMITED, .warn_bytes = 1 << 15};
    struct fixture f;
    struct region *r;
    int n_warnings = 0;

    (void)state;
    fixture_init(&f);
    f.ops.stat_fs = told_stat_fs;
    say_used(0);
    assert_int_equal(create(&f, "r", 4096, &r), 0);
    quota_account_set(quota_total(f.quota), "total", &limits);
    quota_on_warning(f.quota, count_warning, &n_warnings);
    say_used(800000);
    assert_int_equal(resize_early(&f, r, 1 << 16), -EXFULL);
    assert_int_equal(n_warnings, 0);
    say_used(0);
    inject(ALLOCATE, 1, ENOSPC);
    assert_int_equal(resize_early(&f, r, 1 << 16), -EXFULL);
    assert_int_equal(n_warnings, 0);
    inject(NO_FAULT, 0, 0);
    assert_int_equal(resize_early(&f, r, 1 << 16), 0);
    assert_int_equal(n_warnings, 1);
    fixture_deinit(&f);
}

// An ordinary grow waits for space that is about to be given back.
static void it_does_not_wait_for_releases_under_way(void **state)
{
    const struct quota_limits limits = {.max = {8192, QUOTA_UNLIMITED, QUOTA_UNLIMITED},
                                        .region_bytes = QUOTA_UNLIMITED,
                                        .warn_bytes = QUOTA_UNLIMITED};
    struct fixture f;
    const struct quota_limits no_limits = {.max = {QUOTA_UNLIMITED, QUOTA_UNLIMITED, QUOTA_UNLIMITED},
                                           .region_bytes = QUOTA_UNLIMITED,
                                           .warn_bytes = QUOTA_UNLIMITED};
    struct region *r, *going;
    bool done = false;
    struct op op;

    (void)state;
    fixture_init(&f);
    assert_int_equal(create(&f, "r", 4096, &r), 0);
    assert_int_equal(create(&f, "going", 4096, &going), 0);
    quota_account_set(quota_total(f.quota), "total", &limits);
    region_set_releasing(&f.regions, going, true);
    op_init(&op, &f.env, &op_grow, r);
    op.size = 8192;
    op.done = set_done;
    op.owner = &done;
    op_submit(&op);
    assert_true(op.is_waiting);
    op_cancel(&op);
    turn_until(&f, &done);
    done = false;
    op_init(&op, &f.env, &op_grow, r);
    op.size = 8192;
    op.early = true;
    op.done = set_done;
    op.owner = &done;
    op_submit(&op);
    assert_true(done);
    assert_int_equal(op.result, -EXFULL);
    // Nor when it is the disk that refuses.
    quota_account_set(quota_total(f.quota), "total", &no_limits);
    inject(ALLOCATE, 1, ENOSPC);
    op_init(&op, &f.env, &op_grow, r);
    op.size = 8192;
    op.early = true;
    assert_int_equal(run_op(&f, &op), -EXFULL);
    assert_int_equal(op.wait_since, 0);
    inject(NO_FAULT, 0, 0);
    region_set_releasing(&f.regions, going, false);
    fixture_deinit(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(hello_answers_the_features_that_both_know),
        TEST(an_early_grow_is_charged_as_any_other),
        TEST(with_a_wait_it_is_invalid),
        TEST(above_three_quarters_of_a_limit_it_is_refused),
        TEST(above_three_quarters_of_a_group_it_is_refused),
        TEST(a_refusal_of_an_early_grow_is_no_news_and_does_not_make_another_old),
        TEST(it_does_not_take_what_somebody_waits_for),
        TEST(a_region_may_be_made_early_and_is_charged_as_any_other),
        TEST(above_three_quarters_of_a_limit_no_region_is_made_early),
        TEST(above_three_quarters_of_the_disk_it_is_refused),
        TEST(a_sparse_region_does_not_ask_the_disk),
        TEST(nobody_is_warned_of_what_was_refused),
        TEST(it_does_not_wait_for_releases_under_way),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
