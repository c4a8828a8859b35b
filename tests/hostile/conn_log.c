// Clients that cause the same line of the log as often as they can: by warnings, refusals, and silent connections.
//
// The first lines name the user; the others are counted, and the log says how many there were.
#include "tests/lib/bystander.h"
#include "tests/lib/quota_usage.h"
#include "tests/lib/scratch.h"
#include "tests/lib/test_daemon.h"

#include "proto/util/cleanup.h"

enum { TIMES = 2000, MOST_LINES = 6 };

static const char config[] = "[daemon]\nkeep_free = 0\n[quota default]\nbytes = 64M\nwarn_at = 32M\n"
                             "[quota unlisted]\nbytes = 64M\nwarn_at = 32M\n";

static size_t count_lines(const struct test_daemon *d, const char *text)
{
    _cleanup_free_ char *log = scratch_read_file(d->log);
    size_t n = 0;

    assert_non_null(log);
    for (const char *at = strstr(log, text); at; at = strstr(at + 1, text))
        n++;
    return n;
}

static int resize(struct raw *c, const struct raw_handle *h, uint64_t from, uint64_t to)
{
    RawReply *reply;
    int code;

    if (to < from)
        return raw_shrink(c, h, to, from);
    raw_send_grow(c, h, to, 0);
    reply = raw_answer(c);
    code = raw_code(reply);
    raw_free(reply);
    return code;
}

static void a_client_that_flaps_around_a_mark_is_warned_of_few_times(void **state)
{
    struct raw_handle h = raw_handle_new();
    struct test_daemon d;
    struct raw c;

    (void)state;
    test_daemon_start(&d, config, NULL);
    assert_int_equal(raw_open(&c, d.socket), RAW_CODE(OK));
    assert_int_equal(raw_create(&c, &h, 31 * MIB), RAW_CODE(OK));
    for (int i = 0; i < TIMES; i++) {
        assert_int_equal(resize(&c, &h, 31 * MIB, 33 * MIB), RAW_CODE(OK));
        assert_int_equal(resize(&c, &h, 33 * MIB, 31 * MIB), RAW_CODE(OK));
    }
    assert_int_equal(count_lines(&d, "33M of 64M are used"), 1);
    assert_int_equal(c.n_events, 1);
    for (int i = 0; i < TIMES / 10; i++) { // by more than an eighth
        assert_int_equal(resize(&c, &h, i ? 1 * MIB : 31 * MIB, 33 * MIB), RAW_CODE(OK));
        assert_int_equal(resize(&c, &h, 33 * MIB, 1 * MIB), RAW_CODE(OK));
    }
    assert_in_range(count_lines(&d, "33M of 64M are used"), 1, MOST_LINES);
    assert_in_range(c.n_events, 1, MOST_LINES);
    raw_close(&c);
    test_daemon_stop_and_remove(&d);
}

static bool tells_how_many(void *data)
{
    const struct test_daemon *d = data;

    return test_daemon_logged(d, "were not logged: refusals by a quota");
}

static void refusals_are_counted_and_not_all_logged(void **state)
{
    struct raw_handle h = raw_handle_new();
    struct test_daemon d;
    struct raw c;

    (void)state;
    test_daemon_start(&d, config, NULL);
    assert_int_equal(raw_open(&c, d.socket), RAW_CODE(OK));
    assert_int_equal(raw_create(&c, &h, MIB), RAW_CODE(OK));
    for (int i = 0; i < TIMES / 10; i++) {
        assert_int_equal(resize(&c, &h, MIB, 64 * MIB), RAW_CODE(OK));
        assert_int_equal(resize(&c, &h, 64 * MIB, 65 * MIB), RAW_CODE(LIMIT));
        assert_int_equal(resize(&c, &h, 64 * MIB, MIB), RAW_CODE(OK));
    }
    assert_in_range(count_lines(&d, "refused 1.0M more"), 1, MOST_LINES);
    test_wait_until(tells_how_many, &d, 100, "the log says how many lines were left out");
    raw_close(&c);
    test_daemon_stop_and_remove(&d);
}

static bool says_that_silent_ones_are_many(void *data)
{
    const struct test_daemon *d = data;

    return test_daemon_logged(d, "connections without Hello");
}

static void silent_connections_fill_no_log(void **state)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    struct test_daemon d;
    static int socks[TIMES / 2];
    struct raw c;

    (void)state;
    test_daemon_prepare(process_limit_files); // so that few silent connections are too many
    test_daemon_start(&d, config, NULL);
    snprintf(address.sun_path, sizeof address.sun_path, "%.100s", d.socket);
    for (int i = 0; i < TIMES / 2; i++) {
        socks[i] = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
        assert_return_code(socks[i], errno);
        assert_return_code(connect(socks[i], (struct sockaddr *)&address, sizeof address), errno);
    }
    test_wait_until(says_that_silent_ones_are_many, &d, 100, "the log says that there are many silent connections");
    for (int i = 0; i < TIMES / 2; i++)
        close(socks[i]);
    while (raw_open(&c, d.socket) != RAW_CODE(OK)) // it is the same user's
        raw_close(&c);
    raw_close(&c);
    assert_in_range(count_lines(&d, "connections without Hello"), 1, MOST_LINES);
    test_daemon_stop_and_remove(&d);
    test_daemon_prepare(NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_client_that_flaps_around_a_mark_is_warned_of_few_times),
        TEST(refusals_are_counted_and_not_all_logged),
        TEST(silent_connections_fill_no_log),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
