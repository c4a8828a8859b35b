// Clients that send as many requests as they can and close their connections without reading a reply, in a loop.
//
// The requests of a connection that is gone end with it, or are few: the daemon's memory stays what it is, others are
// served, and when the clients end, nothing stays charged.
#include "tests/lib/actor.h"
#include "tests/lib/bystander.h"
#include "tests/lib/frozen_disk.h"
#include "tests/lib/quota_usage.h"
#include "tests/lib/test_daemon.h"

#include <linux/sockios.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <time.h>

#include "proto/util/clock.h"

enum { ATTACKERS = 2, UID = 4242, GROWS = 300, REQUESTS = 64 };

static const char config[] = "[daemon]\nkeep_free = 0\n[quota default]\nconnections = 100\nregions = 100000\n";

static void send_create(struct raw *c, const struct raw_handle *h, uint64_t size)
{
    Diskalloc__V1__CreateRegion body = DISKALLOC__V1__CREATE_REGION__INIT;
    RawRequest q = RAW_REQUEST_INIT;

    body.handle = raw_bytes(h);
    body.size = size;
    q.body_case = RAW_BODY(CREATE_REGION);
    q.create_region = &body;
    raw_send(c, &q);
}

// Until the daemon has read all requests; not for long, because a client may be held up.
static void await_reading(const struct raw *c)
{
    const struct timespec pause = {.tv_nsec = 1000000};
    int bytes = 1;

    for (int i = 0; i < 20 && ioctl(c->sock, SIOCOUTQ, &bytes) == 0 && bytes > 0; i++)
        nanosleep(&pause, NULL);
}

static void ask_and_leave(const char *path, bool grows, uint64_t size)
{
    struct raw_handle h = raw_handle_new();
    struct raw c;

    if (raw_open(&c, path) != RAW_CODE(OK) || (grows && raw_create(&c, &h, 0) != RAW_CODE(OK))) {
        raw_close(&c);
        return;
    }
    for (unsigned i = 0; i < REQUESTS; i++) {
        if (grows) {
            raw_send_grow(&c, &h, (i + 1) * size, 0);
        } else {
            h = raw_handle_new();
            send_create(&c, &h, size);
        }
    }
    await_reading(&c);
    raw_close(&c);
}

static const char *socket_path;

static void attack(struct actor *self, void *data)
{
    bool grows = *(bool *)data;

    (void)self;
    for (;;)
        ask_and_leave(socket_path, grows, grows ? 65536 : 64 * MIB);
}

static bool all_is_given_back(void *data)
{
    struct raw *admin = data;

    return USAGE_OF(admin, "total", regions) == 0 && USAGE_OF(admin, "total", bytes) == 0 &&
           USAGE_OF(admin, "total", connections) == 1;
}

static void run(bool grows)
{
    struct bystander_times quiet, loops, meanwhile;
    struct actor attackers[ATTACKERS];
    struct test_daemon d;
    struct raw admin;
    uint64_t before, after, ended_at;

    test_daemon_start(&d, config, NULL);
    socket_path = d.socket;
    quiet = bystander_grow(d.socket, (uid_t)-1, GROWS);
    loops = bystander_grow_beside_loops(d.socket, (uid_t)-1, 4 * GROWS, ATTACKERS);
    for (int i = 0; i < ATTACKERS; i++)
        actor_start(&attackers[i], attack, &grows, geteuid() == 0 ? UID + (uid_t)i : (uid_t)-1);
    bystander_grow(d.socket, (uid_t)-1, GROWS);
    before = process_rss_kib(d.pid);
    meanwhile = bystander_grow(d.socket, (uid_t)-1, 4 * GROWS);
    after = process_rss_kib(d.pid);
    for (int i = 0; i < ATTACKERS; i++)
        actor_kill(&attackers[i]);
    ended_at = clock_now();
    bystander_print(grows ? "grows, and closes" : "creates, and closes", quiet, loops, meanwhile);
    assert_int_equal(raw_open(&admin, d.socket), RAW_CODE(OK));
    test_wait_until(all_is_given_back, &admin, 60, "nothing is charged any more");
    print_message("[ NOTE     ] daemon: %lu KiB, and %lu KiB later; charges exact after %lu ms\n",
                  (unsigned long)before, (unsigned long)after, (unsigned long)(clock_now() - ended_at));
    if (!SANITIZED)
        assert_in_range(after, 0, before + 16 * 1024);
    raw_close(&admin);
    test_daemon_stop_and_remove(&d);
}

static void creates_of_connections_that_are_gone_cost_no_memory(void **state)
{
    (void)state;
    run(false);
}

static void grows_of_connections_that_are_gone_cost_no_memory(void **state)
{
    (void)state;
    run(true);
}

// On a disk that does not answer, no request ends by itself: those of a user are bounded all the same, and the user's
// further connections wait.
enum { LOOPS = 600 };

struct progress {
    _Atomic unsigned n_loops;
};

static struct progress *progress;

static void attack_a_hung_disk(struct actor *self, void *data)
{
    (void)data;
    for (;;) {
        ask_and_leave(socket_path, false, 4096);
        if (++progress->n_loops == LOOPS)
            actor_done(self);
    }
}

// True as well when the clients have made no progress for a while: they are held up.
static bool have_looped_or_wait(void *data)
{
    static uint64_t since;
    static unsigned seen;
    unsigned n = progress->n_loops;

    (void)data;
    if (n != seen || since == 0)
        since = clock_now();
    seen = n;
    return n >= LOOPS || clock_now() - since > 3000;
}

static void on_a_hung_disk_they_are_bounded(void **state)
{
    struct frozen_disk ice;
    struct actor attacker;
    struct test_daemon d;
    struct raw admin;
    uint64_t before, after;

    (void)state;
    if (geteuid() != 0 || !frozen_disk_prepare(&ice, 256 * MIB)) {
        skip();
        return;
    }
    progress = mmap(NULL, sizeof *progress, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    assert_ptr_not_equal(progress, MAP_FAILED);
    test_daemon_start(&d, config, ice.mount.at);
    socket_path = d.socket;
    assert_int_equal(raw_open(&admin, d.socket), RAW_CODE(OK));
    before = process_rss_kib(d.pid);
    frozen_disk_freeze(&ice);
    actor_start(&attacker, attack_a_hung_disk, NULL, UID);
    test_wait_until(have_looped_or_wait, NULL, 100, "many connections have come and gone");
    after = process_rss_kib(d.pid);
    assert_int_equal(USAGE_OF(&admin, "total", connections) >= 1, 1); // others are served
    frozen_disk_thaw(&ice);
    actor_kill(&attacker);
    test_wait_until(all_is_given_back, &admin, 60, "nothing is charged any more");
    print_message("[ NOTE     ] on a hung disk: daemon %lu KiB, and %lu KiB after %u connections\n",
                  (unsigned long)before, (unsigned long)after, progress->n_loops);
    if (!SANITIZED)
        assert_in_range(after, 0, before + 16 * 1024);
    raw_close(&admin);
    munmap(progress, sizeof *progress);
    test_daemon_stop_and_remove(&d);
    frozen_disk_end(&ice);
}

// Work that has begun holds its charge until the disk answers: no more than the threads that a user may occupy.
enum { MOST_BEGUN = 8 };

static bool only_what_has_begun_is_charged(void *data)
{
    struct raw *admin = data;

    return USAGE_OF(admin, "total", connections) == 1 && USAGE_OF(admin, "total", regions) <= MOST_BEGUN &&
           USAGE_OF(admin, "total", bytes) <= MOST_BEGUN * MIB;
}

static void on_a_hung_disk_what_has_not_begun_is_given_back(void **state)
{
    struct frozen_disk ice;
    struct test_daemon d;
    struct raw admin, c;

    (void)state;
    if (geteuid() != 0 || !frozen_disk_prepare(&ice, 256 * MIB)) {
        skip();
        return;
    }
    test_daemon_start(&d, config, ice.mount.at);
    assert_int_equal(raw_open(&admin, d.socket), RAW_CODE(OK));
    assert_int_equal(raw_open_as(&c, d.socket, UID), RAW_CODE(OK));
    frozen_disk_freeze(&ice);
    for (unsigned i = 0; i < REQUESTS; i++) {
        struct raw_handle h = raw_handle_new();

        send_create(&c, &h, MIB);
    }
    AWAIT_USAGE(&admin, "total", regions, REQUESTS);
    raw_close(&c);
    test_wait_until(only_what_has_begun_is_charged, &admin, 20, "the rest is given back");
    frozen_disk_thaw(&ice);
    test_wait_until(all_is_given_back, &admin, 60, "nothing is charged any more");
    raw_close(&admin);
    test_daemon_stop_and_remove(&d);
    frozen_disk_end(&ice);
}

static void what_waits_ends_with_a_client_that_has_left_replies_unread(void **state)
{
    struct raw_handle h[2] = {raw_handle_new(), raw_handle_new()};
    Diskalloc__V1__GetUsage body = DISKALLOC__V1__GET_USAGE__INIT;
    RawRequest q = RAW_REQUEST_INIT;
    struct test_daemon d;
    struct raw c, other;
    struct pollfd p;

    (void)state;
    test_daemon_start(&d, "[daemon]\nkeep_free = 0\n[quota default]\nbytes = 8M\n", NULL);
    assert_int_equal(raw_open(&other, d.socket), RAW_CODE(OK));
    assert_int_equal(raw_open(&c, d.socket), RAW_CODE(OK));
    assert_int_equal(raw_create(&c, &h[0], 6 * MIB), RAW_CODE(OK));
    assert_int_equal(raw_create(&c, &h[1], MIB), RAW_CODE(OK));
    raw_send_grow(&c, &h[1], 4 * MIB, INT64_MAX);
    AWAIT_USAGE(&other, "", waiters, 1);
    q.body_case = RAW_BODY(GET_USAGE);
    q.get_usage = &body;
    assert_true(raw_send(&c, &q) != 0);
    p = (struct pollfd){.fd = c.sock, .events = POLLIN};
    assert_int_equal(poll(&p, 1, 60000), 1); // the reply stays where it is
    raw_close(&c);
    AWAIT_USAGE(&other, "", connections, 1);
    AWAIT_USAGE(&other, "", bytes, 0);
    assert_int_equal(USAGE_OF(&other, "", waiters), 0);
    raw_close(&other);
    test_daemon_stop_and_remove(&d);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(what_waits_ends_with_a_client_that_has_left_replies_unread),
        TEST(creates_of_connections_that_are_gone_cost_no_memory),
        TEST(grows_of_connections_that_are_gone_cost_no_memory),
        TEST(on_a_hung_disk_they_are_bounded),
        TEST(on_a_hung_disk_what_has_not_begun_is_given_back),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
