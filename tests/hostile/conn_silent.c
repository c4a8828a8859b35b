// Clients that connect and never say Hello.
//
// The daemon may open few files here.  A user who connects as often as possible keeps nobody else out, several such
// users neither, and each silent connection ends after a while with a sentence that says why.
#include "tests/lib/bystander.h"
#include "tests/lib/quota_usage.h"
#include "tests/lib/test_daemon.h"

#include "proto/util/clock.h"

enum { USERS = 6, CONNECTIONS = 300, UID = 4242, GROWS = 100 };

static int connect_as(const char *path, uid_t uid)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    int sock = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);

    assert_return_code(sock, errno);
    snprintf(address.sun_path, sizeof address.sun_path, "%.100s", path);
    assert_return_code(seteuid(uid), errno);
    assert_return_code(connect(sock, (struct sockaddr *)&address, sizeof address), errno);
    if (getuid() == 0)
        assert_return_code(seteuid(0), errno);
    return sock;
}

static void many_of_many_users_keep_nobody_out(void **state)
{
    static int socks[USERS][CONNECTIONS];
    struct bystander_times quiet, meanwhile;
    struct test_daemon d;
    unsigned n_fds = 0;

    (void)state;
    if (geteuid() != 0) {
        skip();
        return;
    }
    test_daemon_prepare(process_limit_files);
    test_daemon_start(&d, NULL, NULL);
    quiet = bystander_grow(d.socket, (uid_t)-1, GROWS);
    for (int u = 0; u < USERS; u++)
        for (int i = 0; i < CONNECTIONS; i++) {
            socks[u][i] = connect_as(d.socket, UID + (uid_t)u);
            if (i % 20 == 0)
                bystander_grow(d.socket, (uid_t)-1, 1);
        }
    meanwhile = bystander_grow(d.socket, (uid_t)-1, GROWS);
    n_fds = process_count_fds(d.pid);
    bystander_print("silent connections", quiet, quiet, meanwhile);
    print_message("[ NOTE     ] the daemon had %u descriptors open for %d silent connections\n", n_fds,
                  USERS * CONNECTIONS);
    for (int u = 0; u < USERS; u++)
        for (int i = 0; i < CONNECTIONS; i++)
            close(socks[u][i]);
    test_daemon_stop_and_remove(&d);
    test_daemon_prepare(NULL);
}

static void a_silent_connection_ends_with_a_sentence(void **state)
{
    struct raw c = {.sock = -1}, speaks;
    struct test_daemon d;
    RawReply *reply;
    uint64_t began;

    (void)state;
    test_daemon_start(&d, NULL, NULL);
    assert_int_equal(raw_open(&speaks, d.socket), RAW_CODE(OK));
    began = clock_now();
    c.sock = connect_as(d.socket, geteuid());
    reply = raw_answer(&c);
    assert_true(clock_now() - began >= 9000);
    assert_int_equal(raw_code(reply), RAW_CODE(PROTOCOL));
    assert_non_null(strstr(reply->error->message, "Hello must come"));
    raw_free(reply);
    assert_null(raw_answer(&c)); // the connection has ended
    raw_close(&c);
    assert_int_equal(USAGE_OF(&speaks, "total", connections), 1); // one that has said Hello may be silent
    raw_close(&speaks);
    test_daemon_stop_and_remove(&d);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(many_of_many_users_keep_nobody_out),
        TEST(a_silent_connection_ends_with_a_sentence),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
