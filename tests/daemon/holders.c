// The holders of a region, when connections end and processes do not: no process shrinks or discards bytes that another
// one maps.
#include "tests/lib/actor.h"
#include "tests/lib/holders_scene.h"
#include "tests/lib/test_backend.h"

#include <pthread.h>

enum loss { CLOSED_SOCKETS, DISCONNECTED, RESTARTED, LOSS_N };

static void lose(struct scene *s, struct actor *a, enum loss loss)
{
    actor_go(a);
    actor_await(a);
    if (loss == DISCONNECTED)
        disconnect_everybody(s);
    if (loss == RESTARTED) {
        test_daemon_kill(&s->daemon, SIGKILL);
        test_daemon_restart(&s->daemon);
    }
}

// The second process attaches the region after the first one has lost its connection.
static void second_comes_after(enum loss loss, bool named)
{
    struct scene *s = scene_start(named);
    struct diskalloc_region *r;
    struct diskalloc *da;
    struct actor a;

    actor_start(&a, loss == CLOSED_SOCKETS ? hold_and_close_sockets : hold_only, s, (uid_t)-1);
    actor_await(&a);
    lose(s, &a, loss);
    assert_int_equal(diskalloc_open(s->daemon.address, NULL, &da), 0);
    assert_int_equal(scene_attach(da, s, &r), 0);
    expect_refused(r);
    actor_go(&a); // its bytes are all there
    actor_await(&a);
    actor_go(&a); // it comes back
    actor_await(&a);
    expect_refused(r);
    actor_go(&a); // it closes the region
    actor_await(&a);
    expect_granted(r);
    diskalloc_region_close(r);
    diskalloc_close(da);
    actor_kill(&a);
    scene_end(s);
}

// The second process has the region attached all the time, and the first one never comes back: it ends.
static void second_is_there_before(enum loss loss, bool named)
{
    struct scene *s = scene_start(named);
    struct diskalloc_region *r;
    struct diskalloc *da;
    struct actor a;

    actor_start(&a, loss == CLOSED_SOCKETS ? hold_and_close_sockets : hold_only, s, (uid_t)-1);
    actor_await(&a);
    assert_int_equal(diskalloc_open(s->daemon.address, NULL, &da), 0);
    assert_int_equal(scene_attach(da, s, &r), 0);
    lose(s, &a, loss);
    expect_refused(r);
    actor_go(&a); // its bytes are all there
    actor_await(&a);
    expect_refused(r);
    actor_kill(&a);
    // After a start of the daemon only the kernel knows who maps a region that two had.
    test_wait_until(is_granted, r, 10, "the region to be alone");
    expect_granted(r);
    diskalloc_region_close(r);
    diskalloc_close(da);
    scene_end(s);
}

#define EACH_LOSS(f)                            \
    for (int loss = 0; loss < LOSS_N; loss++)   \
        for (int named = 0; named < 2; named++) \
    f((enum loss)loss, named)

static void a_region_of_a_lost_process_is_not_cut_by_one_that_comes_later(void **state)
{
    (void)state;
    EACH_LOSS(second_comes_after);
}

static void a_region_of_a_lost_process_is_not_cut_by_one_that_shares_it(void **state)
{
    (void)state;
    EACH_LOSS(second_is_there_before);
}

// Both come back after the daemon's start; then one closes the region.
static void who_is_left_of_two_that_came_back_may_shrink(void **state)
{
    struct scene *s = scene_start(true);
    struct diskalloc_region *r;
    struct diskalloc_usage u;
    struct diskalloc *da;
    struct actor a;

    (void)state;
    actor_start(&a, hold_only, s, (uid_t)-1);
    actor_await(&a);
    assert_int_equal(diskalloc_open(s->daemon.address, NULL, &da), 0);
    assert_int_equal(scene_attach(da, s, &r), 0);
    lose(s, &a, RESTARTED);
    assert_int_equal(diskalloc_get_usage(da, NULL, &u, sizeof u), 0);
    expect_refused(r);
    actor_go(&a);
    actor_await(&a);
    actor_go(&a); // it comes back
    actor_await(&a);
    expect_refused(r);
    actor_go(&a); // it closes the region
    actor_await(&a);
    expect_granted(r);
    diskalloc_region_close(r);
    diskalloc_close(da);
    actor_kill(&a);
    scene_end(s);
}

static void alone(struct diskalloc *da, struct scene *s, enum loss loss)
{
    struct diskalloc_region *r;

    assert_int_equal(open_named(da, "own", SIZE, DISKALLOC_REGION_CREATE, &r), 0);
    if (loss == DISCONNECTED)
        disconnect_everybody(s);
    if (loss == RESTARTED) {
        test_daemon_kill(&s->daemon, SIGKILL);
        test_daemon_restart(&s->daemon);
    }
    expect_granted(r);
    diskalloc_region_close(r);
    assert_int_equal(diskalloc_region_unlink(da, "own"), 0);
}

static void a_process_that_is_alone_may_shrink_when_it_has_come_back(void **state)
{
    struct scene *s = scene_start(true);
    struct diskalloc *da;

    (void)state;
    assert_int_equal(diskalloc_open(s->daemon.address, NULL, &da), 0);
    for (int i = 0; i < 3; i++) {
        alone(da, s, DISCONNECTED);
        alone(da, s, RESTARTED);
    }
    diskalloc_close(da);
    scene_end(s);
}

// The region was closed while there was no connection: the daemon is told by the next request.
static void a_region_that_was_closed_without_a_connection_is_not_held(void **state)
{
    struct scene *s = scene_start(true);
    struct diskalloc_region *one, *two;
    struct diskalloc *first, *second;
    struct diskalloc_usage u;

    (void)state;
    assert_int_equal(diskalloc_open(s->daemon.address, NULL, &first), 0);
    assert_int_equal(open_named(first, "shared", SIZE, DISKALLOC_REGION_CREATE, &one), 0);
    disconnect_everybody(s);
    assert_int_equal(diskalloc_open(s->daemon.address, NULL, &second), 0);
    assert_int_equal(open_named(second, "shared", 0, 0, &two), 0);
    expect_refused(two);
    diskalloc_region_close(one);
    assert_int_equal(diskalloc_get_usage(first, NULL, &u, sizeof u), 0);
    expect_granted(two);
    diskalloc_region_close(two);
    diskalloc_close(first);
    diskalloc_close(second);
    scene_end(s);
}

static void two_clients_of_a_process_are_two_holders(void **state)
{
    struct scene *s = scene_start(true);
    struct diskalloc_region *one, *two;
    struct diskalloc *first, *second;
    struct diskalloc_usage u;

    (void)state;
    assert_int_equal(diskalloc_open(s->daemon.address, NULL, &first), 0);
    assert_int_equal(diskalloc_open(s->daemon.address, NULL, &second), 0);
    assert_int_equal(open_named(first, "shared", SIZE, DISKALLOC_REGION_CREATE, &one), 0);
    assert_int_equal(open_named(second, "shared", 0, 0, &two), 0);
    disconnect_everybody(s);
    assert_int_equal(diskalloc_get_usage(first, NULL, &u, sizeof u), 0); // comes back alone
    expect_refused(one);
    expect_refused(two); // comes back too
    diskalloc_region_close(one);
    expect_granted(two);
    diskalloc_region_close(two);
    diskalloc_close(first);
    diskalloc_close(second);
    scene_end(s);
}

// Holds the region in a second thread until the test says so, and its first thread ends.
struct held {
    struct actor actor;
    struct diskalloc_region *region;
};

static void *hold_in_thread(void *data)
{
    struct held *h = data;

    actor_wait(&h->actor);
    NEED(is_filled(h->region));
    _exit(0);
}

static void lose_first_thread(struct actor *self, void *data)
{
    static struct held h; // the stack of the first thread goes with it
    struct scene *s = data;
    struct diskalloc *da;
    pthread_t thread;

    NEED(diskalloc_open(s->daemon.address, NULL, &da) == 0);
    NEED(open_named(da, "shared", SIZE, DISKALLOC_REGION_CREATE, &h.region) == 0);
    memset(diskalloc_region_data(h.region), 'a', SIZE);
    h.actor = *self;
    NEED(pthread_create(&thread, NULL, hold_in_thread, &h) == 0);
    close_sockets(self);
    actor_done(self);
    pthread_exit(NULL);
}

// Whether the first thread of the process DATA has ended: the kernel shows it as a zombie.
static bool first_thread_has_ended(void *data)
{
    char path[64], state = 0;
    FILE *f;

    snprintf(path, sizeof path, "/proc/%d/stat", *(pid_t *)data);
    f = fopen(path, "re");
    assert_non_null(f);
    assert_int_equal(fscanf(f, "%*d (%*[^)]) %c", &state), 1);
    fclose(f);
    return state == 'Z';
}

static void a_process_whose_first_thread_has_ended_lives(void **state)
{
    struct scene *s = scene_start(true);
    struct diskalloc_region *r;
    struct diskalloc *da;
    struct actor a;
    int status;

    (void)state;
    actor_start(&a, lose_first_thread, s, (uid_t)-1);
    actor_await(&a);
    assert_int_equal(diskalloc_open(s->daemon.address, NULL, &da), 0);
    assert_int_equal(scene_attach(da, s, &r), 0);
    test_wait_until(first_thread_has_ended, &a.pid, 60, "the end of the first thread");
    expect_refused(r);
    actor_go(&a);
    assert_int_equal(waitpid(a.pid, &status, 0), a.pid);
    assert_int_equal(status, 0);
    expect_granted(r);
    close(a.to);
    close(a.from);
    diskalloc_region_close(r);
    diskalloc_close(da);
    scene_end(s);
}

static void many_lost_processes_count_too(void **state)
{
    enum { N = 12 };
    struct scene *s = scene_start(true);
    struct diskalloc_region *r;
    struct actor actors[N];
    struct diskalloc *da;

    (void)state;
    assert_int_equal(diskalloc_open(s->daemon.address, NULL, &da), 0);
    assert_int_equal(open_named(da, "shared", SIZE, DISKALLOC_REGION_CREATE, &r), 0);
    memset(diskalloc_region_data(r), 'a', SIZE);
    for (int i = 0; i < N; i++) {
        actor_start(&actors[i], idle, s, (uid_t)-1);
        actor_await(&actors[i]);
    }
    disconnect_everybody(s);
    for (int i = 0; i < N; i++) {
        expect_refused(r);
        actor_go(&actors[i]);
        actor_await(&actors[i]);
        actor_kill(&actors[i]);
    }
    diskalloc_region_close(r);
    assert_int_equal(open_named(da, "shared", 0, 0, &r), 0);
    expect_granted(r);
    diskalloc_region_close(r);
    diskalloc_close(da);
    scene_end(s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_region_of_a_lost_process_is_not_cut_by_one_that_comes_later),
        TEST(a_region_of_a_lost_process_is_not_cut_by_one_that_shares_it),
        TEST(a_process_that_is_alone_may_shrink_when_it_has_come_back),
        TEST(who_is_left_of_two_that_came_back_may_shrink),
        TEST(a_region_that_was_closed_without_a_connection_is_not_held),
        TEST(two_clients_of_a_process_are_two_holders),
        TEST(a_process_whose_first_thread_has_ended_lives),
        TEST(many_lost_processes_count_too),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
