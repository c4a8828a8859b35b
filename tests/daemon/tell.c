// How many reports, and news of regions, are sent at a time, and to whom: however many are due, and however many watch.
#include "daemon/conn/connection.h"

#include <event2/event.h>

#include "daemon/news.h"
#include "daemon/reports.h"
#include "daemon/user.h"
#include "tests/lib/harness.h"

enum { WATCHERS = 40, EACH = 100, MOST_AT_A_TIME = 4 };

struct scene {
    struct reports *reports;
    struct request_env request;
    struct conn_env env;
    struct conn conns[WATCHERS];
    unsigned n_told[WATCHERS];
};

static struct scene *scene;

static bool sees_all(const struct watcher *w, const struct report *r)
{
    (void)w;
    (void)r;
    return true;
}

static void count_reply(struct peer *peer, const Diskalloc__V1__Reply *reply, int fd)
{
    (void)fd;
    assert_non_null(reply->event);
    for (int i = 0; i < WATCHERS; i++)
        if (peer == &scene->conns[i].peer) {
            assert_int_equal(reply->event->report->limit, scene->n_told[i]); // in order
            scene->n_told[i]++;
        }
}

static void scene_init(void)
{
    scene = calloc(1, sizeof *scene);
    assert_non_null(scene);
    assert_int_equal(reports_new(&scene->reports), 0);
    scene->request.op.reports = scene->reports;
    scene->env.request = &scene->request;
    for (int i = 0; i < WATCHERS; i++) {
        struct peer *peer = &scene->conns[i].peer;

        peer->reply = count_reply;
        peer->watches = &scene->request;
        peer->watcher = (struct watcher){.sees = sees_all, .uid = (uid_t)i};
        assert_int_equal(reports_watch(scene->reports, &peer->watcher), 0);
    }
    for (uint64_t i = 0; i < EACH; i++) {
        struct report report = {.kind = REPORT_DISK_WELL, .is_public = true, .limit = i};

        reports_publish(scene->reports, &report);
    }
}

static void scene_deinit(void)
{
    for (int i = 0; i < WATCHERS; i++)
        reports_unwatch(&scene->conns[i].peer.watcher);
    reports_free(scene->reports);
    free(scene);
}

static unsigned sum(void)
{
    unsigned n = 0;

    for (int i = 0; i < WATCHERS; i++)
        n += scene->n_told[i];
    return n;
}

static void many_reports_for_many_watchers_are_sent_a_few_at_a_time_and_in_turn(void **state)
{
    unsigned before = 0, turns = 0;
    bool more;

    (void)state;
    scene_init();
    do {
        more = tell_reports(&scene->env);
        assert_in_range(sum() - before, 0, MOST_AT_A_TIME);
        before = sum();
        // Nobody is more than one report ahead of another.
        for (int i = 0; i < WATCHERS; i++)
            assert_in_range(scene->n_told[i], before / WATCHERS, before / WATCHERS + (before % WATCHERS > 0));
        turns++;
    } while (more);
    assert_int_equal(before, WATCHERS * EACH);
    assert_in_range(turns, WATCHERS * EACH / MOST_AT_A_TIME, WATCHERS * EACH / MOST_AT_A_TIME + 1);
    assert_false(tell_reports(&scene->env));
    scene_deinit();
}

// A watcher has ended, another reads nothing, and so on: the others get theirs.
static void who_can_be_told_nothing_keeps_nobody_from_their_turn(void **state)
{
    (void)state;
    scene_init();
    for (int i = 0; i < WATCHERS - 1; i++) {
        scene->conns[i].bad = i % 4 == 0;
        scene->conns[i].ending = i % 4 == 1;
        scene->conns[i].gone = i % 4 == 2;
        scene->conns[i].replies.n = i % 4 == 3;
    }
    while (tell_reports(&scene->env))
        continue;
    assert_int_equal(scene->n_told[WATCHERS - 1], EACH);
    assert_int_equal(sum(), EACH);
    scene_deinit();
}

// ---- News of regions ----

enum { REGIONS = 1000, MOST_UNHEARD = 32 };

// A client with many regions did not read, and reads again: its news come a part at a time.
static void news_that_were_held_come_a_part_at_a_time(void **state)
{
    static struct attachment attachments[REGIONS];
    static struct conn c;
    struct region region = {0};
    struct user user = {0};
    struct request_env request = {0};
    struct conn_env env = {.base = event_base_new(), .request = &request};
    unsigned left = REGIONS, most = MOST_UNHEARD / 2;

    (void)state;
    assert_int_equal(news_new(&request.op.news), 0);
    assert_int_equal(tell_init(&env), 0);
    TAILQ_INIT(&user.news);
    c.env = &env;
    c.peer.user = &user;
    TAILQ_INIT(&c.peer.held);
    c.replies.n = 1;
    for (int i = 0; i < REGIONS; i++) {
        attachments[i] = (struct attachment){.peer = &c.peer, .user = &user, .region = &region};
        news_add(request.op.news, &attachments[i]);
    }
    while (tell_serve(&env))
        continue;
    assert_true(c.holds && news_is_empty(request.op.news));
    c.replies.n = 0;
    c.n_unheard = most;
    while (left > 0) {
        const struct attachment *a;
        unsigned n = 0;

        assert_true(c.holds);
        tell_again(&c);
        while ((a = news_take(request.op.news)))
            n++;
        assert_int_equal(n, left < most ? left : most);
        left -= n;
        most = MOST_UNHEARD;
        c.n_unheard = 0;
    }
    assert_false(c.holds);
    tell_deinit(&env);
    news_free(request.op.news);
    event_base_free(env.base);
}

// Very many clients do not read: not all are looked at in one step.
static void who_does_not_read_is_looked_at_a_few_at_a_time(void **state)
{
    enum { HOLDING = 20, MOST = 8 };
    static struct conn conns[HOLDING];
    struct conn_env env = {0};
    unsigned n = 0;

    (void)state;
    TAILQ_INIT(&env.holding);
    for (int i = 0; i < HOLDING; i++) {
        conns[i].env = &env;
        conns[i].holds = true;
        conns[i].bad = true; // nothing can be sent
        TAILQ_INSERT_TAIL(&env.holding, &conns[i], holding_entry);
    }
    env.n_holding = env.n_to_look = HOLDING;
    for (const struct conn *first = TAILQ_FIRST(&env.holding); tell_look(&env); first = TAILQ_FIRST(&env.holding)) {
        const unsigned looked_at = HOLDING - n < MOST ? HOLDING - n : MOST;

        assert_ptr_equal(first, &conns[n]);
        n += looked_at;
        assert_ptr_equal(TAILQ_FIRST(&env.holding), &conns[n % HOLDING]);
    }
    assert_int_equal(n, HOLDING);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(many_reports_for_many_watchers_are_sent_a_few_at_a_time_and_in_turn),
        TEST(who_can_be_told_nothing_keeps_nobody_from_their_turn),
        TEST(news_that_were_held_come_a_part_at_a_time),
        TEST(who_does_not_read_is_looked_at_a_few_at_a_time),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
