// Users who wait for space, with as many requests as they like: they hold nobody back who has no more than a fair
// share, whatever the others wait for; and a user who may write to a region of another one does not wait in that
// one's place.
#include "tests/lib/actor.h"
#include "tests/lib/raw_client.h"
#include "tests/lib/test_backend.h"

#include <sys/mman.h>
#include <time.h>

enum { ATTACKER = 4242, REGIONS = 32, MOST_WAITING = 1024, ROUND_MS = 3000 };

static const char config[] = "[daemon]\nkeep_free = 0\n[quota total]\nbytes = 64M\n";

static uint64_t now_ms(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000;
}

struct attack {
    const struct test_daemon *daemon;
    struct raw_handle handle; // of another user's region
    uint64_t size;            // that each grow asks for
};

// The daemon has taken all requests before this one.
static void make_a_round_trip(struct raw *c)
{
    Diskalloc__V1__GetUsage body = DISKALLOC__V1__GET_USAGE__INIT;
    RawRequest q = RAW_REQUEST_INIT;

    q.body_case = RAW_BODY(GET_USAGE);
    q.get_usage = &body;
    NEED(raw_done(c, &q) == RAW_CODE(OK));
}

static void wait_in_a_chain(struct actor *self, void *data)
{
    const struct attack *a = data;
    struct raw c = {.sock = -1};

    actor_wait(self);
    NEED(raw_open(&c, a->daemon->socket) == RAW_CODE(OK));
    for (int i = 0; i < REGIONS; i++) {
        struct raw_handle h = raw_handle_new();

        NEED(raw_create(&c, &h, 0) == RAW_CODE(OK));
        NEED(raw_send_grow(&c, &h, a->size, INT64_MAX) != 0);
    }
    make_a_round_trip(&c);
    actor_next(self);
    raw_close(&c);
}

static void attach(struct raw *c, const struct raw_handle *h)
{
    Diskalloc__V1__AttachRegion body = DISKALLOC__V1__ATTACH_REGION__INIT;
    RawRequest q = RAW_REQUEST_INIT;

    body.handle = raw_bytes(h);
    q.body_case = RAW_BODY(ATTACH_REGION);
    q.attach_region = &body;
    NEED(raw_done(c, &q) == RAW_CODE(OK));
}

static void wait_in_the_owners_place(struct actor *self, void *data)
{
    const struct attack *a = data;
    struct raw c = {.sock = -1};

    actor_wait(self);
    NEED(raw_open(&c, a->daemon->socket) == RAW_CODE(OK));
    attach(&c, &a->handle);
    for (int i = 0; i < MOST_WAITING; i++)
        NEED(raw_send_grow(&c, &a->handle, a->size, INT64_MAX) != 0);
    make_a_round_trip(&c);
    actor_next(self);
    raw_close(&c);
}

// For so long that the first ones that wait have a claim.
static void go_on(struct diskalloc *da)
{
    const uint64_t end = now_ms() + ROUND_MS;
    struct diskalloc_region *r = make_region(da, 0);

    do {
        assert_int_equal(diskalloc_region_resize(r, 8 * MIB), 0);
        diskalloc_region_close(make_region(da, 0));
        diskalloc_region_close(make_region(da, 4 * MIB));
        assert_int_equal(diskalloc_region_resize(r, MIB), 0);
    } while (now_ms() < end);
    diskalloc_region_close(r);
}

// False: another user is needed, and this one is not root.
static bool begin(struct test_backend *b, struct attack *a)
{
    if (geteuid() != 0) {
        print_message("[ NOTE     ] not root: no second user\n");
        return false;
    }
    test_daemon_start(&b->daemon, config, NULL);
    a->daemon = &b->daemon;
    return true;
}

static void finish(struct test_backend *b, struct actor *actor)
{
    actor_go(actor);
    actor_finish(actor);
    test_wait_until(nothing_is_charged, b->da, 60, "all is given back");
    diskalloc_close(b->da);
    test_daemon_stop_and_remove(&b->daemon);
}

// Half of the limit is free all the time.
static void a_chain_of_waiters_refuses_nobody_who_has_a_fair_share(void **state)
{
    struct attack a = {.size = 60 * MIB};
    struct diskalloc_region *r;
    struct actor actor;
    struct test_backend b;

    (void)state;
    if (!begin(&b, &a)) {
        skip();
        return;
    }
    actor_start(&actor, wait_in_a_chain, &a, ATTACKER);
    assert_int_equal(diskalloc_open(b.daemon.address, NULL, &b.da), 0);
    r = make_region(b.da, 16 * MIB);
    actor_go(&actor);
    actor_await(&actor);
    go_on(b.da);
    diskalloc_region_close(r);
    finish(&b, &actor);
}

static bool is_held_back(void *data)
{
    struct diskalloc_region *r = data;
    int code = diskalloc_region_resize(r, 44 * MIB);

    if (code == 0)
        assert_int_equal(diskalloc_region_resize(r, 40 * MIB), 0);
    return code == -EDQUOT;
}

static void a_user_with_more_than_a_fair_share_leaves_the_rest_to_those_who_wait(void **state)
{
    struct attack a = {.size = 30 * MIB};
    struct diskalloc_region *r;
    struct actor actor;
    struct test_backend b;

    (void)state;
    if (!begin(&b, &a)) {
        skip();
        return;
    }
    actor_start(&actor, wait_in_a_chain, &a, ATTACKER);
    assert_int_equal(diskalloc_open(b.daemon.address, NULL, &b.da), 0);
    r = make_region(b.da, 40 * MIB);
    actor_go(&actor);
    actor_await(&actor);
    test_wait_until(is_held_back, r, 10, "the other user's claim holds");
    diskalloc_region_close(r);
    finish(&b, &actor);
}

static void a_user_who_writes_to_anothers_region_waits_in_an_own_place(void **state)
{
    struct attack *a = mmap(NULL, sizeof *a, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    struct diskalloc_region_options o = DISKALLOC_REGION_OPTIONS_INIT;
    struct diskalloc_region *shared, *own;
    struct actor actor;
    struct test_backend b;

    (void)state;
    assert_ptr_not_equal(a, MAP_FAILED);
    if (!begin(&b, a)) {
        skip();
        return;
    }
    actor_start(&actor, wait_in_the_owners_place, a, ATTACKER);
    assert_int_equal(diskalloc_open(b.daemon.address, NULL, &b.da), 0);
    o.size = 16 * MIB;
    o.mode = 0666;
    o.flags = DISKALLOC_REGION_CREATE;
    assert_int_equal(diskalloc_region_open(b.da, "shared", &o, &shared), 0);
    a->size = 60 * MIB;
    a->handle = raw_handle_of(diskalloc_region_handle(shared));
    own = make_region(b.da, 16 * MIB);
    actor_go(&actor);
    actor_await(&actor);
    go_on(b.da);
    // The owner has a place in the queue, and is served before the other one, who waits for what never comes.
    EXPECT_FAILURE(-ETIMEDOUT, "diskalloc_region_resize_wait", diskalloc_region_resize_wait(own, 60 * MIB, 50));
    assert_int_equal(diskalloc_region_resize_wait(own, 40 * MIB, 60000), 0);
    diskalloc_region_close(own);
    diskalloc_region_close(shared);
    assert_int_equal(diskalloc_region_unlink(b.da, "shared"), 0);
    finish(&b, &actor);
    munmap(a, sizeof *a);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_chain_of_waiters_refuses_nobody_who_has_a_fair_share),
        TEST(a_user_with_more_than_a_fair_share_leaves_the_rest_to_those_who_wait),
        TEST(a_user_who_writes_to_anothers_region_waits_in_an_own_place),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
