// A daemon whose operations hang on files that a client holds: it ends all the same, by SIGTERM or by SIGKILL, and the
// next one starts and serves others, while the client goes on.  Afterwards nothing is charged or allocated wrongly.
#include "tests/lib/actor.h"
#include "tests/lib/pin.h"
#include "tests/lib/test_backend.h"

#include <fcntl.h>
#include <pthread.h>
#include <sys/wait.h>

enum { UID = 4242, PINNED = 3 };

static const char config[] = "[daemon]\nkeep_free = 0\n";

struct grower {
    pthread_t thread;
    struct diskalloc_region *region;
};

static void *grow(void *data)
{
    struct grower *g = data;

    diskalloc_region_resize(g->region, 3 * MIB); // the outcome depends on when the daemon ends
    return NULL;
}

// Makes the files longer and shorter than they are granted, as the holder of a descriptor can.
static void spoil(struct diskalloc_region *r, int i)
{
    int fd = diskalloc_region_fd(r);

    NEED(fd >= 0);
    if (i % 2)
        NEED(ftruncate(fd, 5 * MIB) == 0 || errno == EACCES);
    else
        NEED(fallocate(fd, FALLOC_FL_KEEP_SIZE, MIB, 4 * MIB) == 0);
}

static void attack(struct actor *self, void *data)
{
    const struct test_daemon *d = data;
    struct grower growers[PINNED];
    struct diskalloc_region_options o = DISKALLOC_REGION_OPTIONS_INIT;
    struct diskalloc *da;
    struct pin pin;

    pin_init(&pin);
    actor_become(UID);
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    NEED(diskalloc_open(d->address, NULL, &da) == 0);
    o.size = MIB;
    for (int i = 0; i < PINNED; i++) {
        NEED(diskalloc_region_create(da, &o, &growers[i].region) == 0);
        spoil(growers[i].region, i);
        pin_hold(&pin, diskalloc_region_fd(growers[i].region), false);
        NEED(pthread_create(&growers[i].thread, NULL, grow, &growers[i]) == 0);
    }
    actor_next(self);
    pin_release(&pin);
    for (int i = 0; i < PINNED; i++) {
        pthread_join(growers[i].thread, NULL);
        NEED(diskalloc_region_resize(growers[i].region, 4 * MIB) == 0);
        memset(diskalloc_region_data(growers[i].region), i, 4 * MIB);
    }
    actor_next(self);
    diskalloc_close(da);
}

static bool some_thread_hangs(void *data)
{
    const struct test_daemon *d = data;
    char command[200];

    snprintf(command, sizeof command, "cat /proc/%d/task/*/stat 2>/dev/null | grep -q ') D '", (int)d->pid);
    return system(command) == 0;
}

static bool first_thread_has_ended(void *data)
{
    const struct test_daemon *d = data;
    char command[200];

    snprintf(command, sizeof command, "grep -q ') Z ' /proc/%d/stat 2>/dev/null", (int)d->pid);
    return system(command) == 0;
}

static bool all_is_charged_as_it_lies_on_disk(void *data)
{
    const struct test_backend *b = data;
    struct diskalloc_usage u = {0};

    return diskalloc_get_usage(b->da, "total", &u, sizeof u) == 0 && u.bytes == test_sum_sizes(b->daemon.spill) &&
           u.bytes == (4 * PINNED + 2) * MIB;
}

static uint64_t now_ms(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000;
}

static void end_and_start_again(int signal)
{
    struct diskalloc_region *r;
    struct test_backend b;
    struct actor actor;
    uint64_t begin, ended;
    pid_t old;

    if (!pin_is_possible()) {
        skip();
        return;
    }
    test_daemon_start(&b.daemon, config, NULL);
    actor_start(&actor, attack, &b.daemon, (uid_t)-1);
    actor_await(&actor);
    assert_int_equal(diskalloc_open(b.daemon.address, NULL, &b.da), 0);
    r = make_region(b.da, MIB);
    test_wait_until(some_thread_hangs, &b.daemon, 30, "an operation hangs");
    begin = now_ms();
    old = b.daemon.pid;
    assert_return_code(kill(old, signal), errno);
    test_wait_until(first_thread_has_ended, &b.daemon, 60, "the daemon has ended but for what hangs");
    ended = now_ms();
    if (signal == SIGKILL)
        diskalloc_region_close(r);
    test_daemon_restart(&b.daemon);
    print_message("[ TIMES    ] signal %d: ended after %lu ms, the next one ready after another %lu ms\n", signal,
                  (unsigned long)(ended - begin), (unsigned long)(now_ms() - ended));
    // Others go on while the files are held.  A killed daemon cannot close its connections.
    if (signal == SIGKILL) {
        diskalloc_close(b.da);
        assert_int_equal(diskalloc_open(b.daemon.address, NULL, &b.da), 0);
        r = make_region(b.da, MIB);
    }
    assert_int_equal(diskalloc_region_resize(r, 2 * MIB), 0);
    memset(diskalloc_region_data(r), 1, 2 * MIB);
    assert_int_equal(waitpid(old, NULL, WNOHANG), 0);
    actor_go(&actor);
    actor_await(&actor);
    assert_int_equal(waitpid(old, NULL, 0), old);
    test_wait_until(all_is_charged_as_it_lies_on_disk, &b, 60, "every charge is exact");
    actor_go(&actor);
    actor_finish(&actor);
    diskalloc_region_close(r);
    test_wait_until(nothing_is_charged, b.da, 60, "all is given back");
    diskalloc_close(b.da);
    test_daemon_stop_and_remove(&b.daemon);
}

static void a_daemon_that_is_told_to_end_makes_room_for_the_next_one(void **state)
{
    (void)state;
    end_and_start_again(SIGTERM);
}

static void a_daemon_that_is_killed_makes_room_for_the_next_one(void **state)
{
    (void)state;
    end_and_start_again(SIGKILL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_daemon_that_is_told_to_end_makes_room_for_the_next_one),
        TEST(a_daemon_that_is_killed_makes_room_for_the_next_one),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
