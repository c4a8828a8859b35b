// Events: one descriptor to poll, whatever becomes of the connection.
#include "tests/lib/fake_daemon.h"
#include "tests/lib/test_daemon.h"

#include <poll.h>
#include <signal.h>
#include <sys/wait.h>

#include "proto/util/clock.h"

static bool is_readable(int fd, int timeout_ms)
{
    struct pollfd p = {.fd = fd, .events = POLLIN};

    return poll(&p, 1, timeout_ms) == 1;
}

static struct diskalloc_event expect_event(struct diskalloc *da)
{
    struct diskalloc_event e = {0};

    assert_int_equal(diskalloc_next_event(da, &e, sizeof e), 1);
    assert_int_equal(e.kind, DISKALLOC_EVENT_QUOTA_WARNING);
    assert_string_equal(e.limit_name, "user:alice bytes");
    return e;
}

static void what_another_call_has_read_stays_to_be_asked_for(void **state)
{
    struct play p = {.connections = {".e"}};
    struct diskalloc_event e = {.kind = 77};
    struct diskalloc_usage u;
    struct diskalloc *da;
    int fd;

    (void)state;
    play_start(&p);
    da = client_of(&p, -1);
    fd = diskalloc_event_fd(da);
    assert_true(fd >= 0);
    assert_false(is_readable(fd, 0));
    assert_int_equal(diskalloc_next_event(da, &e, sizeof e), 0);
    assert_int_equal(e.kind, 77); // written only when there is one
    assert_int_equal(diskalloc_get_usage(da, NULL, &u, sizeof u), 0);
    assert_true(is_readable(fd, 0));
    e = expect_event(da);
    assert_int_equal(e.limit, 1000);
    assert_int_equal(e.used, 900);
    assert_int_equal(e.warn, 800);
    assert_string_equal(e.handle, "");
    assert_true(is_readable(fd, 0));
    assert_int_equal(expect_event(da).used, 901);
    assert_false(is_readable(fd, 0));
    assert_int_equal(diskalloc_event_fd(da), fd);
    diskalloc_close(da);
    play_end(&p);
}

// A newer event about the same clone replaces the older one, and no other event.
static void how_far_a_clone_is_is_told_once(void **state)
{
    struct play p = {.connections = {".p"}};
    struct diskalloc_event e;
    struct diskalloc_usage u;
    struct diskalloc *da;

    (void)state;
    play_start(&p);
    da = client_of(&p, -1);
    assert_int_equal(diskalloc_get_usage(da, NULL, &u, sizeof u), 0);
    assert_int_equal(diskalloc_next_event(da, &e, sizeof e), 1);
    assert_int_equal(e.kind, DISKALLOC_EVENT_CLONE_PROGRESS);
    assert_string_equal(e.handle, "00000000000000000000000000000000");
    assert_int_equal(e.limit, 1000);
    assert_int_equal(e.used, 501);
    assert_int_equal(expect_event(da).used, 900);
    assert_int_equal(expect_event(da).used, 901);
    assert_int_equal(diskalloc_next_event(da, &e, sizeof e), 0);
    diskalloc_close(da);
    play_end(&p);
}

static void it_is_queued_before_anybody_asks_for_a_descriptor(void **state)
{
    struct play p = {.connections = {".e"}};
    struct diskalloc_usage u;
    struct diskalloc_event e = {0};
    struct diskalloc *da;

    (void)state;
    play_start(&p);
    da = client_of(&p, -1);
    assert_int_equal(diskalloc_get_usage(da, NULL, &u, sizeof u), 0);
    assert_true(is_readable(diskalloc_event_fd(da), 0));
    EXPECT_FAILURE(-EINVAL, "diskalloc_next_event", diskalloc_next_event(da, &e, 0));
    EXPECT_FAILURE(-EINVAL, "diskalloc_next_event", diskalloc_next_event(da, NULL, sizeof e));
    EXPECT_FAILURE(-EINVAL, "diskalloc_next_event", diskalloc_next_event(NULL, &e, sizeof e));
    EXPECT_FAILURE(-EINVAL, "diskalloc_event_fd", diskalloc_event_fd(NULL));
    assert_int_equal(diskalloc_next_event(da, &e, sizeof e.kind), 1); // an older program's
    assert_int_equal(e.kind, DISKALLOC_EVENT_QUOTA_WARNING);
    assert_string_equal(e.limit_name, "");
    diskalloc_close(da);
    play_end(&p);
}

static void when_nobody_asks_the_newest_are_kept(void **state)
{
    static const char many[] = ".eeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeee";
    struct play p = {.connections = {many}};
    struct diskalloc_event e;
    struct diskalloc_usage u;
    struct diskalloc *da;
    unsigned n = 0;

    (void)state;
    play_start(&p);
    da = client_of(&p, -1);
    for (size_t i = 1; i < sizeof many - 1; i++)
        assert_int_equal(diskalloc_get_usage(da, NULL, &u, sizeof u), 0);
    for (; diskalloc_next_event(da, &e, sizeof e) == 1; n++)
        assert_int_equal(e.used, 900 + n % 2);
    assert_int_equal(n, 32);
    diskalloc_close(da);
    play_end(&p);
}

static void a_directory_has_no_events(void **state)
{
    struct diskalloc_event e;
    struct test_backend b;

    (void)state;
    backend_start(&b, false, NULL, NULL);
    assert_true(diskalloc_event_fd(b.da) >= 0);
    assert_false(is_readable(diskalloc_event_fd(b.da), 0));
    assert_int_equal(diskalloc_next_event(b.da, &e, sizeof e), 0);
    backend_stop(&b);
}

static void a_user_near_the_limit_is_warned(void **state)
{
    struct diskalloc_region *r;
    struct diskalloc_event e;
    struct test_backend b;
    int fd;

    (void)state;
    backend_start(&b, true, "[daemon]\nkeep_free = 0\n[quota default]\nbytes = 1M\nwarn_at = 50%\n", NULL);
    fd = diskalloc_event_fd(b.da);
    r = make_region(b.da, 400 * KIB);
    assert_int_equal(diskalloc_region_resize(r, 600 * KIB), 0);
    assert_true(is_readable(fd, 30000));
    assert_int_equal(diskalloc_next_event(b.da, &e, sizeof e), 1);
    assert_int_equal(e.kind, DISKALLOC_EVENT_QUOTA_WARNING);
    assert_int_equal(e.limit, MIB);
    assert_int_equal(e.used, 600 * KIB);
    assert_int_equal(e.warn, 512 * KIB);
    assert_int_equal(diskalloc_next_event(b.da, &e, sizeof e), 0);
    diskalloc_region_close(r);
    backend_stop(&b);
}

// Until the daemon that comes back has something to say.
static void the_descriptor_outlives_the_daemon(void **state)
{
    struct diskalloc *other = NULL;
    struct diskalloc_region *r = NULL;
    struct diskalloc_event e;
    struct test_backend b;
    int fd, got = 0;

    (void)state;
    backend_start(&b, true, "[daemon]\nkeep_free = 0\n[quota default]\nbytes = 1M\nwarn_at = 50%\n", NULL);
    fd = diskalloc_event_fd(b.da);
    test_daemon_kill(&b.daemon, SIGKILL);
    assert_true(is_readable(fd, 30000));
    assert_int_equal(diskalloc_next_event(b.da, &e, sizeof e), 0);
    assert_true(is_readable(fd, 30000)); // to be called again
    test_daemon_restart(&b.daemon);
    assert_int_equal(diskalloc_open(b.address, NULL, &other), 0);
    for (int i = 0; i < 1000 && got == 0; i++) {
        assert_true(is_readable(fd, 30000));
        got = diskalloc_next_event(b.da, &e, sizeof e);
        assert_true(got >= 0);
        if (!r && usage_of(other).connections == 2)
            r = make_region(other, 600 * KIB);
    }
    assert_int_equal(got, 1);
    assert_int_equal(diskalloc_event_fd(b.da), fd);
    diskalloc_region_close(r);
    diskalloc_close(other);
    backend_stop(&b);
}

static void without_reconnecting_the_loss_is_said(void **state)
{
    struct diskalloc_options o = DISKALLOC_OPTIONS_INIT;
    struct diskalloc *da = NULL;
    struct diskalloc_event e;
    struct test_backend b;
    int fd;

    (void)state;
    backend_start(&b, true, NULL, NULL);
    o.reconnect_timeout_ms = 0;
    assert_int_equal(diskalloc_open(b.address, &o, &da), 0);
    fd = diskalloc_event_fd(da);
    test_daemon_kill(&b.daemon, SIGKILL);
    assert_true(is_readable(fd, 30000));
    EXPECT_FAILURE(-ECONNRESET, "diskalloc_next_event", diskalloc_next_event(da, &e, sizeof e));
    assert_false(is_readable(fd, 0));
    diskalloc_close(da);
    test_daemon_restart(&b.daemon);
    backend_stop(&b);
}

static void *grow_without_a_daemon(void *r)
{
    return (void *)(intptr_t)diskalloc_region_resize(r, MIB);
}

// Takes events until there is one of KIND; there must be none of the kind UNWANTED.
static void await_kind(struct diskalloc *da, int kind, int unwanted)
{
    struct diskalloc_event e = {0};
    uint64_t until = clock_after(30000);
    int fd = diskalloc_event_fd(da);

    while (e.kind != kind) {
        assert_true(clock_left(until) > 0);
        assert_true(is_readable(fd, 30000));
        assert_true(diskalloc_next_event(da, &e, sizeof e) >= 0);
        assert_int_not_equal(e.kind, unwanted);
    }
}

static void a_daemon_that_stays_away_is_told_once_and_so_is_its_return(void **state)
{
    struct diskalloc_region *r;
    struct diskalloc_event e;
    struct test_backend b;
    pthread_t thread;
    void *result;

    (void)state;
    backend_start(&b, true, NULL, NULL);
    r = make_region(b.da, 4096);
    test_daemon_kill(&b.daemon, SIGKILL);
    // A thread that waits says nothing; the program is told all the same.
    assert_int_equal(pthread_create(&thread, NULL, grow_without_a_daemon, r), 0);
    await_kind(b.da, DISKALLOC_EVENT_DAEMON_GONE, DISKALLOC_EVENT_DAEMON_BACK);
    poll(NULL, 0, 500);
    assert_int_equal(diskalloc_next_event(b.da, &e, sizeof e), 0);
    test_daemon_restart(&b.daemon);
    await_kind(b.da, DISKALLOC_EVENT_DAEMON_BACK, DISKALLOC_EVENT_DAEMON_GONE);
    assert_int_equal(pthread_join(thread, &result), 0);
    assert_int_equal((intptr_t)result, 0);
    assert_int_equal(diskalloc_next_event(b.da, &e, sizeof e), 0);
    diskalloc_region_close(r);
    backend_stop(&b);
}

// A client of B with a region of 4096 bytes, whose daemon is killed, and which waits for another one for TIMEOUT_MS.
static struct diskalloc *begin_absence(struct test_backend *b, int timeout_ms, struct diskalloc_region **ret)
{
    struct diskalloc_options o = DISKALLOC_OPTIONS_INIT;
    struct diskalloc *da = NULL;

    backend_start(b, true, NULL, NULL);
    o.reconnect_timeout_ms = timeout_ms;
    assert_int_equal(diskalloc_open(b->address, &o, &da), 0);
    *ret = make_region(da, 4096);
    test_daemon_kill(&b->daemon, SIGKILL);
    EXPECT_FAILURE(-ECONNRESET, "diskalloc_region_resize", diskalloc_region_resize(*ret, MIB));
    return da;
}

static void end_absence(struct test_backend *b, struct diskalloc *da, struct diskalloc_region *r)
{
    test_daemon_restart(&b->daemon);
    assert_int_equal(diskalloc_region_resize(r, MIB), 0);
    diskalloc_region_close(r);
    diskalloc_close(da);
    backend_stop(b);
}

static void the_error_in_the_end_says_what_was_waited_for(void **state)
{
    struct diskalloc_region *r;
    struct test_backend b;
    struct diskalloc *da = begin_absence(&b, 1100, &r);

    (void)state;
    assert_non_null(strstr(diskalloc_last_error(), "did not come back in 1 s"));
    assert_non_null(strstr(diskalloc_last_error(), "nobody answers"));
    assert_non_null(strstr(diskalloc_last_error(), "a container needs the socket's directory"));
    assert_non_null(strstr(diskalloc_last_error(), b.daemon.socket));
    end_absence(&b, da, r);
}

static void the_error_tells_a_wait_of_less_than_a_second_in_milliseconds(void **state)
{
    struct diskalloc_region *r;
    struct test_backend b;
    struct diskalloc *da = begin_absence(&b, 150, &r);

    (void)state;
    assert_null(strstr(diskalloc_last_error(), "in 0 s"));
    end_absence(&b, da, r);
}

static void a_forked_child_has_a_descriptor_of_its_own(void **state)
{
    struct diskalloc_region *r;
    struct diskalloc_event e;
    struct test_backend b;
    int fd, go[2], status;
    pid_t pid;

    (void)state;
    backend_start(&b, true, "[daemon]\nkeep_free = 0\n[quota default]\nbytes = 1M\nwarn_at = 50%\n", NULL);
    fd = diskalloc_event_fd(b.da);
    assert_return_code(pipe2(go, O_CLOEXEC), errno);
    pid = fork();
    assert_return_code(pid, errno);
    if (pid == 0) {
        struct diskalloc_usage u;
        int mine = diskalloc_event_fd(b.da);

        if (mine < 0 || diskalloc_get_usage(b.da, NULL, &u, sizeof u) < 0 || write(go[1], "x", 1) != 1) {
            print_error("the child: %s\n", diskalloc_last_error());
            _exit(1);
        }
        while (diskalloc_next_event(b.da, &e, sizeof e) == 0)
            if (!is_readable(mine, 30000))
                _exit(2);
        _exit(e.kind != DISKALLOC_EVENT_QUOTA_WARNING);
    }
    close(go[1]);
    assert_int_equal(read(go[0], &status, 1), 1);
    r = make_region(b.da, 600 * KIB);
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(status, 0);
    assert_true(is_readable(fd, 30000)); // the parent's own
    assert_int_equal(diskalloc_next_event(b.da, &e, sizeof e), 1);
    diskalloc_region_close(r);
    close(go[0]);
    backend_stop(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(what_another_call_has_read_stays_to_be_asked_for),
        TEST(how_far_a_clone_is_is_told_once),
        TEST(it_is_queued_before_anybody_asks_for_a_descriptor),
        TEST(when_nobody_asks_the_newest_are_kept),
        TEST(a_directory_has_no_events),
        TEST(a_user_near_the_limit_is_warned),
        TEST(the_descriptor_outlives_the_daemon),
        TEST(without_reconnecting_the_loss_is_said),
        TEST(a_daemon_that_stays_away_is_told_once_and_so_is_its_return),
        TEST(the_error_in_the_end_says_what_was_waited_for),
        TEST(the_error_tells_a_wait_of_less_than_a_second_in_milliseconds),
        TEST(a_forked_child_has_a_descriptor_of_its_own),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
