// Taking parts of a region away, with descriptors of the passthrough fence, which have no marks: the fence knows
// who maps the region, as long as its server and the daemon live; after that nothing is taken away that another process
// may still map.
#include "tests/lib/actor.h"
#include "tests/lib/holders_scene.h"
#include "tests/lib/passthrough.h"
#include "tests/lib/test_backend.h"

#include <signal.h>

enum end { NOTHING_ENDS, SERVER_IS_KILLED, DAEMON_IS_KILLED, END_N };

static void end_knowledge(struct scene *s, enum end end)
{
    if (end == DAEMON_IS_KILLED) {
        test_daemon_kill(&s->daemon, SIGKILL);
        test_daemon_restart(&s->daemon);
    }
    if (end == SERVER_IS_KILLED) {
        pid_t before = passthrough_server(s->daemon.pid);

        assert_return_code(kill(before, SIGKILL), errno);
        while (passthrough_server(s->daemon.pid) == before)
            continue;
    }
}

static struct diskalloc *client_of(const struct scene *s)
{
    struct diskalloc *da;

    NEED(diskalloc_open(s->daemon.address, NULL, &da) == 0);
    return da;
}

// Makes the region and forks a child that maps it until the test closes the pipe; then, when told, closes the region.
static void leave_child(struct actor *self, void *data)
{
    struct scene *s = data;
    struct diskalloc *da = client_of(s);
    struct diskalloc_region *r;
    struct diskalloc_usage u;
    char byte;

    NEED(open_named(da, "shared", SIZE, DISKALLOC_REGION_CREATE, &r) == 0);
    memset(diskalloc_region_data(r), 'a', SIZE);
    actor_next(self);
    if (fork() == 0) {
        while (read(self->from, &byte, 1) > 0)
            continue;
        s->handle[0] = is_filled(r) ? 'f' : 'c';
        _exit(0);
    }
    diskalloc_region_close(r);
    NEED(diskalloc_get_usage(da, NULL, &u, sizeof u) == 0);
    actor_done(self);
    pause();
}

static void end_family(struct actor *a)
{
    close(a->to);
    close(a->from);
    assert_return_code(kill(a->pid, SIGKILL), errno);
    assert_int_equal(waitpid(a->pid, NULL, 0), a->pid);
}

static bool is_granted_anew(void *data)
{
    struct diskalloc_region *r;
    struct diskalloc *da = data;
    bool granted;

    assert_int_equal(diskalloc_region_open(da, "shared", NULL, &r), 0);
    granted = diskalloc_region_resize(r, SIZE / 2) == 0;
    diskalloc_region_close(r);
    return granted;
}

// FIRST: the other process has the region before the parent has closed it.
static void check_child(enum end end, bool first)
{
    struct scene *s = scene_start_with(true, PASSTHROUGH_CONFIG);
    struct diskalloc_region *r;
    struct diskalloc *da;
    struct actor a;

    actor_start(&a, leave_child, s, (uid_t)-1);
    actor_await(&a);
    da = client_of(s);
    if (first)
        assert_int_equal(scene_attach(da, s, &r), 0);
    actor_go(&a);
    actor_await(&a);
    if (!first)
        assert_int_equal(scene_attach(da, s, &r), 0);
    end_knowledge(s, end);
    expect_refused(r);
    assert_int_equal(diskalloc_region_resize(r, 2 * SIZE), 0); // a grow takes nothing away
    assert_int_equal(s->handle[0], 0);
    end_family(&a);
    if (end == NOTHING_ENDS)
        test_wait_until(is_granted, r, 10, "the region to be alone");
    else
        expect_refused(r); // nobody can tell
    diskalloc_region_close(r);
    test_wait_until(is_granted_anew, da, 10, "the region is known again");
    assert_int_equal(s->handle[0], 'f');
    diskalloc_close(da);
    scene_end(s);
}

static void a_child_that_was_left_behind_is_not_cut(void **state)
{
    (void)state;
    for (int end = 0; end < END_N; end++)
        for (int first = 0; first < 2; first++)
            check_child((enum end)end, first);
}

// The region had one process at a time, and the child is one of an earlier process.
static void a_child_is_not_cut_by_the_first_who_comes_afterwards(void **state)
{
    (void)state;
    for (int end = 0; end < END_N; end++) {
        struct scene *s = scene_start_with(true, PASSTHROUGH_CONFIG);
        struct diskalloc_region *r;
        struct diskalloc *da;
        struct actor a;

        actor_start(&a, leave_child, s, (uid_t)-1);
        actor_await(&a);
        actor_go(&a);
        actor_await(&a);
        end_knowledge(s, (enum end)end);
        da = client_of(s);
        assert_int_equal(scene_attach(da, s, &r), 0);
        expect_refused(r);
        end_knowledge(s, DAEMON_IS_KILLED); // the record says that there is somebody
        expect_refused(r);
        end_family(&a);
        diskalloc_region_close(r);
        test_wait_until(is_granted_anew, da, 10, "the region is known again");
        assert_int_equal(s->handle[0], 'f');
        diskalloc_close(da);
        scene_end(s);
    }
}

// A process may shrink the region that it has for itself, whatever has ended meanwhile, and however often it lost its
// connection.
static void a_process_that_is_alone_may_shrink(void **state)
{
    (void)state;
    for (int named = 0; named < 2; named++) {
        struct scene *s = scene_start_with(true, PASSTHROUGH_CONFIG);
        struct diskalloc *da = client_of(s);
        struct diskalloc_region *r;

        if (named)
            assert_int_equal(open_named(da, "own", SIZE, DISKALLOC_REGION_CREATE, &r), 0);
        else
            assert_int_equal(diskalloc_region_create(da, NULL, &r), 0);
        for (int i = 0; i < 12; i++) {
            end_knowledge(s, (enum end)(i % END_N));
            if (i % 2)
                disconnect_everybody(s);
            assert_int_equal(diskalloc_region_resize(r, 2 * SIZE), 0);
            expect_granted(r);
        }
        diskalloc_region_close(r);
        diskalloc_close(da);
        scene_end(s);
    }
}

static void others_are_not_cut_and_who_is_left_of_two_may_shrink(void **state)
{
    struct scene *s = scene_start_with(true, PASSTHROUGH_CONFIG);
    struct diskalloc_region *r;
    struct diskalloc *da;
    struct actor a;

    (void)state;
    actor_start(&a, hold_and_close_sockets, s, (uid_t)-1);
    actor_await(&a);
    da = client_of(s);
    assert_int_equal(scene_attach(da, s, &r), 0);
    expect_refused(r);
    actor_go(&a); // it loses its sockets
    actor_await(&a);
    expect_refused(r);
    actor_kill(&a);
    test_wait_until(is_granted, r, 10, "the region to be alone");
    expect_granted(r);
    diskalloc_region_close(r);
    diskalloc_close(da);
    scene_end(s);
}

// The memory of the dead is given back, also of those who died while nobody served, and although others live on.
static bool nothing_is_charged_for_it(void *data)
{
    struct diskalloc_usage u;

    return diskalloc_get_usage(data, NULL, &u, sizeof u) == 0 && u.regions == 1;
}

static void what_the_dead_had_is_given_back(void **state)
{
    (void)state;
    for (int end = 0; end < END_N; end++) {
        struct scene *s = scene_start_with(false, PASSTHROUGH_CONFIG);
        struct diskalloc *da;
        struct diskalloc_region *r;
        struct actor a;

        actor_start(&a, hold_only, s, (uid_t)-1);
        actor_await(&a);
        da = client_of(s);
        assert_int_equal(diskalloc_region_create(da, NULL, &r), 0);
        end_knowledge(s, (enum end)end);
        actor_kill(&a);
        test_wait_until(nothing_is_charged_for_it, da, 30, "the memory of the dead process is given back");
        diskalloc_region_close(r);
        diskalloc_close(da);
        scene_end(s);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_child_that_was_left_behind_is_not_cut), TEST(a_child_is_not_cut_by_the_first_who_comes_afterwards),
        TEST(a_process_that_is_alone_may_shrink),      TEST(others_are_not_cut_and_who_is_left_of_two_may_shrink),
        TEST(what_the_dead_had_is_given_back),
    };

    passthrough_need();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
