// Fair shares of a whole daemon: one user's requests do not keep others waiting, a hung disk keeps nobody out, and a
// client that waits for a limit may go on asking.
#include "tests/lib/frozen_disk.h"
#include "tests/lib/quota_usage.h"
#include "tests/lib/test_daemon.h"

static const char config[] = "[daemon]\nkeep_free = 0\n[quota default]\nregions = 1000\nconnections = 1000\n"
                             "[quota total]\nbytes = 64M\n";
// Uids with accounts of their own: the unlisted are one user to the workers.
static const char two_users[] = "[quota user:+4242]\nregions = 1000\n[quota user:+4243]\nregions = 1000\n";

static void start_grows(struct raw *c, const char *path, uid_t uid, struct raw_handle *handles, size_t n)
{
    assert_int_equal(raw_open_as(c, path, uid), RAW_CODE(OK));
    for (size_t i = 0; i < n; i++) {
        handles[i] = raw_handle_new();
        assert_int_equal(raw_create(c, &handles[i], 0), RAW_CODE(OK));
    }
}

static bool many_threads_hang(void *data)
{
    const struct test_daemon *d = data;
    char command[200];

    snprintf(command, sizeof command, "test $(cat /proc/%d/task/*/stat 2>/dev/null | grep -c ') D ') -ge 8",
             (int)d->pid);
    return system(command) == 0;
}

static void two_users_on_a_hung_disk_keep_no_third_one_out(void **state)
{
    enum { EACH = 12 };
    struct raw_handle handles[2][EACH];
    struct test_daemon d;
    struct raw users[2], third = {.sock = -1};
    struct frozen_disk ice;
    char text[400];

    (void)state;
    if (geteuid() != 0 || !frozen_disk_prepare(&ice, 128 * MIB)) {
        skip();
        return;
    }
    snprintf(text, sizeof text, "%s%s", config, two_users);
    test_daemon_start(&d, text, ice.mount.at);
    for (int u = 0; u < 2; u++)
        start_grows(&users[u], d.socket, 4242 + (uid_t)u, handles[u], EACH);
    frozen_disk_freeze(&ice);
    for (int u = 0; u < 2; u++)
        for (int i = 0; i < EACH; i++)
            assert_int_not_equal(raw_send_grow(&users[u], &handles[u][i], 4096, 0), 0);
    test_wait_until(many_threads_hang, &d, 60, "all workers hang");
    assert_int_equal(raw_open_as(&third, d.socket, 5555), RAW_CODE(OK));
    raw_close(&third);
    frozen_disk_thaw(&ice);
    for (int u = 0; u < 2; u++) {
        for (int i = 0; i < EACH; i++) {
            RawReply *reply = raw_answer(&users[u]);

            assert_int_equal(raw_code(reply), RAW_CODE(OK));
            raw_free(reply);
        }
        raw_close(&users[u]);
    }
    test_daemon_stop_and_remove(&d);
    frozen_disk_end(&ice);
}

static void send_usage_request(struct raw *c)
{
    Diskalloc__V1__GetUsage body = DISKALLOC__V1__GET_USAGE__INIT;
    RawRequest q = RAW_REQUEST_INIT;

    body.subject = raw_text("total");
    q.body_case = RAW_BODY(GET_USAGE);
    q.get_usage = &body;
    assert_int_not_equal(raw_send(c, &q), 0);
}

// The one user has a thousand packets waiting when the other sends one: how many of the former were served first is
// seen from what they say of the total.
static void who_has_fifty_connections_is_not_served_before_who_has_one(void **state)
{
    enum { CROWD = 50, PACKETS = 20 };
    struct raw crowd[CROWD], one = {.sock = -1};
    struct raw_handle h = raw_handle_new();
    struct test_daemon d;
    int n_before = 0;

    (void)state;
    if (geteuid() != 0) {
        skip();
        return;
    }
    test_daemon_start(&d, config, NULL);
    for (int i = 0; i < CROWD; i++)
        assert_int_equal(raw_open(&crowd[i], d.socket), RAW_CODE(OK));
    assert_int_equal(raw_open_as(&one, d.socket, 4242), RAW_CODE(OK));
    assert_int_equal(raw_create(&one, &h, 0), RAW_CODE(OK));
    test_daemon_halt(&d);
    for (int i = 0; i < CROWD; i++)
        for (int k = 0; k < PACKETS; k++)
            send_usage_request(&crowd[i]);
    assert_int_not_equal(raw_send_grow(&one, &h, 4096, 0), 0);
    test_daemon_go_on(&d);
    for (int i = 0; i < CROWD; i++)
        for (int k = 0; k < PACKETS; k++) {
            RawReply *reply = raw_answer(&crowd[i]);

            assert_int_equal(raw_code(reply), RAW_CODE(OK));
            n_before += reply->usage->bytes == 0;
            raw_free(reply);
        }
    // Two turns of the loop at most, until it has seen them all.
    assert_in_range(n_before, 0, 100);
    for (int i = 0; i < CROWD; i++)
        raw_close(&crowd[i]);
    raw_close(&one);
    test_daemon_stop_and_remove(&d);
}

static void who_waits_for_a_limit_may_go_on_asking(void **state)
{
    enum { WAITING = 200 };
    struct raw_handle h = raw_handle_new(), full = raw_handle_new();
    struct test_daemon d;
    struct raw c;
    uint64_t id;

    (void)state;
    test_daemon_start(&d, config, NULL);
    assert_int_equal(raw_open(&c, d.socket), RAW_CODE(OK));
    assert_int_equal(raw_create(&c, &h, 0), RAW_CODE(OK));
    assert_int_equal(raw_create(&c, &full, 60 * MIB), RAW_CODE(OK));
    for (unsigned i = 0; i < WAITING; i++)
        assert_int_not_equal(raw_send_grow(&c, &h, 5 * MIB + i, UINT64_MAX), 0);
    assert_int_equal(USAGE_OF(&c, "total", waiters), WAITING);
    id = raw_send_cancel(&c, c.last_id - 1); // the last of them
    for (int i = 0; i < 2; i++) {
        RawReply *reply = raw_answer(&c);

        assert_int_equal(raw_code(reply), reply->id == id ? RAW_CODE(OK) : RAW_CODE(CANCELLED));
        raw_free(reply);
    }
    assert_int_equal(USAGE_OF(&c, "total", waiters), WAITING - 1);
    raw_close(&c);
    test_daemon_stop_and_remove(&d);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(two_users_on_a_hung_disk_keep_no_third_one_out),
        TEST(who_has_fifty_connections_is_not_served_before_who_has_one),
        TEST(who_waits_for_a_limit_may_go_on_asking),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
