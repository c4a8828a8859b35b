// A client that closes a connection may make another one at once, also at the limit of connections: the daemon first
// reads what the closed one sent last, and does not refuse the new one meanwhile.  The daemon stands still while
// everything comes, so that the order in which it serves does not depend on the time.
#include "tests/lib/quota_usage.h"
#include "tests/lib/test_daemon.h"

enum { LIMIT = 3, LAST_PACKETS = 60 };

static const char config[] = "[daemon]\nkeep_free = 0\n[quota default]\nconnections = 3\n";

struct scene {
    struct test_daemon d;
    struct raw old[LIMIT];
};

static struct scene scene;

static void begin(void)
{
    test_daemon_start(&scene.d, config, NULL);
    for (int i = 0; i < LIMIT; i++)
        assert_int_equal(raw_open(&scene.old[i], scene.d.socket), RAW_CODE(OK));
}

static void finish(void)
{
    test_daemon_stop_and_remove(&scene.d);
}

static void ask_for_usage(struct raw *c)
{
    Diskalloc__V1__GetUsage body = DISKALLOC__V1__GET_USAGE__INIT;
    RawRequest q = RAW_REQUEST_INIT;

    body.subject = raw_text("total");
    q.body_case = RAW_BODY(GET_USAGE);
    q.get_usage = &body;
    assert_int_not_equal(raw_send(c, &q), 0);
}

static void close_with_much_to_read(struct raw *c)
{
    for (int i = 0; i < LAST_PACKETS; i++)
        ask_for_usage(c);
    raw_close(c);
}

// Its answer is read later.
static void enter(struct raw *c)
{
    Diskalloc__V1__Hello body = DISKALLOC__V1__HELLO__INIT;
    RawRequest q = RAW_REQUEST_INIT;

    assert_true(raw_connect(c, scene.d.socket));
    body.version_min = body.version_max = 1;
    body.client_name = raw_text("new");
    q.body_case = RAW_BODY(HELLO);
    q.hello = &body;
    assert_int_not_equal(raw_send(c, &q), 0);
}

static int code_of_answer(struct raw *c)
{
    RawReply *reply = raw_answer(c);
    int code = raw_code(reply);

    raw_free(reply);
    return code;
}

static uint64_t count_connections(struct raw *c)
{
    RawReply *reply = raw_usage(c, "");
    uint64_t n;

    assert_int_equal(raw_code(reply), RAW_CODE(OK));
    n = reply->usage->connections;
    raw_free(reply);
    return n;
}

static void a_closed_connection_makes_room_for_another(void **state)
{
    struct raw new;

    (void)state;
    begin();
    test_daemon_halt(&scene.d);
    close_with_much_to_read(&scene.old[0]);
    enter(&new);
    test_daemon_go_on(&scene.d);
    assert_int_equal(code_of_answer(&new), RAW_CODE(OK));
    assert_int_equal(count_connections(&new), LIMIT);
    raw_close(&new);
    for (int i = 1; i < LIMIT; i++)
        raw_close(&scene.old[i]);
    finish();
}

static void as_many_enter_as_were_closed(void **state)
{
    struct raw new[LIMIT + 2];
    unsigned n_let_in = 0;

    (void)state;
    begin();
    test_daemon_halt(&scene.d);
    for (int i = 0; i < LIMIT; i++)
        close_with_much_to_read(&scene.old[i]);
    for (int i = 0; i < LIMIT + 2; i++)
        enter(&new[i]);
    test_daemon_go_on(&scene.d);
    for (int i = 0; i < LIMIT + 2; i++) {
        int code = code_of_answer(&new[i]);

        n_let_in += code == RAW_CODE(OK);
        assert_true(code == RAW_CODE(OK) || code == RAW_CODE(LIMIT));
    }
    assert_int_equal(n_let_in, LIMIT);
    for (int i = 0; i < LIMIT + 2; i++)
        raw_close(&new[i]);
    finish();
}

static void who_does_not_wait_for_the_answer_takes_no_room(void **state)
{
    struct raw gone[LIMIT], new[LIMIT];

    (void)state;
    begin();
    test_daemon_halt(&scene.d);
    for (int i = 0; i < LIMIT; i++)
        close_with_much_to_read(&scene.old[i]);
    for (int i = 0; i < LIMIT; i++) {
        enter(&gone[i]);
        raw_close(&gone[i]);
    }
    test_daemon_go_on(&scene.d);
    for (int i = 0; i < LIMIT; i++)
        assert_int_equal(raw_open(&new[i], scene.d.socket), RAW_CODE(OK));
    assert_int_equal(count_connections(&new[0]), LIMIT);
    for (int i = 0; i < LIMIT; i++)
        raw_close(&new[i]);
    finish();
}

static void who_still_has_all_connections_is_refused_at_once(void **state)
{
    struct raw new;

    (void)state;
    begin();
    assert_int_equal(raw_open(&new, scene.d.socket), RAW_CODE(LIMIT));
    raw_close(&new);
    for (int i = 0; i < LIMIT; i++)
        raw_close(&scene.old[i]);
    finish();
}

// The Hellos that wait, and those for which they wait, end with the daemon.
static void the_daemon_ends_meanwhile(void **state)
{
    struct raw new;

    (void)state;
    begin();
    test_daemon_halt(&scene.d);
    for (int i = 0; i < LIMIT; i++)
        close_with_much_to_read(&scene.old[i]);
    enter(&new);
    assert_return_code(kill(scene.d.pid, SIGTERM), errno);
    test_daemon_go_on(&scene.d);
    finish();
    raw_close(&new);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_closed_connection_makes_room_for_another),
        TEST(as_many_enter_as_were_closed),
        TEST(who_does_not_wait_for_the_answer_takes_no_room),
        TEST(who_still_has_all_connections_is_refused_at_once),
        TEST(the_daemon_ends_meanwhile),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
