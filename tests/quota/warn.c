// warn_at: one line in the log and one event to the user's clients, and not again until an eighth of
// the mark has been free.
#include "tests/lib/quota_usage.h"
#include "tests/lib/test_daemon.h"

#include <poll.h>

#define CONFIG "[daemon]\nkeep_free = 0\n[quota default]\nbytes = 8M\nwarn_at = 50%\n"

struct watch {
    struct test_daemon d;
    struct diskalloc *da[2];
    struct raw stranger;
    struct diskalloc_region *r;
    char label[40], line[60];
};

static void watch_start(struct watch *w)
{
    memset(w, 0, sizeof(*w));
    test_daemon_start(&w->d, CONFIG, NULL);
    for (int i = 0; i < 2; i++) {
        assert_int_equal(diskalloc_open(w->d.address, NULL, &w->da[i]), 0);
        assert_true(diskalloc_event_fd(w->da[i]) >= 0);
    }
    w->stranger.sock = -1;
    if (geteuid() == 0)
        assert_int_equal(raw_open_as(&w->stranger, w->d.socket, 3000001), RAW_CODE(OK));
    w->r = make_region(w->da[0], 0);
    subject_of_uid(geteuid(), w->label, sizeof(w->label));
    snprintf(w->line, sizeof(w->line), "%s bytes", w->label);
}

static void watch_stop(struct watch *w)
{
    diskalloc_region_close(w->r);
    if (w->stranger.sock >= 0) {
        raw_free(raw_usage(&w->stranger, "")); // whatever was sent to it has been read then
        assert_int_equal(w->stranger.n_events, 0);
    }
    raw_close(&w->stranger);
    for (int i = 0; i < 2; i++)
        diskalloc_close(w->da[i]);
    test_daemon_stop_and_remove(&w->d);
}

// Events that the daemon sent before its answer have been read with the answer.
static void there_is_no_event(struct watch *w)
{
    struct diskalloc_event e;

    for (int i = 0; i < 2; i++) {
        usage_of(w->da[i]);
        assert_int_equal(diskalloc_next_event(w->da[i], &e, sizeof(e)), 0);
    }
}

static void there_is_one_event(struct watch *w, uint64_t limit, uint64_t used, uint64_t warn)
{
    for (int i = 0; i < 2; i++) {
        struct pollfd p = {.fd = diskalloc_event_fd(w->da[i]), .events = POLLIN};
        struct diskalloc_event e = {0};

        while (diskalloc_next_event(w->da[i], &e, sizeof(e)) == 0)
            assert_true(poll(&p, 1, 60000) > 0);
        assert_int_equal(e.kind, DISKALLOC_EVENT_QUOTA_WARNING);
        assert_string_equal(e.limit_name, w->line);
        assert_int_equal(e.limit, limit);
        assert_int_equal(e.used, used);
        assert_int_equal(e.warn, warn);
    }
    there_is_no_event(w);
}

static void reaching_the_mark_is_told_once_until_it_was_well_below(void **state)
{
    struct watch w;
    size_t lines;

    (void)state;
    watch_start(&w);
    lines = log_count(&w.d, w.line);
    assert_int_equal(diskalloc_region_resize(w.r, 4 * MIB - 4096), 0);
    there_is_no_event(&w);
    assert_int_equal(diskalloc_region_resize(w.r, 4 * MIB), 0);
    there_is_one_event(&w, 8 * MIB, 4 * MIB, 4 * MIB);
    await_log(&w.d, w.line, lines + 1);
    assert_int_equal(usage_of(w.da[0]).warn_bytes, 4 * MIB);
    assert_int_equal(diskalloc_region_resize(w.r, 6 * MIB), 0);
    assert_int_equal(diskalloc_region_resize(w.r, 5 * MIB), 0);
    assert_int_equal(diskalloc_region_resize(w.r, 7 * MIB), 0);
    there_is_no_event(&w);
    assert_int_equal(log_count(&w.d, w.line), lines + 1);
    assert_int_equal(diskalloc_region_resize(w.r, 4 * MIB - 4096), 0);
    assert_int_equal(diskalloc_region_resize(w.r, 5 * MIB), 0);
    there_is_no_event(&w);
    assert_int_equal(diskalloc_region_resize(w.r, 3 * MIB + MIB / 2), 0); // an eighth of the mark is free
    assert_int_equal(diskalloc_region_resize(w.r, 5 * MIB), 0);
    there_is_one_event(&w, 8 * MIB, 5 * MIB, 4 * MIB);
    await_log(&w.d, w.line, lines + 2);
    watch_stop(&w);
}

static void discarding_below_the_mark_counts_as_below_and_restoring_reaches_it(void **state)
{
    struct watch w;

    (void)state;
    watch_start(&w);
    assert_int_equal(diskalloc_region_resize(w.r, 5 * MIB), 0);
    there_is_one_event(&w, 8 * MIB, 5 * MIB, 4 * MIB);
    assert_int_equal(diskalloc_region_discard(w.r, 0, 2 * MIB), 0);
    there_is_no_event(&w);
    assert_int_equal(diskalloc_region_restore(w.r, 0, 2 * MIB), 0);
    there_is_one_event(&w, 8 * MIB, 5 * MIB, 4 * MIB);
    watch_stop(&w);
}

static void a_mark_that_was_raised_is_told_when_it_is_reached(void **state)
{
    struct watch w;
    struct raw admin;

    (void)state;
    watch_start(&w);
    assert_int_equal(raw_open(&admin, w.d.socket), RAW_CODE(OK));
    assert_int_equal(diskalloc_region_resize(w.r, 4 * MIB), 0);
    there_is_one_event(&w, 8 * MIB, 4 * MIB, 4 * MIB);
    assert_int_equal(raw_set_quota(&admin, w.label, "bytes", "16M"), RAW_CODE(OK));
    assert_int_equal(usage_of(w.da[0]).warn_bytes, 8 * MIB);
    assert_int_equal(diskalloc_region_resize(w.r, 9 * MIB), 0);
    there_is_one_event(&w, 16 * MIB, 9 * MIB, 8 * MIB);
    raw_close(&admin);
    watch_stop(&w);
}

static void a_refused_growth_is_logged_once_until_it_recovers(void **state)
{
    struct watch w;
    size_t lines;

    (void)state;
    watch_start(&w);
    assert_int_equal(diskalloc_region_resize(w.r, 8 * MIB), 0);
    lines = log_count(&w.d, w.line);
    for (int i = 0; i < 20; i++)
        assert_int_equal(diskalloc_region_resize(w.r, 8 * MIB + 1), -EDQUOT);
    usage_of(w.da[0]);
    assert_in_range(log_count(&w.d, w.line), lines + 1, lines + 2); // and the warning's own
    lines = log_count(&w.d, w.line);
    assert_int_equal(diskalloc_region_resize(w.r, 0), 0);
    assert_int_equal(diskalloc_region_resize(w.r, 9 * MIB), -EDQUOT);
    usage_of(w.da[0]);
    assert_int_equal(log_count(&w.d, w.line), lines + 1);
    watch_stop(&w);
}

// Of another user's region, whose owner is charged: the log names who has asked.
static void a_refusal_names_who_has_asked(void **state)
{
    Diskalloc__V1__AttachRegion m = DISKALLOC__V1__ATTACH_REGION__INIT;
    struct diskalloc_region_options o = DISKALLOC_REGION_OPTIONS_INIT;
    RawRequest q = RAW_REQUEST_INIT;
    struct diskalloc_region *shared;
    struct raw_handle handle;
    struct watch w;

    (void)state;
    if (geteuid() != 0)
        skip();
    watch_start(&w);
    o.flags = DISKALLOC_REGION_CREATE;
    o.mode = 0666;
    assert_int_equal(diskalloc_region_open(w.da[0], "shared", &o, &shared), 0);
    handle = raw_handle_of(diskalloc_region_handle(shared));
    m.handle = raw_bytes(&handle);
    q.body_case = RAW_BODY(ATTACH_REGION);
    q.attach_region = &m;
    assert_int_equal(raw_done(&w.stranger, &q), RAW_CODE(OK));
    assert_int_equal(raw_grow(&w.stranger, &handle, 9 * MIB), RAW_CODE(LIMIT));
    await_log(&w.d, "bytes: refused 9.0M more to uid 3000001", 1);
    diskalloc_region_close(shared);
    assert_int_equal(diskalloc_region_unlink(w.da[0], "shared"), 0);
    watch_stop(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(reaching_the_mark_is_told_once_until_it_was_well_below),
        TEST(discarding_below_the_mark_counts_as_below_and_restoring_reaches_it),
        TEST(a_mark_that_was_raised_is_told_when_it_is_reached),
        TEST(a_refused_growth_is_logged_once_until_it_recovers),
        TEST(a_refusal_names_who_has_asked),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
