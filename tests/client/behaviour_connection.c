// Addresses, and daemons that have gone, are silent, or send nonsense.
#include "tests/lib/scratch.h"
#include "tests/lib/test_backend.h"
#include "tests/lib/test_daemon.h"

#include <pthread.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/un.h>

static int listen_at(const char *path)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    int sock = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);

    assert_return_code(sock, errno);
    assert_true(strlen(path) < sizeof(address.sun_path));
    strcpy(address.sun_path, path);
    assert_return_code(bind(sock, (struct sockaddr *)&address, sizeof(address)), errno);
    assert_return_code(listen(sock, 8), errno);
    return sock;
}

static void a_socket_that_nobody_listens_to_refuses(void **state)
{
    struct diskalloc *da = (struct diskalloc *)0x1;
    char dir[128], path[140], address[150];

    (void)state;
    scratch_make_dir(dir, sizeof(dir));
    snprintf(path, sizeof(path), "%s/s", dir);
    snprintf(address, sizeof(address), "unix:%s", path);
    close(listen_at(path));
    EXPECT_FAILURE(-ECONNREFUSED, "diskalloc_open", diskalloc_open(address, NULL, &da));
    assert_ptr_equal(da, (struct diskalloc *)0x1);
    scratch_remove_tree(dir);
}

static void a_daemon_that_says_nothing_refuses(void **state)
{
    struct diskalloc *da = (struct diskalloc *)0x1;
    char dir[128], path[140], address[150];
    int sock;

    (void)state;
    scratch_make_dir(dir, sizeof(dir));
    snprintf(path, sizeof(path), "%s/s", dir);
    snprintf(address, sizeof(address), "unix:%s", path);
    sock = listen_at(path);
    EXPECT_FAILURE(-ECONNREFUSED, "diskalloc_open", diskalloc_open(address, NULL, &da));
    assert_ptr_equal(da, (struct diskalloc *)0x1);
    close(sock);
    scratch_remove_tree(dir);
}

struct madman {
    int sock;
    const void *says;
    size_t n;
};

// To each that comes, until the socket is shut down.
static void *answer_nonsense(void *data)
{
    const struct madman *m = data;
    char buffer[65536];
    int peer;

    while ((peer = accept4(m->sock, NULL, NULL, SOCK_CLOEXEC)) >= 0) {
        if (recv(peer, buffer, sizeof(buffer), 0) > 0)
            (void)!send(peer, m->says, m->n, MSG_NOSIGNAL);
        while (recv(peer, buffer, sizeof(buffer), 0) > 0)
            ;
        close(peer);
    }
    return NULL;
}

static void check_that_nonsense_is_a_protocol_error(const void *says, size_t n)
{
    struct diskalloc *da = (struct diskalloc *)0x1;
    char dir[128], path[140], address[150];
    struct madman m = {.says = says, .n = n};
    pthread_t thread;

    scratch_make_dir(dir, sizeof(dir));
    snprintf(path, sizeof(path), "%s/s", dir);
    snprintf(address, sizeof(address), "unix:%s", path);
    m.sock = listen_at(path);
    assert_int_equal(pthread_create(&thread, NULL, answer_nonsense, &m), 0);
    EXPECT_FAILURE(-EPROTO, "diskalloc_open", diskalloc_open(address, NULL, &da));
    assert_ptr_equal(da, (struct diskalloc *)0x1);
    shutdown(m.sock, SHUT_RDWR);
    assert_int_equal(pthread_join(thread, NULL), 0);
    close(m.sock);
    scratch_remove_tree(dir);
}

static void a_daemon_that_answers_nonsense_breaks_the_protocol(void **state)
{
    static const char text[] = "HTTP/1.1 400 Bad Request\r\n\r\n";

    (void)state;
    check_that_nonsense_is_a_protocol_error(text, strlen(text));
}

static void a_daemon_that_answers_too_much_breaks_the_protocol(void **state)
{
    static char much[100000];

    (void)state;
    memset(much, 0x08, sizeof(much));
    check_that_nonsense_is_a_protocol_error(much, sizeof(much));
}

static void a_daemon_that_answers_another_kind_breaks_the_protocol(void **state)
{
    // A Reply with id 1 and an empty Usage where a HelloReply belongs.
    static const unsigned char reply[] = {0x08, 0x01, 0x32, 0x00};

    (void)state;
    check_that_nonsense_is_a_protocol_error(reply, sizeof(reply));
}

static void open_without_reconnecting(const char *address, int timeout_ms, struct diskalloc **ret)
{
    struct diskalloc_options o = DISKALLOC_OPTIONS_INIT;

    o.reconnect_timeout_ms = timeout_ms;
    assert_int_equal(diskalloc_open(address, &o, ret), 0);
}

static void a_daemon_that_is_gone_costs_no_byte(void **state)
{
    struct diskalloc_region *r, *other = (struct diskalloc_region *)0x1;
    struct diskalloc_usage usage;
    struct diskalloc *da = NULL;
    struct test_daemon d;
    uint8_t *data;

    (void)state;
    test_daemon_start(&d, NULL, NULL);
    open_without_reconnecting(d.address, 0, &da);
    r = make_region(da, 100000);
    data = diskalloc_region_data(r);
    memset(data, 0x12, 100000);
    test_daemon_kill(&d, SIGKILL);
    EXPECT_FAILURE(-ECONNRESET, "diskalloc_region_resize", diskalloc_region_resize(r, 200000));
    EXPECT_FAILURE(-ECONNRESET, "diskalloc_region_create", diskalloc_region_create(da, NULL, &other));
    EXPECT_FAILURE(-ECONNRESET, "diskalloc_get_usage", diskalloc_get_usage(da, NULL, &usage, sizeof(usage)));
    assert_ptr_equal(other, (struct diskalloc_region *)0x1);
    assert_int_equal(diskalloc_region_size(r), 100000);
    for (size_t i = 0; i < 100000; i++)
        assert_int_equal(data[i], 0x12);
    memset(data, 0x13, 100000);
    diskalloc_region_close(r);
    diskalloc_close(da);
    test_daemon_stop_and_remove(&d);
}

static void after_a_deadline_without_daemon_the_next_call_finds_the_new_one(void **state)
{
    struct diskalloc_region *r;
    struct diskalloc *da = NULL;
    struct test_daemon d;
    uint8_t *data;

    (void)state;
    test_daemon_start(&d, NULL, NULL);
    open_without_reconnecting(d.address, 300, &da);
    r = make_region(da, 100000);
    data = diskalloc_region_data(r);
    memset(data, 0x12, 100000);
    test_daemon_kill(&d, SIGKILL);
    EXPECT_FAILURE(-ECONNRESET, "diskalloc_region_resize", diskalloc_region_resize(r, 200000));
    assert_int_equal(diskalloc_region_size(r), 100000);
    test_daemon_restart(&d);
    assert_int_equal(diskalloc_region_resize(r, 200000), 0);
    assert_int_equal(usage_of(da).bytes, 49 * 4096);
    for (size_t i = 0; i < 200000; i++)
        assert_int_equal(data[i], i < 100000 ? 0x12 : 0);
    diskalloc_region_close(r);
    test_wait_until(nothing_is_charged, da, 30, "the region has gone");
    diskalloc_close(da);
    test_daemon_stop_and_remove(&d);
}

static void the_environment_gives_the_default_address(void **state)
{
    struct test_backend b;
    struct diskalloc *da = NULL;

    (void)state;
    backend_start(&b, true, NULL, NULL);
    assert_string_equal(diskalloc_address(b.da), b.address);
    assert_return_code(setenv("DISKALLOC_ADDRESS", b.address, 1), errno);
    assert_int_equal(diskalloc_open(NULL, NULL, &da), 0);
    unsetenv("DISKALLOC_ADDRESS");
    assert_string_equal(diskalloc_address(da), b.address);
    assert_int_equal(usage_of(da).connections, 2);
    diskalloc_close(da);
    backend_stop(&b);
}

static void without_a_daemon_anonymous_regions_fall_back_to_a_disk(void **state)
{
    struct diskalloc_region *r, *named = (struct diskalloc_region *)0x1;
    struct diskalloc *da = NULL;
    char dir[128], address[140];

    (void)state;
    if (access("/run/diskalloc/diskallocd.sock", F_OK) == 0) {
        print_message("skipped: a system daemon's socket is there\n");
        skip();
        return;
    }
    unsetenv("DISKALLOC_ADDRESS");
    scratch_make_dir(dir, sizeof(dir));
    assert_return_code(setenv("TMPDIR", dir, 1), errno);
    assert_int_equal(diskalloc_open(NULL, NULL, &da), 0);
    snprintf(address, sizeof(address), "dir:%s", dir);
    assert_string_equal(diskalloc_address(da), address);
    r = make_region(da, 1000);
    memset(diskalloc_region_data(r), 1, 1000);
    assert_true(open_named(da, "named", 1, DISKALLOC_REGION_CREATE, &named) < 0);
    assert_ptr_equal(named, (struct diskalloc_region *)0x1);
    assert_true(diskalloc_last_error()[0] != '\0');
    diskalloc_region_close(r);
    diskalloc_close(da);

    // Memory is no disk.
    assert_return_code(setenv("TMPDIR", "/dev/shm", 1), errno);
    assert_int_equal(diskalloc_open(NULL, NULL, &da), 0);
    assert_string_equal(diskalloc_address(da), "dir:/var/tmp");
    diskalloc_close(da);
    unsetenv("TMPDIR");
    scratch_remove_tree(dir);
}

static void embedded_regions_leave_nothing_behind(void **state)
{
    struct diskalloc_region *r, *named = NULL;
    struct test_backend b;

    (void)state;
    backend_start(&b, false, NULL, NULL);
    r = make_region(b.da, 100000);
    assert_int_equal(test_sum_sizes(b.dir), 0);
    assert_int_equal(open_named(b.da, "stays", 100000, DISKALLOC_REGION_CREATE, &named), 0);
    assert_int_equal(test_sum_sizes(b.dir), 25 * 4096);
    diskalloc_region_close(r);
    diskalloc_region_close(named);
    assert_int_equal(test_sum_sizes(b.dir), 25 * 4096);
    assert_int_equal(diskalloc_region_unlink(b.da, "stays"), 0);
    assert_int_equal(test_sum_sizes(b.dir), 0);
    backend_stop(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_socket_that_nobody_listens_to_refuses),
        TEST(a_daemon_that_says_nothing_refuses),
        TEST(a_daemon_that_answers_nonsense_breaks_the_protocol),
        TEST(a_daemon_that_answers_too_much_breaks_the_protocol),
        TEST(a_daemon_that_answers_another_kind_breaks_the_protocol),
        TEST(a_daemon_that_is_gone_costs_no_byte),
        TEST(after_a_deadline_without_daemon_the_next_call_finds_the_new_one),
        TEST(the_environment_gives_the_default_address),
        TEST(without_a_daemon_anonymous_regions_fall_back_to_a_disk),
        TEST(embedded_regions_leave_nothing_behind),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
