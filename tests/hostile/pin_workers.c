// Users who hold the locks of their regions' files, so that the daemon's operations on them never end: others go on as
// if nothing was, the user gets an answer, the log names who it was, and afterwards every charge is exact.
#include "tests/lib/actor.h"
#include "tests/lib/pin.h"
#include "tests/lib/test_backend.h"

#include <pthread.h>

// Users that every system has: those that the user database does not know share their workers.
enum { ATTACKERS = 2, FIRST_UID = 1, PINNED = 12, FREE = PINNED, ROUNDS = 400 };

static const char config[] = "[daemon]\nkeep_free = 0\n";

struct attacker {
    const struct test_daemon *daemon;
    uid_t uid;
};

struct grower {
    pthread_t thread;
    struct diskalloc_region *region;
    int result;
};

static void *grow(void *data)
{
    struct grower *g = data;

    g->result = diskalloc_region_resize(g->region, 3 * MIB);
    return NULL;
}

static struct diskalloc_region *new_region(struct diskalloc *da)
{
    struct diskalloc_region_options o = DISKALLOC_REGION_OPTIONS_INIT;
    struct diskalloc_region *r;

    o.size = MIB;
    NEED(diskalloc_region_create(da, &o, &r) == 0);
    return r;
}

static void attack(struct actor *self, void *data)
{
    const struct attacker *a = data;
    struct grower growers[PINNED + 1];
    struct diskalloc *da;
    struct pin pin;

    pin_init(&pin);
    actor_become(a->uid);
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    NEED(diskalloc_open(a->daemon->address, NULL, &da) == 0);
    for (int i = 0; i <= PINNED; i++)
        growers[i] = (struct grower){.region = new_region(da)};
    for (int i = 0; i < PINNED; i++)
        pin_hold(&pin, diskalloc_region_fd(growers[i].region), false);
    for (int i = 0; i < PINNED; i++)
        NEED(pthread_create(&growers[i].thread, NULL, grow, &growers[i]) == 0);
    actor_next(self); // all grow, and hang
    // An answer comes all the same, also for the region whose file nobody holds; the loop's own thread may grow that
    // one.
    grow(&growers[FREE]);
    NEED(growers[FREE].result == -ETIMEDOUT || growers[FREE].result == 0);
    for (int i = 0; i < PINNED; i++) {
        pthread_join(growers[i].thread, NULL);
        NEED(growers[i].result == -ETIMEDOUT);
        NEED(diskalloc_region_size(growers[i].region) == MIB);
    }
    actor_next(self);
    pin_release(&pin);
    for (int i = 0; i <= PINNED; i++) {
        grow(&growers[i]);
        NEED(growers[i].result == 0);
    }
    actor_next(self);
    diskalloc_close(da);
}

static uint64_t now_us(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000 + (uint64_t)t.tv_nsec / 1000;
}

static int compare(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

    return (x > y) - (x < y);
}

// Another user's work goes on.  The times are for the report.
static void work(struct diskalloc *da, const char *when)
{
    struct diskalloc_region *r;
    uint64_t times[ROUNDS];

    for (int i = 0; i < ROUNDS; i++) {
        times[i] = now_us();
        r = make_region(da, 64 * KIB);
        assert_int_equal(diskalloc_region_resize(r, 2 * MIB), 0);
        assert_int_equal(diskalloc_region_resize(r, 64 * KIB), 0);
        assert_int_equal(diskalloc_region_commit(r, 0, 1, 0), 0);
        diskalloc_region_close(r);
        times[i] = now_us() - times[i];
    }
    qsort(times, ROUNDS, sizeof *times, compare);
    print_message("[ TIMES    ] %s: create, grow, shrink, commit, close: median %lu us, p99 %lu us, worst %lu us\n",
                  when, (unsigned long)times[ROUNDS / 2], (unsigned long)times[ROUNDS * 99 / 100],
                  (unsigned long)times[ROUNDS - 1]);
}

static bool all_is_charged_as_it_lies_on_disk(void *data)
{
    const struct test_backend *b = data;
    struct diskalloc_usage u = {0};

    return diskalloc_get_usage(b->da, "total", &u, sizeof u) == 0 && u.bytes == test_sum_sizes(b->daemon.spill);
}

static void users_who_hold_the_locks_of_their_files_hold_up_nobody_else(void **state)
{
    struct actor actors[ATTACKERS];
    struct attacker attackers[ATTACKERS];
    struct test_backend b;
    char text[64];

    (void)state;
    if (!pin_is_possible()) {
        skip();
        return;
    }
    test_daemon_start(&b.daemon, config, NULL);
    for (int i = 0; i < ATTACKERS; i++) {
        attackers[i] = (struct attacker){.daemon = &b.daemon, .uid = FIRST_UID + (uid_t)i};
        actor_start(&actors[i], attack, &attackers[i], (uid_t)-1);
    }
    assert_int_equal(diskalloc_open(b.daemon.address, NULL, &b.da), 0);
    work(b.da, "quiet");
    for (int i = 0; i < ATTACKERS; i++)
        actor_await(&actors[i]);
    work(b.da, "attack");
    for (int i = 0; i < ATTACKERS; i++)
        actor_go(&actors[i]);
    work(b.da, "attack");
    for (int i = 0; i < ATTACKERS; i++)
        actor_await(&actors[i]);
    work(b.da, "attack");
    for (int i = 0; i < ATTACKERS; i++) {
        snprintf(text, sizeof text, "ten seconds; attached: uid %u pid %d", attackers[i].uid, (int)actors[i].pid);
        assert_true(test_daemon_logged(&b.daemon, text));
        actor_go(&actors[i]);
    }
    for (int i = 0; i < ATTACKERS; i++)
        actor_await(&actors[i]);
    test_wait_until(all_is_charged_as_it_lies_on_disk, &b, 60, "every charge is exact");
    work(b.da, "afterwards");
    for (int i = 0; i < ATTACKERS; i++) {
        actor_go(&actors[i]);
        actor_finish(&actors[i]);
    }
    test_wait_until(nothing_is_charged, b.da, 60, "all is given back");
    diskalloc_close(b.da);
    test_daemon_stop_and_remove(&b.daemon);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(users_who_hold_the_locks_of_their_files_hold_up_nobody_else),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
