// Clients that send descriptors of files which hang whoever flushes or releases them.
//
// The kernel may refuse such descriptors; then the client is told and nothing else happens.  On an older kernel, and
// from the backlog of a socket that systemd made, they reach the daemon's sockets: each test runs with both.  Whatever
// happens, another client is served meanwhile, and SIGTERM ends the daemon while the file system still keeps silent.
#include "tests/lib/actor.h"
#include "tests/lib/old_kernel.h"
#include "tests/lib/quota_usage.h"
#include "tests/lib/scratch.h"
#include "tests/lib/silent_file.h"
#include "tests/lib/test_daemon.h"

#include <poll.h>

static const char config[] = "[daemon]\nkeep_free = 0\n[quota default]\nconnections = 40\n";

static int connect_to(const char *path)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    int sock = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);

    assert_return_code(sock, errno);
    snprintf(address.sun_path, sizeof address.sun_path, "%.100s", path);
    assert_return_code(connect(sock, (struct sockaddr *)&address, sizeof address), errno);
    return sock;
}

// How a client brings its descriptors.
enum way { BEFORE_HELLO, AFTER_HELLO, BEHIND_EMPTY_PACKETS, AND_CLOSES, WAY_N };

// Returns the client's socket, or -1 if it is closed already.  The daemon has stopped.  *RET_SENT: 0 or -errno.
static int bring(struct silent_file *f, struct raw *c, const char *path, enum way way, int *ret_sent)
{
    int sock = way == AFTER_HELLO ? c->sock : connect_to(path);

    for (int i = 0; i < 20 && way == BEHIND_EMPTY_PACKETS; i++)
        assert_return_code(send(sock, "", 0, 0), errno);
    *ret_sent = silent_file_send(f, sock, "hello", 5, 3);
    if (way != AND_CLOSES)
        return sock;
    close(sock);
    return -1;
}

static bool is_ended(void *data)
{
    struct pollfd p = {.fd = *(int *)data};

    return poll(&p, 1, 0) > 0 && p.revents & POLLHUP;
}

static void others_are_served(const struct test_daemon *d)
{
    struct raw_handle h = raw_handle_new();
    struct raw other;
    RawReply *reply;

    assert_int_equal(geteuid() == 0 ? raw_open_as(&other, d->socket, 4242) : raw_open(&other, d->socket), RAW_CODE(OK));
    assert_int_equal(raw_create(&other, &h, MIB), RAW_CODE(OK));
    assert_int_not_equal(raw_send_grow(&other, &h, 2 * MIB, 0), 0);
    reply = raw_answer(&other);
    assert_int_equal(raw_code(reply), RAW_CODE(OK));
    raw_free(reply);
    raw_close(&other);
}

static void attack(enum way way, bool old)
{
    struct silent_file f;
    struct test_daemon d;
    struct raw c = {.sock = -1};
    int sock, sent;

    if (!silent_file_begin(&f, (uid_t)-1))
        skip();
    test_daemon_prepare(old ? old_kernel_without_passrights : NULL);
    test_daemon_start(&d, config, NULL);
    if (way == AFTER_HELLO)
        assert_int_equal(raw_open(&c, d.socket), RAW_CODE(OK));
    test_daemon_halt(&d);
    sock = bring(&f, &c, d.socket, way, &sent);
    silent_file_hush(&f);
    test_daemon_go_on(&d);
    others_are_served(&d);
    if (old)
        assert_int_equal(sent, 0);
    if (sent == 0 && sock >= 0)
        test_wait_until(is_ended, &sock, 60, "the connection has ended");
    if (sent == 0 && sock >= 0 && way != BEHIND_EMPTY_PACKETS) // an empty packet ends the connection as well
        assert_true(test_daemon_logged(&d, "has sent file descriptors"));
    others_are_served(&d);
    if (sock >= 0)
        close(sock);
    others_are_served(&d);
    test_daemon_stop(&d); // exits with 0, while the file system does not answer
    silent_file_end(&f);
    test_daemon_stop_and_remove(&d);
    test_daemon_prepare(NULL);
}

static void a_new_kernel_refuses_them(void **state)
{
    (void)state;
    for (enum way way = 0; way < WAY_N; way++)
        attack(way, false);
}

static void on_an_older_kernel_they_are_not_received(void **state)
{
    (void)state;
    for (enum way way = 0; way < WAY_N; way++)
        attack(way, true);
}

// While one child hangs, further sockets of that user stay open and count as the user's connections.
static void they_count_as_connections_until_they_are_closed(void **state)
{
    enum { CONNECTIONS = 40 };
    struct silent_file f;
    struct test_daemon d;
    struct raw c[CONNECTIONS], one;
    int n_refused = 0;

    (void)state;
    if (geteuid() != 0 || !silent_file_begin(&f, (uid_t)-1))
        skip();
    test_daemon_prepare(old_kernel_without_passrights);
    test_daemon_start(&d, config, NULL);
    for (int i = 0; i < CONNECTIONS; i++)
        assert_int_equal(raw_open_as(&c[i], d.socket, 4242), RAW_CODE(OK));
    test_daemon_halt(&d);
    for (int i = 0; i < CONNECTIONS; i++)
        assert_int_equal(silent_file_send(&f, c[i].sock, "hello", 5, 1), 0);
    silent_file_hush(&f);
    test_daemon_go_on(&d);
    for (int i = 0; i < CONNECTIONS; i++) {
        test_wait_until(is_ended, &c[i].sock, 60, "the connection has ended");
        raw_close(&c[i]);
    }
    for (int i = 0; i < 5; i++) {
        int code = raw_open_as(&one, d.socket, 4242);

        n_refused += code == RAW_CODE(LIMIT);
        raw_close(&one);
    }
    assert_int_equal(n_refused, 5);
    assert_int_equal(raw_open(&one, d.socket), RAW_CODE(OK));
    raw_close(&one);
    silent_file_end(&f); // now they are closed
    while (raw_open_as(&one, d.socket, 4242) != RAW_CODE(OK))
        raw_close(&one);
    raw_close(&one);
    test_daemon_stop_and_remove(&d);
    test_daemon_prepare(NULL);
}

// A socket that systemd made: clients connect before the daemon runs, and no kernel refuses their descriptors.
static int activation_sock;

static void activate(void)
{
    char pid[16];

    snprintf(pid, sizeof pid, "%d", (int)getpid());
    setenv("LISTEN_PID", pid, 1);
    setenv("LISTEN_FDS", "1", 1);
    if (activation_sock == 3)
        fcntl(3, F_SETFD, 0);
    else
        dup2(activation_sock, 3);
}

static void make_activation_sock(char *ret_path, size_t size, const char *dir)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};

    snprintf(ret_path, size, "%s/s", dir);
    snprintf(address.sun_path, sizeof address.sun_path, "%.100s", ret_path);
    activation_sock = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
    assert_return_code(activation_sock, errno);
    assert_return_code(bind(activation_sock, (struct sockaddr *)&address, sizeof address), errno);
    assert_return_code(listen(activation_sock, 100), errno);
    test_daemon_prepare(activate);
}

static void from_a_backlog_they_are_not_received(void **state)
{
    struct silent_file f;
    struct test_daemon d;
    struct raw other;
    char dir[128], path[140];
    int sock;

    (void)state;
    if (!silent_file_begin(&f, (uid_t)-1))
        skip();
    scratch_make_dir(dir, sizeof dir);
    make_activation_sock(path, sizeof path, dir);
    sock = connect_to(path);
    assert_int_equal(silent_file_send(&f, sock, "hello", 5, 1), 0);
    silent_file_hush(&f);
    test_daemon_start(&d, config, NULL);
    test_wait_until(is_ended, &sock, 60, "the connection has ended");
    assert_int_equal(raw_open(&other, path), RAW_CODE(OK));
    raw_close(&other);
    close(sock);
    test_daemon_stop(&d);
    silent_file_end(&f);
    test_daemon_prepare(NULL);
    close(activation_sock);
    test_daemon_stop_and_remove(&d);
    scratch_remove_tree(dir);
}

// A daemon that can't start refuses the clients that wait, and ends; after so many of this kind it ends at once.
static void a_daemon_that_cannot_start_does_not_receive_them(void **state)
{
    enum { CLIENTS = 16, STATUS_CONFIG = 78 };
    struct silent_file f;
    struct test_daemon d;
    char dir[128], path[140];
    int socks[CLIENTS];

    (void)state;
    if (!silent_file_begin(&f, (uid_t)-1))
        skip();
    scratch_make_dir(dir, sizeof dir);
    make_activation_sock(path, sizeof path, dir);
    for (int i = 0; i < CLIENTS; i++) {
        socks[i] = connect_to(path);
        assert_int_equal(silent_file_send(&f, socks[i], "hello", 5, 1), 0);
    }
    silent_file_hush(&f);
    assert_int_equal(test_daemon_start_expecting_failure(&d, "[quota default]\nbytes = lots\n", NULL), STATUS_CONFIG);
    for (int i = 0; i < CLIENTS; i++)
        close(socks[i]);
    silent_file_end(&f);
    test_daemon_prepare(NULL);
    close(activation_sock);
    test_daemon_stop_and_remove(&d);
    scratch_remove_tree(dir);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_new_kernel_refuses_them),
        TEST(on_an_older_kernel_they_are_not_received),
        TEST(from_a_backlog_they_are_not_received),
        TEST(a_daemon_that_cannot_start_does_not_receive_them),
        TEST(they_count_as_connections_until_they_are_closed),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
