// The queues of those who watch: who gets what, and what becomes of those who do not read.
#include "daemon/reports.h"

#include <inttypes.h>

#include "tests/lib/harness.h"

enum { MOST_QUEUED = 512, MOST_OF_USER = 8, MOST = 48, MOST_WITH_ADMINS = 64 };

static bool sees_all(const struct watcher *w, const struct report *r)
{
    (void)w;
    (void)r;
    return true;
}

static bool sees_own(const struct watcher *w, const struct report *r)
{
    return r->is_public || (r->has_user && r->uid == w->uid);
}

static struct reports *new_reports(void)
{
    struct reports *r = NULL;

    assert_int_equal(reports_new(&r), 0);
    return r;
}

static void publish(struct reports *r, uid_t uid, uint64_t size)
{
    struct report report = {.kind = REPORT_CREATED, .has_user = true, .uid = uid, .size = size};

    reports_publish(r, &report);
}

static void a_report_is_copied_for_each_who_may_see_it(void **state)
{
    struct watcher all = {.sees = sees_all}, own = {.sees = sees_own, .uid = 5};
    struct reports *r = new_reports();
    char name[] = "name", text[] = "text";
    const struct handle h = {.bytes = {1, 2, 3}};
    struct report report = {
        .kind = REPORT_REMOVED, .has_user = true, .uid = 7, .handle = &h, .name = name, .text = text};
    const struct report *got;
    uint64_t lost;

    (void)state;
    assert_false(reports_are_wanted(r));
    publish(r, 5, 1); // nobody watches
    assert_int_equal(reports_watch(r, &all), 0);
    assert_int_equal(reports_watch(r, &own), 0);
    assert_true(reports_are_wanted(r));
    reports_publish(r, &report);
    memset(name, 'x', sizeof name - 1);
    memset(text, 'x', sizeof text - 1);
    got = reports_peek(&all, &lost);
    assert_non_null(got);
    assert_int_equal(lost, 0);
    assert_string_equal(got->name, "name");
    assert_string_equal(got->text, "text");
    assert_memory_equal(got->handle, &h, sizeof h);
    assert_null(got->client_name);
    assert_true(got->time_us > UINT64_C(1700000000) * 1000000);
    assert_null(reports_peek(&own, &lost));
    publish(r, 5, 2);
    assert_int_equal(reports_peek(&own, &lost)->size, 2);
    report = (struct report){.kind = REPORT_DISK_WELL, .is_public = true};
    reports_publish(r, &report);
    reports_drop(&own);
    assert_int_equal(reports_peek(&own, &lost)->kind, REPORT_DISK_WELL);
    assert_int_equal(reports_count_watchers(r), 2);
    for (int i = 0; i < 2; i++) {
        assert_ptr_equal(reports_take_turn(r), &all);
        assert_ptr_equal(reports_take_turn(r), &own);
    }
    reports_unwatch(&all);
    reports_unwatch(&own);
    reports_unwatch(&own);
    assert_false(reports_are_wanted(r));
    reports_free(r);
}

static void what_does_not_fit_is_counted_for_the_next_report(void **state)
{
    struct watcher w = {.sees = sees_own, .uid = 5};
    struct reports *r = new_reports();
    uint64_t lost;

    (void)state;
    assert_int_equal(reports_watch(r, &w), 0);
    for (uint64_t i = 0; i < MOST_QUEUED + 10; i++)
        publish(r, 5, i);
    publish(r, 6, 0); // not for this watcher: it does not count
    for (uint64_t i = 0; i < MOST_QUEUED; i++) {
        assert_int_equal(reports_peek(&w, &lost)->size, i);
        assert_int_equal(lost, 0);
        reports_drop(&w);
    }
    assert_null(reports_peek(&w, &lost));
    publish(r, 5, 1000);
    assert_int_equal(reports_peek(&w, &lost)->size, 1000);
    assert_int_equal(lost, 10);
    publish(r, 5, 1001);
    reports_drop(&w);
    assert_int_equal(reports_peek(&w, &lost)->size, 1001);
    assert_int_equal(lost, 0);
    reports_unwatch(&w);
    reports_free(r);
}

// Reports about the user UID that W is given, all of them; and those that were lost.
static unsigned count_about(struct watcher *w, uid_t uid, uint64_t *ret_lost)
{
    const struct report *got;
    unsigned n = 0;
    uint64_t lost;

    *ret_lost = 0;
    while ((got = reports_peek(w, &lost))) {
        n += got->has_user && got->uid == uid;
        *ret_lost += lost;
        reports_drop(w);
    }
    return n;
}

static void who_does_very_much_hides_nothing_that_others_do(void **state)
{
    enum { FLOODS = 4, EACH = 5000 };
    struct watcher w = {.sees = sees_all, .uid = 0};
    struct reports *r = new_reports();
    struct report to_all = {.kind = REPORT_DISK_PROBLEM, .is_public = true};
    uint64_t lost;

    (void)state;
    assert_int_equal(reports_watch(r, &w), 0);
    for (int round = 0; round < 3; round++) { // what was read makes room again
        for (uint64_t i = 0; i < EACH; i++)
            for (uid_t uid = 1000; uid < 1000 + FLOODS; uid++)
                publish(r, uid, i);
        for (uid_t uid = 2000; uid < 2010; uid++)
            publish(r, uid, 7);
        reports_publish(r, &to_all);
        for (uint64_t i = 0; i < EACH; i++)
            publish(r, 1000, i);
        publish(r, 3000, 8);
        assert_int_equal(count_about(&w, 3000, &lost), 1);
        publish(r, 3000, 9);
        assert_int_equal(reports_peek(&w, &lost)->size, 9);
        reports_drop(&w);
    }
    // The watcher's own user may fill the queue.
    for (uint64_t i = 0; i < EACH; i++)
        publish(r, 0, i);
    assert_int_equal(count_about(&w, 0, &lost), MOST_QUEUED);
    for (uint64_t i = 0; i < EACH; i++)
        publish(r, 1000, i);
    for (uid_t uid = 2000; uid < 2010; uid++)
        publish(r, uid, 7);
    publish(r, 1001, 10);
    assert_int_equal(count_about(&w, 1001, &lost), 1);
    publish(r, 1001, 11);
    assert_int_equal(reports_peek(&w, &lost)->size, 11);
    reports_unwatch(&w);
    reports_free(r);
}

// Uids of 10,000 and more are lent, to 1 and 2 in turn.
static uint32_t lender_of(void *data, uid_t uid)
{
    (*(unsigned *)data)++;
    return uid < 10000 ? uid : 1 + uid % 2;
}

static void the_uids_of_one_person_have_one_share(void **state)
{
    struct watcher all = {.sees = sees_all, .uid = 0}, watchers[MOST_OF_USER], another;
    struct reports *r = new_reports();
    unsigned n_asked = 0;
    uint64_t lost;

    (void)state;
    reports_set_parties(r, lender_of, &n_asked);
    publish(r, 10001, 0);
    assert_int_equal(n_asked, 0); // nobody watches
    for (int i = 0; i < MOST_OF_USER; i++) {
        watchers[i] = (struct watcher){.sees = sees_own, .uid = 10000 + 2 * (uid_t)i};
        assert_int_equal(reports_watch(r, &watchers[i]), 0);
    }
    another = (struct watcher){.sees = sees_own, .uid = 1};
    assert_int_equal(reports_watch(r, &another), -EUSERS);
    another.uid = 10001;
    assert_int_equal(reports_watch(r, &another), 0);
    assert_int_equal(reports_watch(r, &all), 0);
    for (uid_t uid = 10000; uid < 14000; uid++)
        publish(r, uid, 0);
    publish(r, 3, 0);
    assert_int_equal(count_about(&all, 3, &lost), 1);
    for (int i = 0; i < MOST_OF_USER; i++)
        reports_unwatch(&watchers[i]);
    reports_unwatch(&another);
    reports_unwatch(&all);
    reports_free(r);
}

static void watchers_are_few_and_some_places_are_kept_for_administrators(void **state)
{
    struct watcher watchers[MOST_WITH_ADMINS + 1] = {{0}}, another = {.sees = sees_all, .uid = 0};
    struct reports *r = new_reports();
    int n = 0;

    (void)state;
    for (; n < MOST; n++) {
        watchers[n] = (struct watcher){.sees = sees_own, .uid = 1000 + (uid_t)n / MOST_OF_USER};
        if (n == MOST_OF_USER) {
            another.uid = 1000;
            assert_int_equal(reports_watch(r, &another), -EUSERS);
        }
        assert_int_equal(reports_watch(r, &watchers[n]), 0);
    }
    another.uid = 5000;
    assert_int_equal(reports_watch(r, &another), -EUSERS);
    assert_null(another.reports);
    for (; n < MOST_WITH_ADMINS; n++) {
        watchers[n] = (struct watcher){.sees = sees_all, .uid = (uid_t)n / MOST_OF_USER, .is_admin = true};
        assert_int_equal(reports_watch(r, &watchers[n]), 0);
    }
    another.is_admin = true;
    assert_int_equal(reports_watch(r, &another), -EUSERS);
    reports_unwatch(&watchers[0]);
    assert_int_equal(reports_watch(r, &another), 0);
    reports_unwatch(&another);
    while (--n > 0)
        reports_unwatch(&watchers[n]);
    reports_free(r);
}

static void without_a_table_nothing_is_published(void **state)
{
    (void)state;
    assert_false(reports_are_wanted(NULL));
    publish(NULL, 5, 1);
    assert_null(reports_take_turn(NULL));
    assert_int_equal(reports_count_watchers(NULL), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_report_is_copied_for_each_who_may_see_it),
        TEST(what_does_not_fit_is_counted_for_the_next_report),
        TEST(who_does_very_much_hides_nothing_that_others_do),
        TEST(the_uids_of_one_person_have_one_share),
        TEST(watchers_are_few_and_some_places_are_kept_for_administrators),
        TEST(without_a_table_nothing_is_published),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
