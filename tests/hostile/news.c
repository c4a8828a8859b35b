// Events about regions: very many attachers, and floods of changes.  Whoever makes changes can't fill the daemon's
// queues or slow others down, and who does not read costs nobody anything.
#include "tests/lib/bystander.h"
#include "tests/lib/quota_usage.h"
#include "tests/lib/test_daemon.h"

#include <sys/resource.h>

#include "proto/util/clock.h"

enum { MANY = 1000, ROUNDS = 20, GROWS = 200, WATCHING = 100, MOST_WATCHERS = 64 };

static const char config[] = "[daemon]\nkeep_free = 0\n[quota default]\nconnections = 10000\n";

static struct raw clients[MANY];

static int attach(struct raw *c, const struct raw_handle *h)
{
    Diskalloc__V1__AttachRegion body = DISKALLOC__V1__ATTACH_REGION__INIT;
    RawRequest q = RAW_REQUEST_INIT;

    body.handle = raw_bytes(h);
    q.body_case = RAW_BODY(ATTACH_REGION);
    q.attach_region = &body;
    return raw_done(c, &q);
}

static void open_files(void)
{
    struct rlimit files;

    assert_return_code(getrlimit(RLIMIT_NOFILE, &files), errno);
    if (files.rlim_max < 4 * MANY)
        skip();
    files.rlim_cur = files.rlim_max;
    assert_return_code(setrlimit(RLIMIT_NOFILE, &files), errno);
}

static void start(struct test_daemon *d, struct raw *writer, const struct raw_handle *h, int n)
{
    test_daemon_start(d, config, NULL);
    assert_int_equal(raw_open(writer, d->socket), RAW_CODE(OK));
    assert_int_equal(raw_create(writer, h, 0), RAW_CODE(OK));
    for (int i = 0; i < n; i++) {
        assert_int_equal(raw_open_with(&clients[i], d->socket, DISKALLOC__V1__FEATURE__FEATURE_SHARING), RAW_CODE(OK));
        assert_int_equal(attach(&clients[i], h), RAW_CODE(OK));
    }
}

static void stop(struct test_daemon *d, struct raw *writer, int n)
{
    for (int i = 0; i < n; i++)
        raw_close(&clients[i]);
    raw_close(writer);
    test_daemon_stop_and_remove(d);
}

// The size that the next event says.
static uint64_t read_size(struct raw *c)
{
    RawReply *reply = raw_receive(c);
    uint64_t size;

    assert_non_null(reply);
    assert_int_equal(reply->id, 0);
    assert_non_null(reply->event);
    assert_int_equal(reply->event->kind, DISKALLOC__V1__EVENT_KIND__EVENT_REGION_RESIZED);
    size = reply->event->size;
    raw_free(reply);
    return size;
}

static int compare(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

    return (x > y) - (x < y);
}

// The time is printed, and not tested.
static void a_thousand_attachers_are_told(void **state)
{
    struct raw_handle h = raw_handle_new();
    uint64_t times[ROUNDS];
    struct test_daemon d;
    struct raw writer;

    (void)state;
    open_files();
    start(&d, &writer, &h, MANY);
    for (uint64_t round = 0; round < ROUNDS; round++) {
        uint64_t before = clock_now_us(), answered;

        assert_int_equal(raw_grow(&writer, &h, (round + 1) * 4096), RAW_CODE(OK));
        answered = clock_now_us();
        for (int i = 0; i < MANY; i++)
            assert_int_equal(read_size(&clients[i]), (round + 1) * 4096);
        times[round] = clock_now_us() - before;
        assert_true(answered >= before);
    }
    qsort(times, ROUNDS, sizeof *times, compare);
    print_message("[ NOTE     ] an event to %d attachers: %llu us in the median, %llu us at most\n", MANY,
                  (unsigned long long)times[ROUNDS / 2], (unsigned long long)times[ROUNDS - 1]);
    stop(&d, &writer, MANY);
}

// Whether the daemon will tell C of the next change before that is answered.
static bool watch(struct raw *c, const struct raw_handle *h)
{
    Diskalloc__V1__StatRegion body = DISKALLOC__V1__STAT_REGION__INIT;
    RawRequest q = RAW_REQUEST_INIT;
    RawReply *reply;
    bool watched;

    body.handle = raw_bytes(h);
    body.watch = true;
    q.body_case = RAW_BODY(STAT_REGION);
    q.stat_region = &body;
    reply = raw_call(c, &q);
    assert_int_equal(raw_code(reply), RAW_CODE(OK));
    watched = reply->region->watched;
    raw_free(reply);
    return watched;
}

static unsigned watch_all(const struct raw_handle *h, bool watched[WATCHING])
{
    unsigned n = 0;

    for (int i = 0; i < WATCHING; i++)
        n += watched[i] = watch(&clients[i], h);
    return n;
}

// Whoever makes a change, and all other users, wait while its watchers are told: so these are few.
static void few_of_many_are_told_before_a_change_is_answered(void **state)
{
    struct raw_handle h = raw_handle_new();
    bool watched[WATCHING];
    struct test_daemon d;
    struct raw writer;

    (void)state;
    start(&d, &writer, &h, WATCHING);
    for (uint64_t size = 4096; size <= 3 * 4096; size += 4096) {
        assert_in_range(watch_all(&h, watched), 1, MOST_WATCHERS);
        assert_int_equal(raw_grow(&writer, &h, size), RAW_CODE(OK));
        for (int i = 0; i < WATCHING; i++)
            assert_true(!watched[i] || raw_has_reply(&clients[i]));
        for (int i = 0; i < WATCHING; i++)
            assert_int_equal(read_size(&clients[i]), size);
    }
    stop(&d, &writer, WATCHING);
}

static pid_t start_flood(const struct test_daemon *d, const struct raw_handle *h)
{
    pid_t pid = fork();

    assert_return_code(pid, errno);
    if (pid == 0) {
        struct raw c;

        prctl(PR_SET_PDEATHSIG, SIGKILL);
        NEED(raw_open(&c, d->socket) == RAW_CODE(OK));
        NEED(attach(&c, h) == RAW_CODE(OK));
        for (uint64_t size = 4096;; size += 4096)
            raw_grow(&c, h, size % (64 * MIB) + 4096);
    }
    return pid;
}

static void stop_flood(pid_t pid)
{
    assert_return_code(kill(pid, SIGKILL), errno);
    assert_int_equal(waitpid(pid, NULL, 0), pid);
}

// Nobody reads: each socket gets some events, and the rest becomes one.
static void a_flood_of_resizes_fills_no_queue(void **state)
{
    struct bystander_times quiet, meanwhile;
    static uint64_t told[MANY];
    static unsigned n[MANY];
    struct raw_handle h = raw_handle_new();
    struct test_daemon d;
    struct raw writer;
    uint64_t rss;
    pid_t flood;

    (void)state;
    open_files();
    start(&d, &writer, &h, MANY);
    quiet = bystander_grow(d.socket, (uid_t)-1, GROWS);
    rss = process_rss_kib(d.pid);
    flood = start_flood(&d, &h);
    meanwhile = bystander_grow(d.socket, (uid_t)-1, GROWS);
    stop_flood(flood);
    assert_true(process_rss_kib(d.pid) < rss + 8192);
    bystander_print("a flood of resizes", quiet, quiet, meanwhile);
    assert_int_equal(raw_grow(&writer, &h, 65 * MIB), RAW_CODE(OK));
    // All of them read, and then they are told the rest.
    for (int i = 0; i < MANY; i++)
        for (n[i] = 0; raw_has_reply(&clients[i]) && told[i] != 65 * MIB; n[i]++)
            told[i] = read_size(&clients[i]);
    for (int i = 0; i < MANY; i++) {
        for (; told[i] != 65 * MIB; n[i]++)
            told[i] = read_size(&clients[i]);
        assert_true(n[i] < 100);
    }
    stop(&d, &writer, MANY);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_thousand_attachers_are_told),
        TEST(few_of_many_are_told_before_a_change_is_answered),
        TEST(a_flood_of_resizes_fills_no_queue),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
