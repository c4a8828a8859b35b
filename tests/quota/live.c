// Limits change while the daemon runs, by an administrator or by a reload, and no user loses anything.
#include "tests/lib/quota_usage.h"
#include "tests/lib/test_daemon.h"

#define CONFIG "[daemon]\nkeep_free = 0\n[quota default]\nbytes = 8M\nregions = 40\n"

struct live {
    struct test_daemon d;
    struct raw admin;
    struct diskalloc *da;
    struct diskalloc_region *r;
    char me[40];
};

static void live_start(struct live *l, const char *config, uint64_t size)
{
    memset(l, 0, sizeof(*l));
    test_daemon_start(&l->d, config, NULL);
    subject_of_uid(geteuid(), l->me, sizeof(l->me));
    assert_int_equal(raw_open(&l->admin, l->d.socket), RAW_CODE(OK));
    assert_int_equal(diskalloc_open(l->d.address, NULL, &l->da), 0);
    l->r = make_region(l->da, size);
}

static void live_stop(struct live *l)
{
    raw_close(&l->admin);
    diskalloc_region_close(l->r);
    test_wait_until(nothing_is_charged, l->da, 30, "all has been given back");
    diskalloc_close(l->da);
    test_daemon_stop_and_remove(&l->d);
}

static void live_restart(struct live *l, int signal)
{
    if (signal == SIGTERM)
        test_daemon_stop(&l->d);
    else
        test_daemon_kill(&l->d, signal);
    test_daemon_restart(&l->d);
    raw_close(&l->admin);
    assert_int_equal(raw_open(&l->admin, l->d.socket), RAW_CODE(OK));
}

// As listed: text, and the end of where it comes from.
static void listed(struct live *l, const char *subject, const char *key, const char *text, const char *origin_part)
{
    char value[400];

    assert_int_equal(raw_quota_text(&l->admin, subject, key, value, sizeof(value)), RAW_CODE(OK));
    if (strncmp(value, text, strlen(text)) != 0 || value[strlen(text)] != ' ' || !strstr(value, origin_part))
        fail_msg("%s %s is listed as \"%s\", expected %s from %s", subject, key, value, text, origin_part);
}

static void what_is_set_wins_survives_restarts_and_ends_when_it_is_unset(void **state)
{
    struct live l;

    (void)state;
    live_start(&l, CONFIG, 0);
    listed(&l, "default", "bytes", "8M", "diskallocd.conf:4");
    assert_int_equal(raw_set_quota(&l.admin, "default", "bytes", "2M"), RAW_CODE(OK));
    listed(&l, "default", "bytes", "2M", "set at run time");
    listed(&l, "default", "regions", "40", "diskallocd.conf:5");
    assert_int_equal(diskalloc_region_resize(l.r, 2 * MIB + 1), -EDQUOT);
    assert_int_equal(raw_set_quota(&l.admin, l.me, "bytes", "3M"), RAW_CODE(OK));
    for (int i = 0; i < 2; i++) {
        live_restart(&l, i ? SIGKILL : SIGTERM);
        listed(&l, "default", "bytes", "2M", "set at run time");
        listed(&l, l.me, "bytes", "3M", "set at run time");
        assert_int_equal(usage_of(l.da).bytes_limit, 3 * MIB);
        assert_int_equal(usage_of(l.da).regions_limit, 40);
    }
    // The run-time quota still overrides the files when they are read again.
    reload(&l.d, "[daemon]\nkeep_free = 0\n[quota default]\nbytes = 5M\nregions = 41\n");
    AWAIT_USAGE(&l.admin, l.me, regions_limit, 41);
    assert_int_equal(usage_of(l.da).bytes_limit, 3 * MIB);
    assert_int_equal(raw_unset_quota(&l.admin, l.me, "bytes"), RAW_CODE(OK));
    assert_int_equal(usage_of(l.da).bytes_limit, 2 * MIB);
    assert_int_equal(raw_unset_quota(&l.admin, "default", NULL), RAW_CODE(OK));
    assert_int_equal(usage_of(l.da).bytes_limit, 5 * MIB);
    listed(&l, "default", "bytes", "5M", "diskallocd.conf:4");
    live_restart(&l, SIGKILL);
    assert_int_equal(usage_of(l.da).bytes_limit, 5 * MIB);
    live_stop(&l);
}

static void a_drop_in_is_named_as_the_origin(void **state)
{
    char path[300];
    struct live l;
    FILE *f;

    (void)state;
    live_start(&l, CONFIG, 0);
    snprintf(path, sizeof(path), "%s.d", l.d.config);
    assert_return_code(mkdir(path, 0700), errno);
    snprintf(path, sizeof(path), "%s.d/50-more.conf", l.d.config);
    f = fopen(path, "we");
    assert_non_null(f);
    fputs("[quota default]\nbytes = 9M\n", f);
    assert_int_equal(fclose(f), 0);
    assert_return_code(kill(l.d.pid, SIGHUP), errno);
    AWAIT_USAGE(&l.admin, l.me, bytes_limit, 9 * MIB);
    listed(&l, "default", "bytes", "9M", "50-more.conf:2");
    listed(&l, "default", "regions", "40", "diskallocd.conf:5");
    live_stop(&l);
}

static void lowering_below_the_usage_refuses_growth_takes_nothing_away_and_is_shown(void **state)
{
    struct diskalloc_error_info info;
    struct diskalloc_usage u;
    struct live l;

    (void)state;
    live_start(&l, CONFIG, 6 * MIB);
    memset(diskalloc_region_data(l.r), 7, 6 * MIB);
    for (int i = 0; i < 3; i++) {
        if (i == 0)
            assert_int_equal(raw_set_quota(&l.admin, l.me, "bytes", "2M"), RAW_CODE(OK));
        if (i == 1)
            live_restart(&l, SIGKILL); // what is over the limit is charged all the same
        if (i == 2) {
            assert_int_equal(raw_unset_quota(&l.admin, l.me, NULL), RAW_CODE(OK));
            reload(&l.d, "[daemon]\nkeep_free = 0\n[quota default]\nbytes = 2M\n");
            AWAIT_USAGE(&l.admin, l.me, bytes_limit, 2 * MIB);
        }
        u = usage_of(l.da);
        assert_int_equal(u.bytes, 6 * MIB);
        assert_int_equal(u.bytes_limit, 2 * MIB);
        assert_int_equal(u.grantable_bytes, 0);
        info = EXPECT_FAILURE(-EDQUOT, "diskalloc_region_resize", diskalloc_region_resize(l.r, 6 * MIB + 1));
        assert_int_equal(info.limit, 2 * MIB);
        assert_int_equal(info.used, 6 * MIB);
        assert_int_equal(info.asked, 4096);
        assert_int_equal(((uint8_t *)diskalloc_region_data(l.r))[6 * MIB - 1], 7);
    }
    assert_int_equal(diskalloc_region_resize(l.r, 3 * MIB), 0);
    EXPECT_FAILURE(-EDQUOT, "diskalloc_region_resize", diskalloc_region_resize(l.r, 4 * MIB));
    assert_int_equal(diskalloc_region_resize(l.r, MIB), 0);
    assert_int_equal(diskalloc_region_resize(l.r, 2 * MIB), 0);
    live_stop(&l);
}

static void fewer_regions_and_connections_than_there_are_refuse_only_more(void **state)
{
    struct diskalloc_region *r = NULL, *more;
    struct raw other;
    struct live l;

    (void)state;
    live_start(&l, CONFIG, MIB);
    more = make_region(l.da, MIB);
    assert_int_equal(raw_set_quota(&l.admin, l.me, "regions", "1"), RAW_CODE(OK));
    assert_int_equal(raw_set_quota(&l.admin, l.me, "connections", "1"), RAW_CODE(OK));
    EXPECT_FAILURE(-EDQUOT, "diskalloc_region_create", diskalloc_region_create(l.da, NULL, &r));
    assert_int_equal(raw_open(&other, l.d.socket), RAW_CODE(LIMIT));
    raw_close(&other);
    assert_int_equal(diskalloc_region_resize(l.r, 2 * MIB), 0);
    assert_int_equal(usage_of(l.da).regions, 2);
    assert_int_equal(usage_of(l.da).connections, 2);
    assert_int_equal(raw_set_quota(&l.admin, l.me, "region_bytes", "1M"), RAW_CODE(OK));
    EXPECT_FAILURE(-EDQUOT, "diskalloc_region_resize", diskalloc_region_resize(more, MIB + 1));
    assert_int_equal(diskalloc_region_size(l.r), 2 * MIB);
    assert_int_equal(raw_unset_quota(&l.admin, l.me, NULL), RAW_CODE(OK));
    diskalloc_region_close(more);
    live_stop(&l);
}

static void a_bad_file_changes_nothing_and_the_log_says_why(void **state)
{
    static const struct {
        const char *text, *key, *line;
    } bad[] = {
        {"[daemon]\nkeep_free = 0\n[quota default]\nbytes = 1M\nregions = many\n", "regions", ":5"},
        {"[daemon]\nkeep_free = 0\n[quota default]\nbytes = -1\n", "bytes", ":4"},
        {"[daemon]\nkeep_free = 101%\n[quota default]\nbytes = 1M\n", "keep_free", ":2"},
        {"[quota default]\nbytes = 1M\n[quota everybody]\nbytes = 1M\n", "everybody", ":3"},
        {"[quota default]\nbytes = 1M\nbites = 1M\n", "bites", ":3"},
        {"[quota default]\nbytes = 1M\n[quota default]\nregions = 1\n", "default", ":3"},
        {"[daemon]\nmetrics_listen = *:9464\n", "metrics_listen = *:9464", ":2"},
        {"[quota default]\nbytes = 99999999999999999999\n", "bytes", ":2"},
    };
    char place[200];
    struct live l;

    (void)state;
    live_start(&l, CONFIG, 0);
    for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++) {
        size_t kept = log_count(&l.d, "the configuration is kept");

        reload(&l.d, bad[i].text);
        await_log(&l.d, "the configuration is kept", kept + 1);
        snprintf(place, sizeof(place), "diskallocd.conf%s", bad[i].line);
        if (!test_daemon_logged(&l.d, place) || !test_daemon_logged(&l.d, bad[i].key))
            fail_msg("the log names neither %s nor %s", place, bad[i].key);
        assert_int_equal(usage_of(l.da).bytes_limit, 8 * MIB);
        assert_int_equal(usage_of(l.da).regions_limit, 40);
        // The old configuration is still in use: a quota that is set now is added to it.
        assert_int_equal(raw_set_quota(&l.admin, l.me, "regions", "39"), RAW_CODE(OK));
        assert_int_equal(usage_of(l.da).regions_limit, 39);
        assert_int_equal(usage_of(l.da).bytes_limit, 8 * MIB);
        assert_int_equal(raw_unset_quota(&l.admin, l.me, NULL), RAW_CODE(OK));
        rewrite_config(&l.d, CONFIG);
    }
    live_stop(&l);
}

static void keep_free_raised_by_a_reload_refuses_growth_at_once(void **state)
{
    struct diskalloc_error_info info;
    struct live l;
    uint64_t size;

    (void)state;
    live_start(&l, "[daemon]\nkeep_free = 0\n[quota total]\nbytes = unlimited\n", MIB);
    assert_int_equal(diskalloc_region_resize(l.r, MIB + 4096), 0); // and more is known to be free
    reload(&l.d, "[daemon]\nkeep_free = 100%\n[quota total]\nbytes = unlimited\nregions = 77\n");
    AWAIT_USAGE(&l.admin, "total", regions_limit, 77);
    size = diskalloc_region_size(l.r);
    info = EXPECT_FAILURE(-ENOSPC, "diskalloc_region_resize", diskalloc_region_resize(l.r, size + 1));
    assert_non_null(strstr(info.limit_name, "keep_free"));
    assert_int_equal(usage_of(l.da).grantable_bytes, 0);
    assert_int_equal(usage_of(l.da).bytes, size);
    assert_int_equal(diskalloc_region_resize(l.r, 4096), 0);
    EXPECT_FAILURE(-ENOSPC, "diskalloc_region_resize", diskalloc_region_resize(l.r, 2 * 4096));
    live_stop(&l);
}

static void percentages_set_at_run_time_are_of_the_file_systems_total(void **state)
{
    uint64_t half, all;
    struct live l;

    (void)state;
    live_start(&l, CONFIG, 0);
    assert_int_equal(raw_set_quota(&l.admin, l.me, "bytes", "100%"), RAW_CODE(OK));
    all = usage_of(l.da).bytes_limit;
    assert_int_equal(raw_set_quota(&l.admin, l.me, "bytes", "50%"), RAW_CODE(OK));
    half = usage_of(l.da).bytes_limit;
    assert_in_range(half, all / 2 - 4096, all / 2 + 4096);
    assert_int_equal(raw_set_quota(&l.admin, l.me, "bytes", "unlimited"), RAW_CODE(OK));
    assert_true(usage_of(l.da).bytes_limit == UINT64_MAX);
    assert_int_equal(raw_set_quota(&l.admin, l.me, "bytes", "0"), RAW_CODE(OK));
    assert_int_equal(diskalloc_region_resize(l.r, 1), -EDQUOT);
    live_stop(&l);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(what_is_set_wins_survives_restarts_and_ends_when_it_is_unset),
        TEST(a_drop_in_is_named_as_the_origin),
        TEST(lowering_below_the_usage_refuses_growth_takes_nothing_away_and_is_shown),
        TEST(fewer_regions_and_connections_than_there_are_refuse_only_more),
        TEST(a_bad_file_changes_nothing_and_the_log_says_why),
        TEST(keep_free_raised_by_a_reload_refuses_growth_at_once),
        TEST(percentages_set_at_run_time_are_of_the_file_systems_total),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
