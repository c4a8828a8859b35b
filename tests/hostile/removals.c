// A user who leaves very many regions behind at once: the regions of others are removed meanwhile, and not after them.
#include "tests/lib/actor.h"
#include "tests/lib/raw_client.h"
#include "tests/lib/test_backend.h"

#include <time.h>

enum { ATTACKER = 4242, REGIONS = 10000, ROUNDS = 200 };

static const char config[] = "[daemon]\nkeep_free = 0\n";

static void take_very_many(struct actor *self, void *data)
{
    const struct test_daemon *d = data;
    struct raw c = {.sock = -1};

    NEED(raw_open(&c, d->socket) == RAW_CODE(OK));
    for (int i = 0; i < REGIONS; i++) {
        struct raw_handle h = raw_handle_new();

        NEED(raw_create(&c, &h, 4096) == RAW_CODE(OK));
    }
    actor_next(self);
}

static uint64_t now_us(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000 + (uint64_t)t.tv_nsec / 1000;
}

static uint64_t regions_in(struct diskalloc *da, const char *subject)
{
    struct diskalloc_usage u = {0};

    assert_int_equal(diskalloc_get_usage(da, subject, &u, sizeof u), 0);
    return u.regions;
}

static bool nothing_of_mine_is_charged(void *da)
{
    return regions_in(da, NULL) == 0;
}

static int compare(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

    return (x > y) - (x < y);
}

// How long a region takes from its making until its charge is given back.  Returns the number of rounds during which
// the other user's regions were not all gone.  The times are for the report.
static int make_and_remove(struct diskalloc *da, const char *when)
{
    uint64_t times[ROUNDS];
    int n_beside = 0;

    for (int i = 0; i < ROUNDS; i++) {
        times[i] = now_us();
        diskalloc_region_close(make_region(da, MIB));
        test_wait_until(nothing_of_mine_is_charged, da, 60, "the region is removed");
        times[i] = now_us() - times[i];
        n_beside += regions_in(da, "total") > 0;
    }
    qsort(times, ROUNDS, sizeof *times, compare);
    print_message("[ TIMES    ] %s: create to removal: median %lu us, p99 %lu us, worst %lu us; %d rounds beside the "
                  "other user's removals\n",
                  when, (unsigned long)times[ROUNDS / 2], (unsigned long)times[ROUNDS * 99 / 100],
                  (unsigned long)times[ROUNDS - 1], n_beside);
    return n_beside;
}

static void others_regions_are_removed_between_those_of_a_user_with_very_many(void **state)
{
    struct actor actor;
    struct test_backend b;

    (void)state;
    if (geteuid() != 0) {
        print_message("[ NOTE     ] not root: no second user\n");
        skip();
        return;
    }
    test_daemon_start(&b.daemon, config, NULL);
    actor_start(&actor, take_very_many, &b.daemon, ATTACKER);
    assert_int_equal(diskalloc_open(b.daemon.address, NULL, &b.da), 0);
    actor_await(&actor);
    make_and_remove(b.da, "quiet");
    actor_kill(&actor);
    // With one queue for all users, none would be removed before the other's are.
    assert_true(make_and_remove(b.da, "attack") > ROUNDS / 20);
    test_wait_until(nothing_is_charged, b.da, 120, "all is removed");
    diskalloc_close(b.da);
    test_daemon_stop_and_remove(&b.daemon);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(others_regions_are_removed_between_those_of_a_user_with_very_many),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
