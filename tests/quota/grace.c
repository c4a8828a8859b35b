// Soft limits of a real daemon: the warning, the end of the grace period, and what a restart remembers.
#include "tests/lib/quota_usage.h"

#include <sys/stat.h>
#include <time.h>

#define CONFIG "[daemon]\nkeep_free = 0\n[quota default]\nbytes = 16M\nwarn_at = unlimited\nsoft_bytes = 4M\ngrace = "

struct growth {
    struct raw *c;
    const struct raw_handle *h;
    uint64_t size;
};

static bool is_refused(void *data)
{
    const struct growth *g = data;

    return raw_grow(g->c, g->h, g->size) == RAW_CODE(LIMIT);
}

static void growth_is_refused_after_the_grace_period_until_less_is_used(void **state)
{
    struct raw_handle h = raw_handle_new(), more = raw_handle_new();
    struct test_daemon d;
    struct raw c;
    struct growth g = {.c = &c, .h = &h};

    (void)state;
    test_daemon_start(&d, CONFIG "2s\n", NULL);
    assert_int_equal(raw_open(&c, d.socket), RAW_CODE(OK));
    assert_int_equal(raw_create(&c, &h, 4 * MIB), RAW_CODE(OK));
    assert_int_equal(USAGE_OF(&c, "", soft_bytes), 4 * MIB);
    assert_int_equal(USAGE_OF(&c, "", grace_ends), 0);
    assert_int_equal(c.n_events, 0);
    assert_int_equal(raw_grow(&c, &h, 5 * MIB), RAW_CODE(OK));
    assert_true(USAGE_OF(&c, "", grace_ends) > 0);
    assert_int_equal(c.n_events, 1);
    await_log(&d, "soft_bytes: 5.0M of 4.0M are used; from 2", 1);
    for (g.size = 5 * MIB + 4096; !is_refused(&g); g.size += 4096) {
        const struct timespec pause = {.tv_nsec = 20000000};

        assert_true(g.size < 15 * MIB);
        nanosleep(&pause, NULL);
    }
    assert_int_equal(USAGE_OF(&c, "", grantable_bytes), 0);
    assert_int_equal(raw_create(&c, &more, 4096), RAW_CODE(LIMIT));
    assert_int_equal(raw_shrink(&c, &h, 3 * MIB, g.size - 4096), RAW_CODE(OK));
    assert_int_equal(raw_grow(&c, &h, 4 * MIB), RAW_CODE(OK));
    raw_close(&c);
    test_daemon_stop_and_remove(&d);
}

static void a_mark_that_is_set_below_the_use_is_told_without_growth(void **state)
{
    struct raw_handle h = raw_handle_new();
    struct test_daemon d;
    struct raw c;

    (void)state;
    test_daemon_start(&d, "[daemon]\nkeep_free = 0\n", NULL);
    assert_int_equal(raw_open(&c, d.socket), RAW_CODE(OK));
    assert_int_equal(raw_create(&c, &h, 5 * MIB), RAW_CODE(OK));
    reload(&d, "[daemon]\nkeep_free = 0\n[quota default]\nsoft_bytes = 4M\ngrace = 1h\n");
    await_log(&d, "soft_bytes: 5.0M of 4.0M are used; from 2", 1);
    assert_int_equal(raw_set_quota(&c, "default", "warn_at", "3M"), RAW_CODE(OK));
    await_log(&d, " bytes: 5.0M of ", 1);
    raw_free(raw_usage(&c, "")); // both were sent before this answer
    assert_int_equal(c.n_events, 2);
    raw_close(&c);
    test_daemon_stop_and_remove(&d);
}

static bool is_noted(void *data)
{
    const struct test_daemon *d = data;
    char path[300], text[300] = "";
    FILE *f;

    snprintf(path, sizeof path, "%s/.grace", d->spill);
    f = fopen(path, "re");
    if (f) {
        if (!fgets(text, sizeof text, f))
            text[0] = '\0';
        fclose(f);
    }
    return strstr(text, " user:+") != NULL;
}

static void set_earlier(const struct test_daemon *d, const char *what)
{
    char path[300];
    FILE *f;

    snprintf(path, sizeof path, "%s/.grace", d->spill);
    f = fopen(path, "we");
    assert_non_null(f);
    fputs(what, f);
    assert_int_equal(fclose(f), 0);
}

static void a_restart_begins_no_new_period(void **state)
{
    struct raw_handle h = raw_handle_new(), more = raw_handle_new();
    struct test_daemon d;
    char line[100];
    struct raw c;

    (void)state;
    test_daemon_start(&d, CONFIG "1h\n", NULL);
    assert_int_equal(raw_open(&c, d.socket), RAW_CODE(OK));
    assert_int_equal(raw_create_named(&c, "result", &h, 5 * MIB), RAW_CODE(OK));
    test_wait_until(is_noted, &d, 60, "the daemon notes who is above the soft limit");
    raw_close(&c);
    test_daemon_kill(&d, SIGKILL);
    snprintf(line, sizeof line, "nonsense\n1000 user:+%u\n2000 user:+4000000000\nthe rest", (unsigned)geteuid());
    set_earlier(&d, line);
    test_daemon_restart(&d);
    assert_int_equal(raw_open(&c, d.socket), RAW_CODE(OK));
    assert_int_equal(USAGE_OF(&c, "", grace_ends), 1000 + 3600);
    assert_int_equal(raw_create(&c, &more, 4096), RAW_CODE(LIMIT));
    await_log(&d, "soft_bytes: 5.0M of 4.0M are used; from 1970-01-01T01:16:40Z on growth is refused", 1);
    assert_int_equal(log_count(&d, "soft_bytes: 5.0M of"), 2); // the first daemon's, too
    assert_int_equal(log_count(&d, "/.grace has a line that means nothing"), 1);
    assert_int_equal(log_count(&d, ".grace: not a user's directory"), 0);
    raw_close(&c);
    test_daemon_stop_and_remove(&d);
}

// Groups are charged when their members were looked up, which a start does not wait for.
static void a_restart_begins_no_new_period_for_a_group(void **state)
{
    struct raw_handle h = raw_handle_new(), more = raw_handle_new();
    char config[300], key[40], line[100];
    struct test_daemon d;
    struct raw c;

    (void)state;
    snprintf(key, sizeof key, "group:+%u", (unsigned)getegid());
    snprintf(config, sizeof config, "[daemon]\nkeep_free = 0\n[quota %s]\nsoft_bytes = 4M\ngrace = 1h\n", key);
    test_daemon_start(&d, config, NULL);
    assert_int_equal(raw_open(&c, d.socket), RAW_CODE(OK));
    assert_int_equal(raw_create_named(&c, "result", &h, 5 * MIB), RAW_CODE(OK));
    AWAIT_USAGE(&c, key, bytes, 5 * MIB);
    raw_close(&c);
    test_daemon_kill(&d, SIGKILL);
    snprintf(line, sizeof line, "1000 %s\n", key);
    set_earlier(&d, line);
    for (int i = 0; i < 2; i++) { // also if the first one was killed before it knew
        test_daemon_restart(&d);
        if (i == 0)
            test_daemon_kill(&d, SIGKILL);
    }
    assert_int_equal(raw_open(&c, d.socket), RAW_CODE(OK));
    AWAIT_USAGE(&c, key, grace_ends, 1000 + 3600);
    assert_int_equal(raw_create(&c, &more, 4096), RAW_CODE(LIMIT));
    raw_close(&c);
    test_daemon_stop_and_remove(&d);
}

// In the spill directory, in the way of what the daemon reads and writes: a directory that is not empty.
static void obstruct(const struct test_daemon *d, const char *name, bool exists)
{
    char path[300], inner[310];

    snprintf(path, sizeof path, "%s/%s", d->spill, name);
    snprintf(inner, sizeof inner, "%s/inner", path);
    if (exists)
        assert_return_code(mkdir(path, 0700), errno);
    assert_return_code(exists ? mkdir(inner, 0700) : rmdir(inner), errno);
    if (!exists)
        assert_return_code(rmdir(path), errno);
}

static void a_list_that_cannot_be_read_or_written_is_told_of_and_written_when_that_works(void **state)
{
    struct raw_handle h = raw_handle_new();
    struct test_daemon d;
    struct raw c;

    (void)state;
    test_daemon_start(&d, CONFIG "1h\n", NULL);
    test_daemon_stop(&d);
    obstruct(&d, ".grace", true);
    test_daemon_restart(&d);
    assert_int_equal(log_count(&d, "/.grace cannot be read: Is a directory: grace periods begin anew"), 1);
    assert_int_equal(raw_open(&c, d.socket), RAW_CODE(OK));
    assert_int_equal(raw_create(&c, &h, 5 * MIB), RAW_CODE(OK));
    await_log(&d, "/.grace cannot be written: Directory not empty: a restart would begin grace periods anew", 1);
    obstruct(&d, ".grace", false);
    test_wait_until(is_noted, &d, 60, "the daemon has tried again");
    assert_int_equal(log_count(&d, "/.grace cannot be written"), 1); // once, however often it was tried
    raw_close(&c);
    test_daemon_stop_and_remove(&d);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(growth_is_refused_after_the_grace_period_until_less_is_used),
        TEST(a_mark_that_is_set_below_the_use_is_told_without_growth),
        TEST(a_restart_begins_no_new_period),
        TEST(a_restart_begins_no_new_period_for_a_group),
        TEST(a_list_that_cannot_be_read_or_written_is_told_of_and_written_when_that_works),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
