// Storms (tests/lib/storm.h) of requests that only look, and of those who watch: lists of accounts, metrics, reports of
// what happens, and regions that very many connections watch.
//
// The configuration has very many sections, so that lists are long.
#include "tests/lib/actor.h"
#include "tests/lib/raw_client.h"
#include "tests/lib/storm.h"

enum { SUBJECTS = 3000, WATCHERS = 8, REFUSALS = 600, AT_ONCE = 32, SILENT = 500, WATCHING = 200, WAITING = 16 };

static struct test_daemon d;

static void open_with(struct raw *c, uint64_t features)
{
    NEED(raw_open_with(c, d.socket, features) == RAW_CODE(OK));
}

static void watch(struct raw *c)
{
    Diskalloc__V1__WatchEvents body = DISKALLOC__V1__WATCH_EVENTS__INIT;
    RawRequest q = RAW_REQUEST_INIT;

    open_with(c, DISKALLOC__V1__FEATURE__FEATURE_EVENTS);
    q.body_case = RAW_BODY(WATCH_EVENTS);
    q.watch_events = &body;
    NEED(raw_done(c, &q) == RAW_CODE(OK));
}

static void answers(struct raw *c, unsigned n)
{
    while (n-- > 0)
        raw_free(raw_answer(c));
}

// Each of them is a report.
static void be_refused(struct raw *c, unsigned n)
{
    Diskalloc__V1__CreateRegion body = DISKALLOC__V1__CREATE_REGION__INIT;
    struct raw_handle h = raw_handle_new();
    RawRequest q = RAW_REQUEST_INIT;

    body.handle = raw_bytes(&h);
    body.size = TIB;
    q.body_case = RAW_BODY(CREATE_REGION);
    q.create_region = &body;
    for (unsigned i = 0; i < n; i++)
        NEED(raw_send(c, &q) != 0);
    answers(c, n);
}

static void watch_and_never_read(void)
{
    static struct raw watchers[WATCHERS], c;
    static bool begun;

    for (int i = 0; i < WATCHERS && !begun; i++)
        watch(&watchers[i]);
    if (!begun)
        open_with(&c, 0);
    begun = true;
    be_refused(&c, AT_ONCE);
}

static void watch_and_read_late(void)
{
    static struct raw watchers[WATCHERS], c;
    static bool begun;

    for (int i = 0; i < WATCHERS && !begun; i++)
        watch(&watchers[i]);
    if (!begun)
        open_with(&c, 0);
    begun = true;
    for (unsigned n = 0; n < 2 * REFUSALS; n += AT_ONCE)
        be_refused(&c, AT_ONCE);
    for (int i = 0; i < WATCHERS; i++)
        while (raw_has_reply(&watchers[i]))
            raw_free(raw_receive(&watchers[i]));
}

static void ask(struct raw *c, unsigned n)
{
    Diskalloc__V1__ListUsage body = DISKALLOC__V1__LIST_USAGE__INIT;
    RawRequest q = RAW_REQUEST_INIT;

    q.body_case = RAW_BODY(LIST_USAGE);
    q.list_usage = &body;
    while (n-- > 0)
        NEED(raw_send(c, &q) != 0);
}

static void ask_for_metrics(struct raw *c, unsigned n)
{
    Diskalloc__V1__GetMetrics body = DISKALLOC__V1__GET_METRICS__INIT;
    RawRequest q = RAW_REQUEST_INIT;

    q.body_case = RAW_BODY(GET_METRICS);
    q.get_metrics = &body;
    while (n-- > 0)
        NEED(raw_send(c, &q) != 0);
}

static void list_accounts(void)
{
    static struct raw c;

    if (c.last_id == 0)
        open_with(&c, 0);
    ask(&c, AT_ONCE);
    answers(&c, AT_ONCE);
}

static void get_metrics(void)
{
    static struct raw c;

    if (c.last_id == 0)
        open_with(&c, 0);
    ask_for_metrics(&c, AT_ONCE);
    answers(&c, AT_ONCE);
}

static void wait_for_space(struct raw *c, unsigned n)
{
    struct raw_handle h = raw_handle_new();

    NEED(raw_create(c, &h, 0) == RAW_CODE(OK));
    while (n-- > 0) // only the first one of all is granted
        NEED(raw_send_grow(c, &h, 60 * MIB, 3600 * 1000) != 0);
}

static void get_metrics_while_many_wait(void)
{
    static struct raw c[WAITING];

    for (int i = 0; i < WAITING && c[WAITING - 1].last_id == 0; i++) {
        open_with(&c[i], 0);
        wait_for_space(&c[i], 60);
    }
    get_metrics();
}

static void never_read_metrics(void)
{
    static struct raw c[SILENT];
    static unsigned n;

    if (n == SILENT) {
        pause();
        return;
    }
    open_with(&c[n], 0);
    ask_for_metrics(&c[n++], 60);
}

static void stat_and_watch(struct raw *c, const struct raw_handle *h)
{
    Diskalloc__V1__StatRegion body = DISKALLOC__V1__STAT_REGION__INIT;
    RawRequest q = RAW_REQUEST_INIT;

    body.handle = raw_bytes(h);
    body.watch = true;
    q.body_case = RAW_BODY(STAT_REGION);
    q.stat_region = &body;
    NEED(raw_done(c, &q) == RAW_CODE(OK));
}

static void attach(struct raw *c, const struct raw_handle *h)
{
    Diskalloc__V1__AttachRegion body = DISKALLOC__V1__ATTACH_REGION__INIT;
    RawRequest q = RAW_REQUEST_INIT;

    body.handle = raw_bytes(h);
    q.body_case = RAW_BODY(ATTACH_REGION);
    q.attach_region = &body;
    NEED(raw_done(c, &q) == RAW_CODE(OK));
}

// Each change is told to all of them before it is answered.
static void watch_one_region(void)
{
    static struct raw c[WATCHING], owner;
    static struct raw_handle h;
    static uint64_t size;

    if (owner.last_id == 0) {
        h = raw_handle_new();
        open_with(&owner, 0);
        NEED(raw_create(&owner, &h, 0) == RAW_CODE(OK));
        for (int i = 0; i < WATCHING; i++) {
            open_with(&c[i], DISKALLOC__V1__FEATURE__FEATURE_SHARING);
            attach(&c[i], &h);
        }
    }
    for (int i = 0; i < WATCHING; i++)
        stat_and_watch(&c[i], &h);
    size = size < MIB ? size + 4096 : 0;
    if (size > 0)
        raw_grow(&owner, &h, size);
}

static const struct storm storms[] = {
    {"watchers that never read", watch_and_never_read, NULL},
    {"watchers that read late", watch_and_read_late, NULL},
    {"lists of accounts", list_accounts, NULL},
    {"metrics", get_metrics, NULL},
    {"metrics while many requests wait", get_metrics_while_many_wait, NULL},
    {"metrics that nobody reads", never_read_metrics, NULL},
    {"a region that many watch", watch_one_region, NULL},
};

static char *make_config(void)
{
    char *text = NULL;
    size_t n;
    FILE *f = open_memstream(&text, &n);

    assert_non_null(f);
    fputs("[daemon]\nkeep_free = 0\n[quota default]\nregions = 10000\nconnections = 1024\nbytes = 64M\n", f);
    for (int i = 0; i < SUBJECTS; i++)
        fprintf(f, "[quota user:+%d]\nbytes = 1G\n[quota group:+%d]\nbytes = 1G\n", 100000 + i, 100000 + i);
    assert_int_equal(fclose(f), 0);
    return text;
}

static void storms_pass(void **state)
{
    struct storm_place place = {.d = &d};
    char *config;

    (void)state;
    if (geteuid() != 0) {
        print_message("[ NOTE     ] only root can be other users\n");
        skip();
        return;
    }
    config = make_config();
    test_daemon_start(&d, config, NULL);
    free(config);
    storm_compare(&place);
    storms_run(&place, storms, sizeof storms / sizeof *storms);
    test_daemon_stop_and_remove(&d);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(storms_pass),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
