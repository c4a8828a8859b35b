// The marks of a region's holders, by which a daemon knows which of them have ended while it was away.  And pids that
// are used again.
#include "tests/lib/actor.h"
#include "tests/lib/holders_scene.h"
#include "tests/lib/test_backend.h"

#include <fcntl.h>
#include <linux/sched.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include "proto/spill/record.h"

// A process with the number PID, which is free.  False: that can't be had here.
static bool make_process(pid_t pid)
{
    struct clone_args args = {.exit_signal = SIGCHLD, .set_tid = (uint64_t)(uintptr_t)&pid, .set_tid_size = 1};
    pid_t parent = getpid();
    long r = syscall(SYS_clone3, &args, sizeof args);

    if (r == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        while (getppid() == parent)
            pause();
        _exit(0);
    }
    return r == pid;
}

static void a_pid_that_is_used_again_is_another_process(void **state)
{
    struct scene *s = scene_start(true);
    struct diskalloc_region *r;
    struct diskalloc *da;
    struct actor a;
    bool made;

    (void)state;
    assert_int_equal(diskalloc_open(s->daemon.address, NULL, &da), 0);
    assert_int_equal(open_named(da, "shared", SIZE, DISKALLOC_REGION_CREATE, &r), 0);
    actor_start(&a, idle, s, (uid_t)-1);
    actor_await(&a);
    disconnect_everybody(s);
    expect_refused(r);
    actor_kill(&a);
    made = make_process(a.pid);
    if (made) {
        test_wait_until(is_granted, r, 10, "the region to be alone");
        assert_int_equal(kill(a.pid, SIGKILL), 0);
        assert_int_equal(waitpid(a.pid, NULL, 0), a.pid);
    }
    diskalloc_region_close(r);
    diskalloc_close(da);
    scene_end(s);
    if (!made)
        skip();
}

// Its forked child maps the region until the test closes the pipe.
static void leave_child(struct actor *self, void *data)
{
    struct scene *s = data;
    struct diskalloc_region *r;
    struct diskalloc *da;
    char byte;

    NEED(diskalloc_open(s->daemon.address, NULL, &da) == 0);
    NEED(open_named(da, "shared", SIZE, DISKALLOC_REGION_CREATE, &r) == 0);
    memset(diskalloc_region_data(r), 'a', SIZE);
    if (fork() == 0) {
        while (read(self->from, &byte, 1) > 0)
            continue;
        _exit(is_filled(r) ? 0 : 1);
    }
    actor_done(self);
    pause();
}

static void a_child_of_a_process_that_never_came_back_is_not_cut(void **state)
{
    struct scene *s = scene_start(true);
    struct diskalloc_region *r;
    struct diskalloc *da;
    struct actor a;

    (void)state;
    actor_start(&a, leave_child, s, (uid_t)-1);
    actor_await(&a);
    assert_int_equal(diskalloc_open(s->daemon.address, NULL, &da), 0);
    assert_int_equal(scene_attach(da, s, &r), 0);
    test_daemon_kill(&s->daemon, SIGKILL);
    test_daemon_restart(&s->daemon);
    expect_refused(r);
    assert_int_equal(kill(a.pid, SIGKILL), 0);
    assert_int_equal(waitpid(a.pid, NULL, 0), a.pid);
    expect_refused(r);
    close(a.to); // the child ends
    close(a.from);
    test_wait_until(is_granted, r, 10, "the region to be alone");
    expect_granted(r);
    diskalloc_region_close(r);
    diskalloc_close(da);
    scene_end(s);
}

// As idle; but the test does not map the region yet, so that this process is not one that its library looks after.
static void idle_from_the_start(struct actor *self, void *data)
{
    struct scene *s = data;
    struct diskalloc_region *r;
    struct diskalloc *da;

    NEED(diskalloc_open(s->daemon.address, NULL, &da) == 0);
    NEED(open_named(da, "shared", SIZE, DISKALLOC_REGION_CREATE, &r) == 0);
    memset(diskalloc_region_data(r), 'a', SIZE);
    actor_next(self);
    NEED(is_filled(r));
    actor_done(self);
    pause();
}

// The first process ends, and the daemon does not know which of those that are left it was.
static void those_who_are_left_of_many_may_shrink_one_after_the_other(void **state)
{
    enum { N = 4 };
    struct scene *s = scene_start(true);
    struct diskalloc_region *r;
    struct actor actors[N];
    struct diskalloc *da;

    (void)state;
    for (int i = 0; i < N; i++) {
        actor_start(&actors[i], idle_from_the_start, s, (uid_t)-1);
        actor_await(&actors[i]);
    }
    assert_int_equal(diskalloc_open(s->daemon.address, NULL, &da), 0);
    assert_int_equal(scene_attach(da, s, &r), 0);
    for (int i = 0; i < N; i++) {
        test_daemon_kill(&s->daemon, SIGKILL);
        test_daemon_restart(&s->daemon);
        expect_refused(r);
        actor_go(&actors[i]); // its bytes are all there
        actor_await(&actors[i]);
        actor_kill(&actors[i]);
    }
    test_wait_until(is_granted, r, 10, "the region to be alone");
    diskalloc_region_close(r);
    diskalloc_close(da);
    scene_end(s);
}

// The region's record, which must have marks.  CLEAR: as if an older daemon had made the region.
static void expect_marked(const struct scene *s, bool clear)
{
    struct record record;
    char path[256];
    int fd;

    snprintf(path, sizeof path, "%s/%u/%s", s->daemon.spill, geteuid(), s->handle);
    fd = open(path, O_RDWR | O_CLOEXEC);
    assert_true(fd >= 0);
    assert_int_equal(record_load(&file_ops_system, fd, &record), 0);
    assert_true(record.flags & RECORD_MARKED);
    record.flags &= ~(uint32_t)RECORD_MARKED;
    if (clear)
        assert_int_equal(record_store(&file_ops_system, fd, &record), 0);
    close(fd);
}

// Without marks nobody can tell that a process has ended, before the kernel says that nobody uses the file.
static void a_region_of_an_older_daemon_waits_until_nobody_uses_it(void **state)
{
    struct scene *s = scene_start(true);
    struct diskalloc_region *r;
    struct diskalloc *da;
    struct actor a;

    (void)state;
    actor_start(&a, hold_only, s, (uid_t)-1);
    actor_await(&a);
    assert_int_equal(diskalloc_open(s->daemon.address, NULL, &da), 0);
    assert_int_equal(scene_attach(da, s, &r), 0);
    test_daemon_kill(&s->daemon, SIGKILL);
    expect_marked(s, true);
    test_daemon_restart(&s->daemon);
    actor_kill(&a);
    expect_refused(r);
    diskalloc_region_close(r);
    assert_int_equal(scene_attach(da, s, &r), 0);
    expect_granted(r);
    expect_marked(s, false); // from now on
    diskalloc_region_close(r);
    diskalloc_close(da);
    scene_end(s);
}

// The marks of one process count one by one.
static void the_other_client_of_the_process_is_not_cut(void **state)
{
    struct scene *s = scene_start(true);
    struct diskalloc_region *one, *two;
    struct diskalloc *first, *second;

    (void)state;
    assert_int_equal(diskalloc_open(s->daemon.address, NULL, &first), 0);
    assert_int_equal(diskalloc_open(s->daemon.address, NULL, &second), 0);
    assert_int_equal(open_named(first, "shared", SIZE, DISKALLOC_REGION_CREATE, &one), 0);
    memset(diskalloc_region_data(one), 'a', SIZE);
    assert_int_equal(scene_attach(second, s, &two), 0);
    test_daemon_kill(&s->daemon, SIGKILL);
    test_daemon_restart(&s->daemon);
    expect_refused(one);
    assert_true(is_filled(two));
    diskalloc_region_close(two);
    test_wait_until(is_granted, one, 10, "the region to be alone");
    diskalloc_region_close(one);
    diskalloc_close(first);
    diskalloc_close(second);
    scene_end(s);
}

// A client can lock any free byte of its region.  The region is one without marks then, and others still get it.
static void a_lock_where_marks_are_keeps_nobody_from_the_region(void **state)
{
    struct flock all = {.l_type = F_WRLCK, .l_whence = SEEK_SET}, found;
    struct scene *s = scene_start(true);
    struct diskalloc_region *one, *two;
    struct diskalloc *first, *second;
    int fd;

    (void)state;
    assert_int_equal(diskalloc_open(s->daemon.address, NULL, &first), 0);
    assert_int_equal(diskalloc_open(s->daemon.address, NULL, &second), 0);
    assert_int_equal(open_named(first, "shared", SIZE, DISKALLOC_REGION_CREATE, &one), 0);
    memset(diskalloc_region_data(one), 'a', SIZE);
    fd = diskalloc_region_fd(one);
    assert_true(fd >= 0);
    all.l_start = (off_t)1 << 62;
    found = all;
    assert_return_code(fcntl(fd, F_OFD_GETLK, &found), errno);
    assert_int_equal(found.l_type, F_WRLCK); // the mark of the first client, which may write
    all.l_len = found.l_start - all.l_start;
    assert_return_code(fcntl(fd, F_OFD_SETLK, &all), errno);
    all.l_start = found.l_start + 1;
    all.l_len = 0;
    assert_return_code(fcntl(fd, F_OFD_SETLK, &all), errno);
    assert_int_equal(scene_attach(second, s, &two), 0);
    assert_true(is_filled(two));
    close(fd); // the lock goes, and with it all that could tell of the second client
    test_daemon_kill(&s->daemon, SIGKILL);
    test_daemon_restart(&s->daemon);
    expect_refused(one);
    assert_true(is_filled(two));
    diskalloc_region_close(two);
    diskalloc_region_close(one);
    diskalloc_close(first);
    diskalloc_close(second);
    scene_end(s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_pid_that_is_used_again_is_another_process),
        TEST(a_child_of_a_process_that_never_came_back_is_not_cut),
        TEST(those_who_are_left_of_many_may_shrink_one_after_the_other),
        TEST(a_region_of_an_older_daemon_waits_until_nobody_uses_it),
        TEST(a_lock_where_marks_are_keeps_nobody_from_the_region),
        TEST(the_other_client_of_the_process_is_not_cut),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
