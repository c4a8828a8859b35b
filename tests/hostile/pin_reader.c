// A user who may only read regions of another one holds the locks of their files.  The owner gets an answer to each
// grow of these regions, and goes on with all others: their own, and those that they share with a third user.
#include "tests/lib/actor.h"
#include "tests/lib/pin.h"
#include "tests/lib/test_backend.h"

#include <pthread.h>

// LISTED and THIRD are users that every system has.  The user database knows nothing of UNLISTED.
enum { LISTED = 1, UNLISTED = 4242, THIRD = 2, PINNED = 12, ROUNDS = 100 };

struct scene {
    struct test_backend b;
    uid_t reader;
};

static const char config[] = "[daemon]\nkeep_free = 0\n";

static void open_read_only(struct diskalloc *da, const char *name, struct diskalloc_region **ret)
{
    struct diskalloc_region_options o = DISKALLOC_REGION_OPTIONS_INIT;
    char path[64];

    snprintf(path, sizeof path, "+0/%s", name);
    o.flags = DISKALLOC_REGION_READ_ONLY;
    NEED(diskalloc_region_open(da, path, &o, ret) == 0);
}

static void attack(struct actor *self, void *data)
{
    const struct scene *s = data;
    struct diskalloc_region *r[PINNED];
    struct diskalloc *da;
    struct pin pin;
    char name[16];

    pin_init(&pin);
    actor_become(s->reader);
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    actor_wait(self);
    NEED(diskalloc_open(s->b.daemon.address, NULL, &da) == 0);
    for (int i = 0; i < PINNED; i++) {
        snprintf(name, sizeof name, "read%d", i);
        open_read_only(da, name, &r[i]);
        pin_hold(&pin, diskalloc_region_fd(r[i]), true);
    }
    actor_next(self);
    pin_release(&pin);
    actor_next(self);
    diskalloc_close(da);
}

static void attach_as_third(struct actor *self, void *data)
{
    const struct test_daemon *d = data;
    struct diskalloc_region *r;
    struct diskalloc *da;

    actor_wait(self);
    NEED(diskalloc_open(d->address, NULL, &da) == 0);
    open_read_only(da, "third", &r);
    actor_next(self);
    diskalloc_close(da);
}

static struct diskalloc_region *make_public(struct diskalloc *da, const char *name)
{
    struct diskalloc_region_options o = DISKALLOC_REGION_OPTIONS_INIT;
    struct diskalloc_region *r;

    o.size = MIB;
    o.mode = 0644;
    o.flags = DISKALLOC_REGION_CREATE | DISKALLOC_REGION_EXCLUSIVE;
    assert_int_equal(diskalloc_region_open(da, name, &o, &r), 0);
    return r;
}

struct grower {
    pthread_t thread;
    struct diskalloc_region *region;
    int result;
};

static void *grow(void *data)
{
    struct grower *g = data;

    g->result = diskalloc_region_resize(g->region, 2 * MIB);
    return NULL;
}

static void go_on(struct diskalloc *da, struct diskalloc_region *third, uint64_t third_size)
{
    struct diskalloc_region *own = make_region(da, 4096);

    for (uint64_t i = 1; i <= ROUNDS; i++) {
        assert_int_equal(diskalloc_region_resize(own, i * 64 * KIB), 0);
        assert_int_equal(diskalloc_region_resize(third, third_size + i * 64 * KIB), 0);
        assert_int_equal(diskalloc_region_commit(third, i, 1, 0), 0);
    }
    diskalloc_region_close(own);
}

static bool charges_are_exact(void *data)
{
    const struct test_backend *b = data;

    return usage_of(b->da).bytes == (2 * PINNED + 1) * MIB + 2 * ROUNDS * 64 * KIB &&
           test_sum_sizes(b->daemon.spill) == usage_of(b->da).bytes;
}

static void run(uid_t reader)
{
    struct scene scene = {.reader = reader};
    struct test_backend *b = &scene.b;
    struct grower growers[PINNED];
    struct diskalloc_region *third;
    struct actor actor, other;
    char name[16];

    if (!pin_is_possible()) {
        skip();
        return;
    }
    test_daemon_start(&b->daemon, config, NULL);
    actor_start(&actor, attack, &scene, (uid_t)-1);
    actor_start(&other, attach_as_third, &b->daemon, THIRD);
    assert_int_equal(diskalloc_open(b->daemon.address, NULL, &b->da), 0);
    for (int i = 0; i < PINNED; i++) {
        snprintf(name, sizeof name, "read%d", i);
        growers[i] = (struct grower){.region = make_public(b->da, name)};
    }
    third = make_public(b->da, "third");
    actor_go(&other);
    actor_go(&actor);
    actor_await(&other);
    actor_await(&actor);
    for (int i = 0; i < PINNED; i++)
        assert_int_equal(pthread_create(&growers[i].thread, NULL, grow, &growers[i]), 0);
    go_on(b->da, third, MIB);
    for (int i = 0; i < PINNED; i++) {
        pthread_join(growers[i].thread, NULL);
        assert_int_equal(growers[i].result, -ETIMEDOUT);
        assert_int_equal(diskalloc_region_size(growers[i].region), MIB);
    }
    snprintf(name, sizeof name, "uid %u pid", (unsigned)reader);
    assert_true(test_daemon_logged(&b->daemon, name));
    go_on(b->da, third, MIB + ROUNDS * 64 * KIB);
    actor_go(&actor);
    actor_await(&actor);
    for (int i = 0; i < PINNED; i++) {
        grow(&growers[i]);
        assert_int_equal(growers[i].result, 0);
    }
    test_wait_until(charges_are_exact, b, 60, "every charge is exact");
    actor_go(&actor);
    actor_finish(&actor);
    actor_go(&other);
    actor_finish(&other);
    for (int i = 0; i < PINNED; i++)
        diskalloc_region_close(growers[i].region);
    diskalloc_region_close(third);
    diskalloc_close(b->da);
    test_daemon_stop_and_remove(&b->daemon);
}

static void a_reader_holds_up_those_regions_only(void **state)
{
    (void)state;
    run(LISTED);
}

static void a_reader_whom_the_user_database_does_not_know_does_not_either(void **state)
{
    (void)state;
    run(UNLISTED);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_reader_holds_up_those_regions_only),
        TEST(a_reader_whom_the_user_database_does_not_know_does_not_either),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
