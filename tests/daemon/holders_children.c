// Children of processes that have closed a region or have ended: the daemon knows nothing of them but the marks on the
// file.  No other process takes away what they map, and nobody is refused for their sake when they have gone.
#include "tests/lib/actor.h"
#include "tests/lib/holders_scene.h"
#include "tests/lib/test_backend.h"

enum { VERDICT = 4095, IS_FINE = 'f', ROUNDS = 200 };

enum ending { CLOSES, IS_KILLED, LOSES_AND_CLOSES, ENDING_N };

// The child maps the region until the test closes the pipe.  Then it has to find all bytes.
static void leave_child(const struct actor *self, const struct scene *s, const struct diskalloc_region *r)
{
    pid_t pid = fork();
    char byte;

    NEED(pid >= 0);
    if (pid > 0)
        return;
    while (read(self->from, &byte, 1) > 0)
        continue;
    NEED(is_filled(r));
    s->handle[VERDICT] = IS_FINE;
    _exit(0);
}

// Makes the region.  When told, leaves a child, and closes the region unless it is going to be killed.
static void make_and_leave(struct actor *self, const struct scene *s, enum ending ending)
{
    struct diskalloc_region *r;
    struct diskalloc_usage u;
    struct diskalloc *da;

    NEED(diskalloc_open(s->daemon.address, NULL, &da) == 0);
    NEED(open_named(da, "shared", SIZE, DISKALLOC_REGION_CREATE, &r) == 0);
    memset(diskalloc_region_data(r), 'a', SIZE);
    actor_next(self);
    leave_child(self, s, r);
    if (ending == LOSES_AND_CLOSES)
        close_sockets(self);
    if (ending != IS_KILLED)
        diskalloc_region_close(r);
    NEED(diskalloc_get_usage(da, NULL, &u, sizeof u) == 0); // the daemon has heard of all that
    actor_done(self);
    pause();
}

static void leave_by_close(struct actor *self, void *data)
{
    make_and_leave(self, data, CLOSES);
}

static void leave_when_killed(struct actor *self, void *data)
{
    make_and_leave(self, data, IS_KILLED);
}

// The connection is lost, and made again for nothing but the close.
static void leave_by_another_connection(struct actor *self, void *data)
{
    make_and_leave(self, data, LOSES_AND_CLOSES);
}

static void (*const actors[ENDING_N])(struct actor *self, void *data) = {
    [CLOSES] = leave_by_close,
    [IS_KILLED] = leave_when_killed,
    [LOSES_AND_CLOSES] = leave_by_another_connection,
};

static void end_parent(struct actor *a, enum ending ending)
{
    actor_go(a);
    actor_await(a);
    if (ending == IS_KILLED) {
        assert_return_code(kill(a->pid, SIGKILL), errno);
        assert_int_equal(waitpid(a->pid, NULL, 0), a->pid);
    }
}

static void end_child(struct actor *a, enum ending ending)
{
    close(a->to);
    close(a->from);
    if (ending != IS_KILLED) { // the pipe is the parent's too
        assert_return_code(kill(a->pid, SIGKILL), errno);
        assert_int_equal(waitpid(a->pid, NULL, 0), a->pid);
    }
}

// FIRST: the other process has the region before the parent has left it.
static void check_child(enum ending ending, bool first, bool restart)
{
    struct scene *s = scene_start(true);
    struct diskalloc_region *r;
    struct diskalloc *da;
    struct actor a;

    actor_start(&a, actors[ending], s, (uid_t)-1);
    actor_await(&a);
    assert_int_equal(diskalloc_open(s->daemon.address, NULL, &da), 0);
    if (first)
        assert_int_equal(scene_attach(da, s, &r), 0);
    end_parent(&a, ending);
    if (!first)
        assert_int_equal(scene_attach(da, s, &r), 0);
    if (restart) {
        test_daemon_kill(&s->daemon, SIGKILL);
        test_daemon_restart(&s->daemon);
    }
    expect_refused(r);
    assert_int_equal(diskalloc_region_resize(r, 2 * SIZE), 0); // a grow takes nothing away
    end_child(&a, ending);
    test_wait_until(is_granted, r, 10, "the region to be alone");
    assert_int_equal(s->handle[VERDICT], IS_FINE);
    expect_granted(r);
    diskalloc_region_close(r);
    diskalloc_close(da);
    scene_end(s);
}

static void a_child_that_was_left_behind_is_not_cut(void **state)
{
    (void)state;
    for (int ending = 0; ending < ENDING_N; ending++)
        for (int first = 0; first < 2; first++)
            for (int restart = 0; restart < 2; restart++)
                check_child((enum ending)ending, first, restart);
}

// The record says nothing of a second holder: the region had one at a time.
static void a_child_is_not_cut_by_the_first_who_comes_after_a_restart(void **state)
{
    struct scene *s = scene_start(true);
    struct diskalloc_region *r;
    struct diskalloc *da;
    struct actor a;

    (void)state;
    actor_start(&a, leave_by_close, s, (uid_t)-1);
    actor_await(&a);
    end_parent(&a, CLOSES);
    test_daemon_kill(&s->daemon, SIGKILL);
    test_daemon_restart(&s->daemon);
    assert_int_equal(diskalloc_open(s->daemon.address, NULL, &da), 0);
    assert_int_equal(scene_attach(da, s, &r), 0);
    expect_refused(r);
    end_child(&a, CLOSES);
    test_wait_until(is_granted, r, 10, "the region to be alone");
    assert_int_equal(s->handle[VERDICT], IS_FINE);
    diskalloc_region_close(r);
    diskalloc_close(da);
    scene_end(s);
}

// Attaches the region each time, and closes it: it is unmapped a moment after that.
static void come_and_go(struct actor *self, void *data)
{
    struct scene *s = data;
    struct diskalloc_region *r;
    struct diskalloc *da;

    actor_next(self);
    NEED(diskalloc_open(s->daemon.address, NULL, &da) == 0);
    for (;;) {
        NEED(scene_attach(da, s, &r) == 0);
        memset(diskalloc_region_data(r), 'a', diskalloc_region_size(r));
        actor_next(self);
        diskalloc_region_close(r);
        actor_next(self);
    }
}

static void nobody_is_refused_when_another_has_closed_the_region(void **state)
{
    enum { LARGE = 16 << 20 };
    struct scene *s = scene_start(false);
    struct diskalloc_region_options o = DISKALLOC_REGION_OPTIONS_INIT;
    struct diskalloc_region *r;
    struct diskalloc *da;
    struct actor a;

    (void)state;
    actor_start(&a, come_and_go, s, (uid_t)-1);
    actor_await(&a);
    assert_int_equal(diskalloc_open(s->daemon.address, NULL, &da), 0);
    o.size = LARGE;
    assert_int_equal(diskalloc_region_create(da, &o, &r), 0);
    strcpy(s->handle, diskalloc_region_handle(r));
    for (int i = 0; i < ROUNDS; i++) {
        actor_go(&a);
        actor_await(&a);
        actor_go(&a); // it closes the region
        actor_await(&a);
        assert_int_equal(i % 2 ? diskalloc_region_discard(r, 0, 65536) : diskalloc_region_resize(r, LARGE / 2), 0);
        assert_int_equal(i % 2 ? diskalloc_region_restore(r, 0, 65536) : diskalloc_region_resize(r, LARGE), 0);
    }
    actor_kill(&a);
    diskalloc_region_close(r);
    diskalloc_close(da);
    scene_end(s);
}

// A child may use the region itself: it attaches it, and closes what it inherited.
static void attach_and_close_inherited(struct actor *self, void *data)
{
    struct scene *s = data;
    struct diskalloc_region *r, *own;
    struct diskalloc *da;
    pid_t parent = getpid();

    NEED(diskalloc_open(s->daemon.address, NULL, &da) == 0);
    NEED(open_named(da, "shared", SIZE, DISKALLOC_REGION_CREATE, &r) == 0);
    memset(diskalloc_region_data(r), 'a', SIZE);
    if (fork() != 0)
        _exit(0);
    while (getppid() == parent)
        usleep(1000);
    NEED(scene_attach(da, s, &own) == 0);
    NEED(diskalloc_region_resize(own, SIZE / 2) == -EBUSY); // this process maps it twice
    NEED(is_filled(r));
    diskalloc_region_close(r);
    NEED(diskalloc_region_resize(own, SIZE / 2) == 0);
    diskalloc_region_close(own);
    s->handle[VERDICT] = IS_FINE;
    actor_done(self);
    _exit(0);
}

static void a_child_that_outlives_its_parent_may_have_the_region_to_itself(void **state)
{
    struct scene *s = scene_start(true);
    struct actor a;

    (void)state;
    actor_start(&a, attach_and_close_inherited, s, (uid_t)-1);
    actor_await(&a);
    assert_int_equal(s->handle[VERDICT], IS_FINE);
    actor_finish(&a);
    scene_end(s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_child_that_was_left_behind_is_not_cut),
        TEST(a_child_is_not_cut_by_the_first_who_comes_after_a_restart),
        TEST(nobody_is_refused_when_another_has_closed_the_region),
        TEST(a_child_that_outlives_its_parent_may_have_the_region_to_itself),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
