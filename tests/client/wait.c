// Waiting for space: the library's part.
#include "tests/lib/fake_daemon.h"
#include "tests/lib/loop_mount.h"
#include "tests/lib/test_daemon.h"

#include <signal.h>

DISKALLOC_VEC_DEFINE(bytevec, unsigned char)

// A timeout that no test reaches.
enum { LONG_MS = 600000 };

static void close_all(struct play *p, struct diskalloc *da, struct diskalloc_region *r)
{
    diskalloc_region_close(r);
    diskalloc_close(da);
    play_end(p);
}

static void the_daemon_is_told_how_long_to_wait(void **state)
{
    struct play p = {.connections = {""}};
    struct diskalloc *da;
    struct diskalloc_region *r;

    (void)state;
    play_start(&p);
    da = client_of(&p, -1);
    r = make_region(da, 0);
    assert_int_equal(diskalloc_region_resize_wait(r, 5000, LONG_MS), 0);
    assert_int_equal(diskalloc_region_size(r), 5000);
    ((char *)diskalloc_region_data(r))[4999] = 1;
    assert_int_equal(diskalloc_region_resize_wait(r, 6000, -1), 0);
    assert_int_equal(diskalloc_region_resize_wait(r, 7000, 0), 0);
    assert_int_equal(diskalloc_region_resize_wait(r, 100, LONG_MS), 0);
    assert_int_equal(diskalloc_region_resize_wait(r, 100, LONG_MS), 0);
    assert_int_equal(diskalloc_region_size(r), 100);
    close_all(&p, da, r);
    assert_true(p.wait_ms[0] > 0 && p.wait_ms[0] <= LONG_MS);
    assert_int_equal(p.wait_ms[1], 0); // takes over what was granted
    assert_true(p.wait_ms[2] == UINT64_MAX);
    assert_int_equal(p.wait_ms[4], 0);
    assert_string_equal(p.seen, "HCGGGGGSD");
}

static void the_end_of_a_wait_names_the_limit_and_changes_nothing(void **state)
{
    struct play p = {.connections = {"..t"}};
    struct diskalloc_error_info info;
    struct diskalloc *da;
    struct diskalloc_region *r;

    (void)state;
    play_start(&p);
    da = client_of(&p, -1);
    r = make_region(da, 0);
    info = EXPECT_FAILURE(-ETIMEDOUT, "diskalloc_region_resize_wait", diskalloc_region_resize_wait(r, 5000, LONG_MS));
    assert_string_equal(info.limit_name, "user:alice bytes");
    assert_int_equal(info.limit, 1000);
    assert_int_equal(info.used, 600);
    assert_int_equal(info.asked, 500);
    assert_string_equal(info.handle, diskalloc_region_handle(r));
    assert_int_equal(diskalloc_region_size(r), 0);
    close_all(&p, da, r);
    assert_string_equal(p.seen, "HCGD");
}

static void what_can_never_be_granted_is_refused_at_once(void **state)
{
    struct play p = {.connections = {"..q"}};
    struct diskalloc *da;
    struct diskalloc_region *r;

    (void)state;
    play_start(&p);
    da = client_of(&p, -1);
    r = make_region(da, 0);
    EXPECT_FAILURE(-EDQUOT, "diskalloc_region_resize_wait", diskalloc_region_resize_wait(r, 5000, -1));
    EXPECT_FAILURE(-ENOMEM, "diskalloc_region_resize_wait", diskalloc_region_resize_wait(r, (uint64_t)1 << 50, -1));
    EXPECT_FAILURE(-EOVERFLOW, "diskalloc_region_resize_wait", diskalloc_region_resize_wait(r, UINT64_MAX, -1));
    EXPECT_FAILURE(-EINVAL, "diskalloc_region_resize_wait", diskalloc_region_resize_wait(r, 5000, -2));
    EXPECT_FAILURE(-EINVAL, "diskalloc_region_resize_wait", diskalloc_region_resize_wait(NULL, 5000, -1));
    close_all(&p, da, r);
    assert_string_equal(p.seen, "HCGD");
}

// The daemon grants the space, and then the process can't take it over: here the daemon has no descriptors left.
static void space_that_was_granted_and_cannot_be_used_is_given_back(void **state)
{
    struct play p = {.connections = {"....m"}};
    struct diskalloc *da;
    struct diskalloc_region *r;

    (void)state;
    play_start(&p);
    da = client_of(&p, -1);
    r = make_region(da, 0);
    assert_int_equal(diskalloc_region_resize(r, 1000), 0);
    EXPECT_FAILURE(-EMFILE, "diskalloc_region_resize_wait", diskalloc_region_resize_wait(r, 5000, LONG_MS));
    assert_non_null(strstr(diskalloc_last_error(), "Too many open files"));
    assert_int_equal(diskalloc_region_size(r), 1000);
    assert_int_equal(p.size, 1000);
    close_all(&p, da, r);
    assert_string_equal(p.seen, "HCGGGTSD");
}

static void a_wait_goes_on_after_a_reconnect_with_what_is_left(void **state)
{
    struct play p = {.connections = {"..x", "..x", ""}};
    struct diskalloc *da;
    struct diskalloc_region *r;

    (void)state;
    play_start(&p);
    da = client_of(&p, -1);
    r = make_region(da, 0);
    assert_int_equal(diskalloc_region_resize_wait(r, 5000, LONG_MS), 0);
    assert_int_equal(diskalloc_region_size(r), 5000);
    close_all(&p, da, r);
    assert_string_equal(p.seen, "HCGHAGHAGGD");
    assert_true(p.wait_ms[0] <= LONG_MS);
    assert_true(p.wait_ms[1] <= p.wait_ms[0] && p.wait_ms[2] <= p.wait_ms[1] && p.wait_ms[2] > 0);
}

static void a_wait_ends_in_time_when_the_daemon_does_not_come_back(void **state)
{
    struct play p = {.connections = {"..x"}};
    struct diskalloc *da;
    struct diskalloc_region *r;

    (void)state;
    play_start(&p);
    da = client_of(&p, -1); // for ever
    r = make_region(da, 0);
    unlink(p.at.address + strlen("unix:"));
    EXPECT_FAILURE(-ECONNRESET, "diskalloc_region_resize_wait", diskalloc_region_resize_wait(r, 5000, 20));
    assert_int_equal(diskalloc_region_size(r), 0);
    close_all(&p, da, r);
}

struct waiter {
    struct diskalloc_region *r;
    uint64_t size;
    int timeout_ms, result;
    pthread_t thread;
};

static void *wait_for_room(void *data)
{
    struct waiter *w = data;

    w->result = diskalloc_region_resize_wait(w->r, w->size, w->timeout_ms);
    return NULL;
}

static bool has_been_asked_to_grow(void *data)
{
    return ((struct play *)data)->n_grows > 0;
}

// The answer to the wait comes after that to the commit.
static void a_thread_that_waits_holds_up_no_other_not_even_for_its_region(void **state)
{
    struct play p = {.connections = {"..<"}};
    struct waiter w = {.size = 5000, .timeout_ms = -1};
    struct diskalloc *da;

    (void)state;
    play_start(&p);
    da = client_of(&p, -1);
    w.r = make_region(da, 0);
    assert_int_equal(pthread_create(&w.thread, NULL, wait_for_room, &w), 0);
    test_wait_until(has_been_asked_to_grow, &p, 30, "the thread waits");
    assert_int_equal(diskalloc_region_commit(w.r, 0, 1, 0), 0);
    pthread_join(w.thread, NULL);
    assert_int_equal(w.result, 0);
    assert_int_equal(diskalloc_region_size(w.r), 5000);
    close_all(&p, da, w.r);
}

static void space_that_another_gives_back_ends_the_wait(void **state)
{
    struct test_backend b;
    struct waiter w = {.size = 700 * KIB, .timeout_ms = -1};
    struct diskalloc_error_info info;
    struct diskalloc_region *other;

    (void)state;
    backend_start(&b, true, "[daemon]\nkeep_free = 0\n[quota default]\nbytes = 1M\n", NULL);
    other = make_region(b.da, 512 * KIB);
    w.r = make_region(b.da, 4096);
    info = EXPECT_FAILURE(-ETIMEDOUT, "diskalloc_region_resize_wait", diskalloc_region_resize_wait(w.r, 700 * KIB, 1));
    assert_int_equal(info.limit, MIB);
    assert_int_equal(info.used, 516 * KIB);
    EXPECT_FAILURE(-EDQUOT, "diskalloc_region_resize_wait", diskalloc_region_resize_wait(w.r, 2 * MIB, -1));
    assert_int_equal(pthread_create(&w.thread, NULL, wait_for_room, &w), 0);
    assert_int_equal(diskalloc_region_resize(other, 0), 0);
    pthread_join(w.thread, NULL);
    assert_int_equal(w.result, 0);
    assert_int_equal(diskalloc_region_size(w.r), 700 * KIB);
    memset(diskalloc_region_data(w.r), 1, 700 * KIB);
    diskalloc_region_close(w.r);
    diskalloc_region_close(other);
    backend_stop(&b);
}

static bool somebody_waits(void *data)
{
    return usage_of(data).waiters > 0;
}

static bool many_wait(void *data)
{
    return usage_of(data).waiters >= 32;
}

// The daemon reads 64 requests of a connection ahead: waiting requests must leave room for the one that gives space
// back.
static void any_number_of_threads_may_wait_for_what_one_gives_back(void **state)
{
    enum { N = 80 };
    static struct waiter w[N];
    struct diskalloc_region_options o = DISKALLOC_REGION_OPTIONS_INIT;
    struct diskalloc_region *other;
    struct test_backend b;

    (void)state;
    backend_start(&b, true, "[daemon]\nkeep_free = 0\n[quota default]\nbytes = 1M\n", NULL);
    other = make_region(b.da, MIB);
    o.reserve = 4 * MIB;
    for (int i = 0; i < N; i++) {
        w[i] = (struct waiter){.size = 4096, .timeout_ms = -1};
        assert_int_equal(diskalloc_region_create(b.da, &o, &w[i].r), 0);
        assert_int_equal(pthread_create(&w[i].thread, NULL, wait_for_room, &w[i]), 0);
    }
    test_wait_until(many_wait, b.da, 30, "the threads wait");
    assert_int_equal(diskalloc_region_resize(other, 0), 0);
    for (int i = 0; i < N; i++) {
        pthread_join(w[i].thread, NULL);
        assert_int_equal(w[i].result, 0);
        diskalloc_region_close(w[i].r);
    }
    diskalloc_region_close(other);
    backend_stop(&b);
}

static void a_wait_outlives_the_daemon(void **state)
{
    struct test_backend b;
    struct waiter w = {.size = 700 * KIB, .timeout_ms = -1};
    struct diskalloc_region *other;

    (void)state;
    backend_start(&b, true, "[daemon]\nkeep_free = 0\n[quota default]\nbytes = 1M\n", NULL);
    other = make_region(b.da, 512 * KIB);
    w.r = make_region(b.da, 4096);
    assert_int_equal(pthread_create(&w.thread, NULL, wait_for_room, &w), 0);
    test_wait_until(somebody_waits, b.da, 30, "the thread waits");
    test_daemon_kill(&b.daemon, SIGKILL);
    test_daemon_restart(&b.daemon);
    test_wait_until(somebody_waits, b.da, 30, "the thread waits again");
    diskalloc_region_close(other);
    pthread_join(w.thread, NULL);
    assert_int_equal(w.result, 0);
    diskalloc_region_close(w.r);
    backend_stop(&b);
}

static void a_vector_waits_for_what_it_needs(void **state)
{
    const struct diskalloc_region_options o = DISKALLOC_REGION_OPTIONS_INIT;
    struct play p = {.connections = {"..qq"}};
    struct bytevec v;
    struct diskalloc *da;

    (void)state;
    play_start(&p);
    da = client_of(&p, -1);
    assert_int_equal(bytevec_init_with(&v, da, &o), 0); // a small vector would not ask
    assert_int_equal(bytevec_reserve_wait(&v, 0, -1), 0);
    assert_int_equal(bytevec_reserve_wait(&v, 10, LONG_MS), 0);
    assert_int_equal(v.cap, 10);
    EXPECT_FAILURE(-EINVAL, "bytevec_reserve_wait", bytevec_reserve_wait(&v, 10000, -2));
    EXPECT_FAILURE(-EOVERFLOW, "bytevec_reserve_wait", bytevec_reserve_wait(&v, SIZE_MAX, -1));
    bytevec_deinit(&v);
    diskalloc_close(da);
    play_end(&p);
    assert_string_equal(p.seen, "HCGGGGD");
    assert_int_equal(p.wait_ms[0], 0); // what the growth policy would like
    assert_int_equal(p.wait_ms[1], 0); // what is needed
    assert_true(p.wait_ms[2] > 0);
}

static void in_a_directory_the_disk_is_tried_again_until_there_is_room(void **state)
{
    struct test_mount mount;
    struct waiter w = {.timeout_ms = -1};
    struct diskalloc_error_info info;
    struct diskalloc_region *other;
    struct test_backend b;

    (void)state;
    if (!test_mount(&mount, "ext4", 64 * MIB))
        skip();
    backend_start(&b, false, NULL, mount.at);
    other = make_region(b.da, 40 * MIB);
    w.r = make_region(b.da, 4096);
    w.size = 30 * MIB;
    EXPECT_FAILURE(-ENOSPC, "diskalloc_region_resize_wait", diskalloc_region_resize_wait(w.r, 30 * MIB, 0));
    EXPECT_FAILURE(-ENOSPC, "diskalloc_region_resize_wait", diskalloc_region_resize_wait(w.r, 300 * MIB, -1));
    info = EXPECT_FAILURE(-ETIMEDOUT, "diskalloc_region_resize_wait", diskalloc_region_resize_wait(w.r, 30 * MIB, 1));
    assert_string_equal(info.limit_name, "disk");
    assert_true(info.asked > 0);
    assert_int_equal(diskalloc_region_size(w.r), 4096);
    assert_int_equal(pthread_create(&w.thread, NULL, wait_for_room, &w), 0);
    diskalloc_region_close(other);
    pthread_join(w.thread, NULL);
    assert_int_equal(w.result, 0);
    diskalloc_region_close(w.r);
    backend_stop(&b);
    test_unmount(&mount);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(the_daemon_is_told_how_long_to_wait),
        TEST(the_end_of_a_wait_names_the_limit_and_changes_nothing),
        TEST(what_can_never_be_granted_is_refused_at_once),
        TEST(space_that_was_granted_and_cannot_be_used_is_given_back),
        TEST(a_wait_goes_on_after_a_reconnect_with_what_is_left),
        TEST(a_wait_ends_in_time_when_the_daemon_does_not_come_back),
        TEST(a_thread_that_waits_holds_up_no_other_not_even_for_its_region),
        TEST(space_that_another_gives_back_ends_the_wait),
        TEST(any_number_of_threads_may_wait_for_what_one_gives_back),
        TEST(a_wait_outlives_the_daemon),
        TEST(a_vector_waits_for_what_it_needs),
        TEST(in_a_directory_the_disk_is_tried_again_until_there_is_room),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
