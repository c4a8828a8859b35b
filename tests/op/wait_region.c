// An operation that waits holds up no other operation of its region; and a region that was shared is not cut after a
// restart.
#include <diskalloc/client.h>
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <string.h>

#include "tests/lib/harness.h"
#include "tests/lib/test_backend.h"
#include "tests/lib/test_daemon.h"

struct waiting_grow {
    struct diskalloc_region *region;
    uint64_t size;
    int result;
    pthread_t thread;
};

static void *grow_and_wait(void *data)
{
    struct waiting_grow *g = data;

    g->result = diskalloc_region_resize_wait(g->region, g->size, -1);
    return NULL;
}

static bool somebody_waits(void *da)
{
    return usage_of(da).waiters == 1;
}

static void a_grow_that_waits_holds_up_nobody_else_of_its_region(void **state)
{
    struct test_backend waiter = {0}, other = {0};
    struct diskalloc_region *a = NULL, *b = NULL, *filler;
    struct waiting_grow grow = {.size = 8 * MIB};

    (void)state;
    backend_start(&waiter, true, "[daemon]\nkeep_free = 0\n[quota default]\nbytes = 10M\n", NULL);
    assert_int_equal(diskalloc_open(waiter.daemon.address, NULL, &other.da), 0);
    filler = make_region(other.da, 6 * MIB);
    assert_int_equal(open_named(waiter.da, "shared", MIB, DISKALLOC_REGION_CREATE, &a), 0);
    grow.region = a;
    assert_int_equal(pthread_create(&grow.thread, NULL, grow_and_wait, &grow), 0);
    test_wait_until(somebody_waits, other.da, 30, "the grow waits");

    assert_int_equal(open_named(other.da, "shared", 0, 0, &b), 0);
    assert_int_equal(diskalloc_region_commit(b, 1000, 8, 0), 0);
    assert_int_equal(diskalloc_region_resize(b, 2 * MIB), 0); // a small one passes
    assert_int_equal(usage_of(other.da).waiters, 1);

    diskalloc_region_close(filler);
    assert_int_equal(pthread_join(grow.thread, NULL), 0);
    assert_int_equal(grow.result, 0);
    assert_int_equal(diskalloc_region_refresh(b), 1);
    assert_int_equal(diskalloc_region_size(b), 8 * MIB);
    assert_int_equal(diskalloc_region_used(b), 1000);
    diskalloc_region_close(a);
    diskalloc_region_close(b);
    assert_int_equal(diskalloc_region_unlink(other.da, "shared"), 0);
    diskalloc_close(other.da);
    backend_stop(&waiter);
}

static void a_grow_that_waits_ends_when_its_region_is_unlinked(void **state)
{
    struct diskalloc *other = NULL;
    struct diskalloc_region *a = NULL, *filler;
    struct waiting_grow grow = {.size = 8 * MIB};
    struct test_backend b = {0};

    (void)state;
    backend_start(&b, true, "[daemon]\nkeep_free = 0\n[quota default]\nbytes = 10M\n", NULL);
    assert_int_equal(diskalloc_open(b.daemon.address, NULL, &other), 0);
    filler = make_region(other, 6 * MIB);
    assert_int_equal(open_named(b.da, "going", MIB, DISKALLOC_REGION_CREATE, &a), 0);
    grow.region = a;
    assert_int_equal(pthread_create(&grow.thread, NULL, grow_and_wait, &grow), 0);
    test_wait_until(somebody_waits, other, 30, "the grow waits");
    assert_int_equal(diskalloc_region_unlink(other, "going"), 0);
    assert_int_equal(pthread_join(grow.thread, NULL), 0);
    assert_int_equal(grow.result, -ESTALE);
    assert_int_equal(diskalloc_region_size(a), MIB);
    diskalloc_region_close(a);
    diskalloc_region_close(filler);
    diskalloc_close(other);
    backend_stop(&b);
}

// The daemon that starts anew does not know that B maps it too until B says something: A's shrink must not cut it.
static void a_shared_region_is_not_cut_by_the_first_to_come_back_after_a_restart(void **state)
{
    struct diskalloc *other = NULL;
    struct diskalloc_region *a = NULL, *b = NULL;
    struct test_backend backend = {0};

    (void)state;
    backend_start(&backend, true, NULL, NULL);
    assert_int_equal(diskalloc_open(backend.daemon.address, NULL, &other), 0);
    assert_int_equal(open_named(backend.da, "shared", 4 * MIB, DISKALLOC_REGION_CREATE, &a), 0);
    assert_int_equal(open_named(other, "shared", 0, 0, &b), 0);
    memset(diskalloc_region_data(a), 7, 4 * MIB);
    test_daemon_kill(&backend.daemon, SIGKILL);
    test_daemon_restart(&backend.daemon);
    assert_int_equal(diskalloc_region_resize(a, MIB), -EBUSY);
    assert_int_equal(diskalloc_region_discard(a, 0, MIB), -EBUSY);
    for (size_t i = 0; i < 4 * MIB; i += 4096)
        assert_int_equal(((uint8_t *)diskalloc_region_data(b))[i], 7);

    // When the region has no attachment, and no process maps it by the word of the kernel, the next one to attach it
    // may cut it.
    diskalloc_region_close(b);
    diskalloc_region_close(a);
    a = NULL;
    diskalloc_close(other);
    assert_int_equal(open_named(backend.da, "shared", 0, 0, &a), 0);
    assert_int_equal(diskalloc_region_resize(a, MIB), 0);
    diskalloc_region_close(a);
    assert_int_equal(diskalloc_region_unlink(backend.da, "shared"), 0);
    backend_stop(&backend);
}

static void a_shrink_right_after_another_has_closed_is_never_refused_by_chance(void **state)
{
    enum { ROUNDS = 300 };
    struct diskalloc *other = NULL;
    struct diskalloc_region *a = NULL;
    struct test_backend backend = {0};

    (void)state;
    backend_start(&backend, true, NULL, NULL);
    assert_int_equal(diskalloc_open(backend.daemon.address, NULL, &other), 0);
    assert_int_equal(open_named(backend.da, "shared", 4 * MIB, DISKALLOC_REGION_CREATE, &a), 0);
    for (int i = 0; i < ROUNDS; i++) {
        struct diskalloc_region *b = NULL;

        assert_int_equal(open_named(other, "shared", 0, 0, &b), 0);
        assert_int_equal(diskalloc_region_resize(a, 4 * MIB), 0);
        diskalloc_region_close(b);
        assert_int_equal(diskalloc_region_resize(a, MIB), 0);
    }
    diskalloc_region_close(a);
    assert_int_equal(diskalloc_region_unlink(other, "shared"), 0);
    diskalloc_close(other);
    backend_stop(&backend);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_grow_that_waits_holds_up_nobody_else_of_its_region),
        TEST(a_grow_that_waits_ends_when_its_region_is_unlinked),
        TEST(a_shared_region_is_not_cut_by_the_first_to_come_back_after_a_restart),
        TEST(a_shrink_right_after_another_has_closed_is_never_refused_by_chance),
    };

    return cmocka_run_group_tests_name("wait-region", tests, NULL, NULL);
}
