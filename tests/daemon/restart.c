// The daemon is killed again and again under a client that goes on pushing: nothing is lost, and the charges are right.
#include "tests/lib/actor.h"
#include "tests/lib/quota_usage.h"
#include "tests/lib/scratch.h"
#include "tests/lib/test_backend.h"
#include "tests/lib/test_daemon.h"

#include <sys/mman.h>

DISKALLOC_VEC_DEFINE(u64s, uint64_t)

enum { KILLS = SANITIZED ? 4 : 12 };

struct shared {
    const char *address;
    _Atomic uint64_t progress; // rounds that the client has done
    _Atomic bool stop;
};

static uint64_t mix(uint64_t i)
{
    return (i ^ 0x5bd1e995) * 0x9e3779b97f4a7c15;
}

static void check_elements(const struct u64s *v, uint64_t n)
{
    NEED(v->len == n);
    for (uint64_t i = 0; i < n; i++)
        NEED(v->data[i] == mix(i));
}

#define DONE(what, call)                                                                          \
    do {                                                                                          \
        if ((call) != 0) {                                                                        \
            fprintf(stderr, "%s:%d: %s: %s\n", __FILE__, __LINE__, what, diskalloc_last_error()); \
            _exit(1);                                                                             \
        }                                                                                         \
    } while (0)

// Other requests of a round, besides pushing, so that a kill meets every kind of request.
static void disturb(struct diskalloc *da, struct diskalloc_region *r, uint64_t round)
{
    uint64_t size = 4096 + round * 7919 % (4 * MIB);
    struct diskalloc_region *brief = NULL, *named = NULL;
    uint64_t *data = diskalloc_region_data(r);

    data[0] = round;
    DONE("resize", diskalloc_region_resize(r, size));
    NEED(diskalloc_region_size(r) == size);
    NEED(data[0] == round);
    data[size / 8 - 1] = round;
    if (round % 8 == 0) {
        DONE("create", diskalloc_region_create(da, NULL, &brief));
        DONE("grow", diskalloc_region_resize(brief, 100000));
        memset(diskalloc_region_data(brief), 1, 100000);
        diskalloc_region_close(brief);
    }
    if (round % 8 == 4) {
        DONE("open", open_named(da, "now-and-then", 5000, DISKALLOC_REGION_CREATE, &named));
        DONE("commit", diskalloc_region_commit(named, 5000, 8, 0));
        diskalloc_region_close(named);
    }
}

static void push_on_and_on(struct actor *self, void *data)
{
    struct shared *shared = data;
    struct diskalloc *da = NULL;
    struct diskalloc_region *r = NULL;
    struct diskalloc_region_options o = DISKALLOC_REGION_OPTIONS_INIT;
    struct u64s v = {0}, steady = {0};
    uint64_t n = 0, round;

    DONE("client", diskalloc_open(shared->address, NULL, &da));
    DONE("vector", u64s_init(&v, da));
    DONE("vector", u64s_init(&steady, da));
    o.size = 4096;
    DONE("region", diskalloc_region_create(da, &o, &r));
    for (round = 0; !shared->stop; round++) {
        for (int i = 0; i < 4000 && n < 32 * MIB; i++, n++)
            DONE("push", u64s_push(&v, mix(n)));
        DONE("reserve", u64s_reserve(&steady, 512 + steady.cap - steady.len)); // a grow each round
        DONE("shrink", round % 8 ? 0 : u64s_shrink_to_fit(&steady));
        DONE("push", u64s_push(&steady, mix(steady.len)));
        disturb(da, r, round);
        shared->progress = round;
    }
    check_elements(&v, n);
    check_elements(&steady, round);
    actor_next(self);
    u64s_deinit(&v);
    u64s_deinit(&steady);
    diskalloc_region_close(r);
    DONE("unlink", diskalloc_region_unlink(da, "now-and-then"));
    diskalloc_close(da);
    actor_done(self);
}

struct target {
    struct shared *shared;
    pid_t client;
    uint64_t progress;
};

static bool has_come_so_far_or_died(void *data)
{
    const struct target *t = data;
    siginfo_t info = {0};

    return t->shared->progress >= t->progress ||
           (waitid(P_PID, (id_t)t->client, &info, WEXITED | WNOHANG | WNOWAIT) == 0 && info.si_pid != 0);
}

static void let_the_client_push(struct shared *shared, const struct actor *client)
{
    struct target t = {shared, client->pid, shared->progress + 5};

    test_wait_until(has_come_so_far_or_died, &t, 60, "the client goes on pushing");
    assert_true(shared->progress >= t.progress);
}

static bool charge_equals_files(void *data)
{
    struct test_backend *b = data;
    struct diskalloc_usage u = {0};
    char dir[200];

    snprintf(dir, sizeof(dir), "%s/%u", b->daemon.spill, (unsigned)geteuid());
    return diskalloc_get_usage(b->da, "total", &u, sizeof(u)) == 0 && u.bytes == test_sum_sizes(dir) &&
           u.regions == test_count_files(dir);
}

static void a_daemon_killed_under_a_pushing_client_loses_nothing(void **state)
{
    struct shared *shared = mmap(NULL, sizeof(*shared), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    struct test_backend b = {.remote = true};
    struct actor client;

    (void)state;
    assert_true(shared != MAP_FAILED);
    test_daemon_start(&b.daemon, NULL, NULL);
    shared->address = b.daemon.address;
    actor_start(&client, push_on_and_on, shared, (uid_t)-1);
    for (int i = 0; i < KILLS; i++) {
        let_the_client_push(shared, &client);
        if (i % 4 == 3)
            test_daemon_stop(&b.daemon); // an orderly end, too
        else
            test_daemon_kill(&b.daemon, SIGKILL);
        test_daemon_restart(&b.daemon);
    }
    let_the_client_push(shared, &client);
    shared->stop = true;
    actor_await(&client); // it has checked every element
    assert_int_equal(diskalloc_open(b.daemon.address, NULL, &b.da), 0);
    test_wait_until(charge_equals_files, &b, 30, "the charge is what the files have");
    assert_true(usage_of(b.da).bytes > 0);
    actor_go(&client);
    actor_await(&client);
    actor_finish(&client);
    backend_stop(&b);
    munmap(shared, sizeof(*shared));
}

static void a_restarted_daemon_charges_each_region_once(void **state)
{
    struct diskalloc_region *r[10];
    struct test_backend b;

    (void)state;
    backend_start(&b, true, NULL, NULL);
    for (size_t i = 0; i < 10; i++)
        r[i] = make_region(b.da, (i + 1) * 4096);
    for (int restart = 0; restart < 3; restart++) {
        test_daemon_kill(&b.daemon, SIGKILL);
        test_daemon_restart(&b.daemon);
        assert_int_equal(usage_of(b.da).bytes, 55 * 4096);
        assert_int_equal(usage_of(b.da).regions, 10);
        for (size_t i = 0; i < 10; i++) {
            assert_int_equal(diskalloc_region_resize(r[i], (i + 1) * 4096 - 1), 0);
            assert_int_equal(diskalloc_region_resize(r[i], (i + 1) * 4096), 0);
        }
        assert_int_equal(usage_of(b.da).bytes, 55 * 4096);
        assert_int_equal(usage_of(b.da).regions, 10);
    }
    for (size_t i = 0; i < 10; i++)
        diskalloc_region_close(r[i]);
    backend_stop(&b);
}

static void regions_closed_without_a_daemon_are_gone_with_the_next(void **state)
{
    struct diskalloc_region *r;
    struct test_backend b;

    (void)state;
    backend_start(&b, true, NULL, NULL);
    r = make_region(b.da, MIB);
    test_daemon_kill(&b.daemon, SIGKILL);
    diskalloc_region_close(r);
    test_daemon_restart(&b.daemon);
    backend_stop(&b); // waits until nothing is charged
}

// The region's disk is away, and another user has been given the handle, which is no secret to who may attach it.
static void another_users_region_of_the_same_handle_is_not_taken_for_it(void **state)
{
    Diskalloc__V1__OpenRegion m = DISKALLOC__V1__OPEN_REGION__INIT;
    struct raw_handle handle;
    RawRequest q = RAW_REQUEST_INIT;
    struct diskalloc_region *r;
    struct test_backend b;
    char path[400];
    struct raw c;

    (void)state;
    if (geteuid() != 0)
        skip();
    backend_start(&b, true, NULL, NULL);
    assert_int_equal(open_named(b.da, "mine", MIB, DISKALLOC_REGION_CREATE, &r), 0);
    ((char *)diskalloc_region_data(r))[MIB - 1] = 7;
    handle = raw_handle_of(diskalloc_region_handle(r));
    test_daemon_kill(&b.daemon, SIGKILL);
    snprintf(path, sizeof path, "%s/0/%s", b.daemon.spill, diskalloc_region_handle(r));
    assert_return_code(unlink(path), errno);
    test_daemon_restart(&b.daemon);
    assert_int_equal(raw_open_as(&c, b.daemon.socket, 3000001), RAW_CODE(OK));
    m.name = raw_text("theirs");
    m.handle = raw_bytes(&handle);
    m.mode = 0666;
    m.flags = DISKALLOC__V1__REGION_FLAG__REGION_CREATE;
    q.body_case = RAW_BODY(OPEN_REGION);
    q.open_region = &m;
    assert_int_equal(raw_done(&c, &q), RAW_CODE(OK));
    EXPECT_FAILURE(-ESTALE, "diskalloc_region_resize", diskalloc_region_resize(r, 4 * MIB));
    EXPECT_FAILURE(-ESTALE, "diskalloc_region_commit", diskalloc_region_commit(r, 1, 1, 0));
    assert_int_equal(((char *)diskalloc_region_data(r))[MIB - 1], 7);
    diskalloc_region_close(r);
    raw_close(&c);
    assert_int_equal(raw_open_as(&c, b.daemon.socket, 3000001), RAW_CODE(OK));
    assert_int_equal(raw_remove(&c, &handle, true), RAW_CODE(OK));
    raw_close(&c);
    backend_stop(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_daemon_killed_under_a_pushing_client_loses_nothing),
        TEST(a_restarted_daemon_charges_each_region_once),
        TEST(regions_closed_without_a_daemon_are_gone_with_the_next),
        TEST(another_users_region_of_the_same_handle_is_not_taken_for_it),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
