// A file system that does not answer, and a daemon that is stopped: requests that need no disk are answered,
// deadlines pass, and afterwards everything goes on as before.
#include "tests/lib/actor.h"
#include "tests/lib/frozen_disk.h"
#include "tests/lib/raw_client.h"
#include "tests/lib/scratch.h"
#include "tests/lib/test_backend.h"
#include "tests/lib/test_daemon.h"

#include <pthread.h>

enum { DISK_MIB = 128, LIMIT_MIB = 64, BLOCKED = 6 };

static const char config[] = "[daemon]\nkeep_free = 0\n[quota total]\nbytes = 64M\n";

struct grower {
    pthread_t thread;
    struct diskalloc_region *region;
    int result;
};

static void *grow(void *data)
{
    struct grower *g = data;

    g->result = diskalloc_region_resize(g->region, 2 * MIB);
    return NULL;
}

// In state D: it waits as only the disk can end it.
static bool some_worker_hangs(void *data)
{
    const struct test_daemon *d = data;
    char command[200];

    snprintf(command, sizeof command, "cat /proc/%d/task/*/stat 2>/dev/null | grep -q ') D '", (int)d->pid);
    return system(command) == 0;
}

static void ask_as_somebody_else(void *data)
{
    struct diskalloc_usage u = {0};
    struct diskalloc *da = NULL;

    assert_int_equal(diskalloc_open(data, NULL, &da), 0);
    assert_int_equal(diskalloc_get_usage(da, NULL, &u, sizeof u), 0);
    assert_int_equal(u.regions, 0);
    diskalloc_close(da);
}

static void ask_for_status(const struct test_daemon *d)
{
    char command[1024];

    snprintf(command, sizeof command, "%s --address %s status >/dev/null && %s --address %s regions >/dev/null",
             TEST_DISKALLOCCTL, d->address, TEST_DISKALLOCCTL, d->address);
    assert_int_equal(system(command), 0);
}

// More of them than one user may occupy workers.
static void block_workers(struct test_backend *b, struct grower *growers)
{
    for (size_t i = 0; i < BLOCKED; i++)
        assert_int_equal(pthread_create(&growers[i].thread, NULL, grow, &growers[i]), 0);
    test_wait_until(some_worker_hangs, &b->daemon, 30, "a worker hangs");
}

static void finish_growers(struct grower *growers)
{
    for (size_t i = 0; i < BLOCKED; i++) {
        pthread_join(growers[i].thread, NULL);
        assert_int_equal(growers[i].result, 0);
        assert_int_equal(diskalloc_region_size(growers[i].region), 2 * MIB);
        memset(diskalloc_region_data(growers[i].region), (int)i, 2 * MIB);
    }
}

static void make_regions(struct test_backend *b, struct grower *growers)
{
    for (size_t i = 0; i < BLOCKED; i++)
        growers[i] = (struct grower){.region = make_region(b->da, MIB)};
}

static void close_regions(struct grower *growers)
{
    for (size_t i = 0; i < BLOCKED; i++)
        diskalloc_region_close(growers[i].region);
}

static bool only_the_growers_are_charged(void *da)
{
    return usage_of(da).bytes == (2 * BLOCKED + 1) * MIB;
}

static void while_the_disk_hangs_the_daemon_answers_and_afterwards_goes_on(void **state)
{
    struct grower growers[BLOCKED];
    struct diskalloc_region *waiter;
    struct diskalloc *other = NULL;
    struct test_backend b;
    struct frozen_disk ice;

    (void)state;
    if (!frozen_disk_prepare(&ice, DISK_MIB * MIB)) {
        skip();
        return;
    }
    backend_start(&b, true, config, ice.mount.at);
    make_regions(&b, growers);
    waiter = make_region(b.da, MIB);
    frozen_disk_freeze(&ice);
    block_workers(&b, growers);
    ask_for_status(&b.daemon);
    assert_int_equal(diskalloc_open(b.daemon.address, NULL, &other), 0);
    // The bytes that are being granted are charged already.
    assert_int_equal(usage_of(other).bytes, (2 * BLOCKED + 1) * MIB);
    if (geteuid() == 0)
        assert_int_equal(test_in_child(ask_as_somebody_else, b.daemon.address, 4242), 0);
    // A grow that waits for a limit does not touch the disk.
    EXPECT_FAILURE(-ETIMEDOUT, "diskalloc_region_resize_wait",
                   diskalloc_region_resize_wait(waiter, (LIMIT_MIB - 1) * MIB, 50));
    EXPECT_FAILURE(-EDQUOT, "diskalloc_region_resize", diskalloc_region_resize(waiter, 2 * LIMIT_MIB * MIB));
    // A grow that the disk holds up has its deadline too, and is undone.
    EXPECT_FAILURE(-ETIMEDOUT, "diskalloc_region_resize_wait", diskalloc_region_resize_wait(waiter, 2 * MIB, 50));
    assert_int_equal(diskalloc_region_size(waiter), MIB);
    frozen_disk_thaw(&ice);
    finish_growers(growers);
    test_wait_until(only_the_growers_are_charged, b.da, 30, "what came too late is undone");
    assert_int_equal(test_sum_sizes(b.daemon.spill), (2 * BLOCKED + 1) * MIB);
    assert_int_equal(diskalloc_region_resize(waiter, 3 * MIB), 0);
    close_regions(growers);
    diskalloc_region_close(waiter);
    diskalloc_close(other);
    backend_stop(&b);
    frozen_disk_end(&ice);
}

// The kernel lets nobody end a thread that waits for a frozen disk: what can be seen is that all the others have ended.
static bool main_thread_has_ended(void *data)
{
    const struct test_daemon *d = data;
    char command[200];

    snprintf(command, sizeof command, "grep -q ') Z ' /proc/%d/stat 2>/dev/null", (int)d->pid);
    return system(command) == 0;
}

static void a_daemon_told_to_end_does_not_wait_for_a_hung_disk(void **state)
{
    struct grower growers[BLOCKED];
    struct test_backend b;
    struct frozen_disk ice;

    (void)state;
    if (!frozen_disk_prepare(&ice, DISK_MIB * MIB)) {
        skip();
        return;
    }
    backend_start(&b, true, config, ice.mount.at);
    make_regions(&b, growers);
    frozen_disk_freeze(&ice);
    block_workers(&b, growers);
    assert_return_code(kill(b.daemon.pid, SIGTERM), errno);
    test_wait_until(main_thread_has_ended, &b.daemon, 60, "the daemon has ended but for who hangs");
    assert_true(test_daemon_logged(&b.daemon, "the disk does not answer: ending without waiting for it"));
    frozen_disk_thaw(&ice);
    test_daemon_kill(&b.daemon, SIGKILL); // a zombie by now: waits only
    test_daemon_restart(&b.daemon);
    finish_growers(growers); // they have connected again, and asked again
    assert_int_equal(usage_of(b.da).bytes, 2 * BLOCKED * MIB);
    assert_int_equal(test_sum_sizes(b.daemon.spill), 2 * BLOCKED * MIB);
    close_regions(growers);
    backend_stop(&b);
    frozen_disk_end(&ice);
}

static uint64_t send_create(struct raw *c, const struct raw_handle *handle)
{
    Diskalloc__V1__CreateRegion body = DISKALLOC__V1__CREATE_REGION__INIT;
    RawRequest q = RAW_REQUEST_INIT;

    body.handle = raw_bytes(handle);
    body.size = 4096;
    q.body_case = RAW_BODY(CREATE_REGION);
    q.create_region = &body;
    return raw_send(c, &q);
}

// The daemon takes a connection's requests in their order: when it answers this one, it has those before it.
static void make_a_round_trip(struct raw *c)
{
    Diskalloc__V1__GetUsage body = DISKALLOC__V1__GET_USAGE__INIT;
    RawRequest q = RAW_REQUEST_INIT;

    q.body_case = RAW_BODY(GET_USAGE);
    q.get_usage = &body;
    assert_int_equal(raw_done(c, &q), RAW_CODE(OK));
}

// The first try was carried out for a client that had gone already.  Its region is an orphan, and is being removed
// when the client, connected again, asks again.
static void a_repeated_create_makes_anew_what_is_being_removed(void **state)
{
    struct raw_handle handle = raw_handle_new();
    struct raw first = {.sock = -1}, again = {.sock = -1};
    struct test_backend b;
    RawReply *reply;
    struct frozen_disk ice;
    uint64_t id;

    (void)state;
    if (!frozen_disk_prepare(&ice, DISK_MIB * MIB)) {
        skip();
        return;
    }
    backend_start(&b, true, config, ice.mount.at);
    assert_int_equal(raw_open(&first, b.daemon.socket), RAW_CODE(OK));
    assert_int_equal(raw_open(&again, b.daemon.socket), RAW_CODE(OK));
    assert_int_not_equal(send_create(&first, &handle), 0);
    raw_free(raw_answer(&first));
    frozen_disk_freeze(&ice);
    raw_close(&first);
    test_wait_until(some_worker_hangs, &b.daemon, 30, "the removal hangs");
    id = send_create(&again, &handle);
    make_a_round_trip(&again);
    frozen_disk_thaw(&ice);
    reply = raw_answer(&again);
    assert_int_equal(raw_code(reply), RAW_CODE(OK));
    assert_int_equal(reply->id, id);
    raw_free(reply);
    assert_int_equal(usage_of(b.da).regions, 1);
    assert_int_equal(usage_of(b.da).bytes, 4096);
    assert_int_equal(test_sum_sizes(b.daemon.spill), 4096);
    raw_close(&again);
    backend_stop(&b);
    frozen_disk_end(&ice);
}

static void a_stopped_daemon_costs_its_clients_nothing_but_time(void **state)
{
    struct grower growers[BLOCKED];
    struct diskalloc_region *r;
    struct test_backend b;
    uint8_t *data;

    (void)state;
    backend_start(&b, true, config, NULL);
    make_regions(&b, growers);
    r = make_region(b.da, 4 * MIB);
    data = diskalloc_region_data(r);
    test_daemon_halt(&b.daemon);
    memset(data, 0x5a, 4 * MIB);
    for (size_t i = 0; i < BLOCKED; i++)
        assert_int_equal(pthread_create(&growers[i].thread, NULL, grow, &growers[i]), 0);
    for (size_t i = 0; i < 4 * MIB; i++)
        assert_int_equal(data[i], 0x5a);
    test_daemon_go_on(&b.daemon);
    finish_growers(growers);
    assert_int_equal(diskalloc_region_resize(r, 5 * MIB), 0);
    for (size_t i = 0; i < 5 * MIB; i++)
        assert_int_equal(data[i], i < 4 * MIB ? 0x5a : 0);
    assert_int_equal(usage_of(b.da).bytes, (2 * BLOCKED + 5) * MIB);
    close_regions(growers);
    diskalloc_region_close(r);
    backend_stop(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(while_the_disk_hangs_the_daemon_answers_and_afterwards_goes_on),
        TEST(a_daemon_told_to_end_does_not_wait_for_a_hung_disk),
        TEST(a_repeated_create_makes_anew_what_is_being_removed),
        TEST(a_stopped_daemon_costs_its_clients_nothing_but_time),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
