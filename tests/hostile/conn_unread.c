// Clients that ask for descriptors and never receive them, on many connections, of several users; and clients that
// then have the daemon close its end, and connect again.
//
// The daemon may open few files here.  Other users still get theirs, and when the clients end, so does all of that.
#include "tests/lib/actor.h"
#include "tests/lib/bystander.h"
#include "tests/lib/quota_usage.h"
#include "tests/lib/test_daemon.h"

#include "proto/util/clock.h"

enum { USERS = 4, CONNECTIONS = 12, REQUESTS = 60, UID = 4242, GROWS = 100 };

static const char config[] = "[daemon]\nkeep_free = 0\n[quota default]\nconnections = 20\nregions = 100000\n"
                             "[quota unlisted]\nconnections = 400\nregions = 100000\n";

static void send_create(struct raw *c)
{
    Diskalloc__V1__CreateRegion body = DISKALLOC__V1__CREATE_REGION__INIT;
    struct raw_handle h = raw_handle_new();
    RawRequest q = RAW_REQUEST_INIT;

    body.handle = raw_bytes(&h);
    q.body_case = RAW_BODY(CREATE_REGION);
    q.create_region = &body;
    raw_send(c, &q);
}

static void send_file_requests(struct raw *c)
{
    for (int i = 0; i < REQUESTS; i++)
        send_create(c);
}

static uid_t user(int i)
{
    return UID + (uid_t)i;
}

static void others_get_theirs(const struct test_daemon *d)
{
    struct raw c;

    assert_int_equal(raw_open(&c, d->socket), RAW_CODE(OK));
    for (int i = 0; i < 20; i++) {
        struct raw_handle h = raw_handle_new();

        assert_int_equal(raw_create(&c, &h, 4096), RAW_CODE(OK));
    }
    raw_close(&c);
}

static bool all_is_given_back(void *data)
{
    struct raw *admin = data;

    return USAGE_OF(admin, "total", regions) == 0 && USAGE_OF(admin, "total", connections) == 1;
}

static void who_does_not_read_keeps_no_descriptor_from_others(void **state)
{
    struct raw c[USERS][CONNECTIONS], admin;
    struct bystander_times quiet, meanwhile;
    struct test_daemon d;
    unsigned n_fds;
    uint64_t ended_at;

    (void)state;
    if (geteuid() != 0) {
        skip();
        return;
    }
    test_daemon_prepare(process_limit_files);
    test_daemon_start(&d, config, NULL);
    assert_int_equal(raw_open(&admin, d.socket), RAW_CODE(OK));
    quiet = bystander_grow(d.socket, (uid_t)-1, GROWS);
    for (int u = 0; u < USERS; u++)
        for (int i = 0; i < CONNECTIONS; i++)
            assert_int_equal(raw_open_as(&c[u][i], d.socket, user(u)), RAW_CODE(OK));
    for (int u = 0; u < USERS; u++)
        for (int i = 0; i < CONNECTIONS; i++) {
            send_file_requests(&c[u][i]);
            others_get_theirs(&d);
        }
    meanwhile = bystander_grow(d.socket, (uid_t)-1, GROWS);
    n_fds = process_count_fds(d.pid);
    bystander_print("descriptors that nobody reads", quiet, quiet, meanwhile);
    for (int u = 0; u < USERS; u++)
        for (int i = 0; i < CONNECTIONS; i++)
            raw_close(&c[u][i]);
    ended_at = clock_now();
    test_wait_until(all_is_given_back, &admin, 60, "nothing is charged any more");
    print_message("[ NOTE     ] the daemon had %u descriptors open; charges exact after %lu ms\n", n_fds,
                  (unsigned long)(clock_now() - ended_at));
    raw_close(&admin);
    test_daemon_stop_and_remove(&d);
    test_daemon_prepare(NULL);
}

// The daemon's end is closed, and what it sent stays in flight as long as the client keeps its own end.
static void a_closed_connection_counts_until_its_descriptors_are_received(void **state)
{
    enum { LIMIT = 20 };
    struct raw c[LIMIT], more, admin;
    struct test_daemon d;

    (void)state;
    if (geteuid() != 0) {
        skip();
        return;
    }
    test_daemon_start(&d, "[daemon]\nkeep_free = 0\n[quota unlisted]\nconnections = 20\nregions = 100000\n", NULL);
    assert_int_equal(raw_open(&admin, d.socket), RAW_CODE(OK));
    for (int i = 0; i < LIMIT; i++) {
        struct pollfd p;

        assert_int_equal(raw_open_as(&c[i], d.socket, UID), RAW_CODE(OK));
        send_create(&c[i]);
        p = (struct pollfd){.fd = c[i].sock, .events = POLLIN};
        assert_int_equal(poll(&p, 1, 60000), 1); // the descriptor has come
        assert_return_code(send(c[i].sock, "nonsense", 8, 0), errno);
        p.events = POLLRDHUP;
        assert_int_equal(poll(&p, 1, 60000), 1); // the daemon has hung up
    }
    assert_int_equal(raw_open_as(&more, d.socket, UID), RAW_CODE(LIMIT));
    raw_close(&more);
    for (int i = 0; i < LIMIT; i++)
        raw_close(&c[i]);
    test_wait_until(all_is_given_back, &admin, 60, "nothing is charged any more");
    raw_close(&admin);
    test_daemon_stop_and_remove(&d);
}

// Fills the sockets until the daemon serves C no more.
static void ask_in_vain(struct raw *c)
{
    Diskalloc__V1__GetUsage body = DISKALLOC__V1__GET_USAGE__INIT;
    struct pollfd p = {.fd = c->sock, .events = POLLOUT};
    RawRequest q = RAW_REQUEST_INIT;
    uint8_t bytes[256];

    q.body_case = RAW_BODY(GET_USAGE);
    q.get_usage = &body;
    while (poll(&p, 1, 500) > 0) {
        q.id = ++c->last_id;
        if (send(c->sock, bytes, diskalloc__v1__request__pack(&q, bytes), MSG_DONTWAIT | MSG_NOSIGNAL) < 0)
            assert_int_equal(errno, EAGAIN);
    }
}

// Replies that lie in the kernel are the daemon's memory, whatever the administrator has set as the size of buffers.
static void replies_that_nobody_reads_take_little_memory(void **state)
{
    enum { PACKET_COUNTS = 600, SEND_BUFFER = 2 * 48 * 1024 }; // bytes that the kernel counts for a packet, at least
    struct test_daemon d;
    struct raw c;
    unsigned n = 0;

    (void)state;
    test_daemon_start(&d, config, NULL);
    assert_int_equal(raw_open(&c, d.socket), RAW_CODE(OK));
    ask_in_vain(&c);
    test_daemon_halt(&d); // nothing follows what has come
    for (; raw_has_reply(&c); n++)
        raw_free(raw_receive(&c));
    test_daemon_go_on(&d);
    assert_in_range(n, 1, SEND_BUFFER / PACKET_COUNTS + 1);
    raw_close(&c);
    test_daemon_stop_and_remove(&d);
}

// A client that sends many requests at once and reads all replies gets them all.
static void who_reads_late_loses_nothing(void **state)
{
    struct test_daemon d;
    struct raw c;

    (void)state;
    test_daemon_start(&d, config, NULL);
    assert_int_equal(raw_open(&c, d.socket), RAW_CODE(OK));
    for (int round = 0; round < 10; round++) {
        send_file_requests(&c);
        for (int i = 0; i < REQUESTS; i++) {
            RawReply *reply = raw_answer(&c);

            assert_int_equal(raw_code(reply), RAW_CODE(OK));
            raw_free(reply);
        }
    }
    raw_close(&c);
    test_daemon_stop_and_remove(&d);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(who_does_not_read_keeps_no_descriptor_from_others),
        TEST(a_closed_connection_counts_until_its_descriptors_are_received),
        TEST(replies_that_nobody_reads_take_little_memory),
        TEST(who_reads_late_loses_nothing),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
