// Attaching the client's regions again after a connection was lost: a region that is refused is tried again, and
// keeps no other region from being attached.
#include "tests/lib/actor.h"
#include "tests/lib/fake_daemon.h"

#include "proto/util/clock.h"

enum { FIRST_USER = 54321, SECOND_USER = 54322 };

static void lose_connection(struct diskalloc *da)
{
    struct diskalloc_usage u;

    assert_int_equal(diskalloc_get_usage(da, NULL, &u, sizeof u), 0);
}

// As when the user database is away, and back again.
static void a_region_that_was_refused_is_attached_when_it_is_asked_for(void **state)
{
    struct play p = {.connections = {"..x", ".au.."}};
    struct diskalloc_region *r;
    struct diskalloc *da;

    (void)state;
    play_start(&p);
    da = client_of(&p, -1);
    r = make_region(da, 0);
    assert_int_equal(diskalloc_region_resize(r, 5000), 0);
    ((char *)diskalloc_region_data(r))[4999] = 1;
    diskalloc_region_close(r);
    diskalloc_close(da);
    play_end(&p);
    assert_string_equal(p.seen, "HCGHAGAGD");
}

static void a_refusal_is_said_and_the_next_call_tries_again(void **state)
{
    struct play p = {.connections = {"..x", ".auauau.."}};
    struct diskalloc_region *r;
    struct diskalloc *da;

    (void)state;
    play_start(&p);
    da = client_of(&p, -1);
    r = make_region(da, 0);
    EXPECT_FAILURE(-EACCES, "diskalloc_region_resize", diskalloc_region_resize(r, 5000));
    EXPECT_FAILURE(-EACCES, "diskalloc_region_commit", diskalloc_region_commit(r, 0, 0, 0));
    assert_int_equal(diskalloc_region_resize(r, 5000), 0);
    diskalloc_region_close(r);
    diskalloc_close(da);
    play_end(&p);
    assert_string_equal(p.seen, "HCGHAGATATATGD");
}

static void a_region_on_a_disk_that_does_not_answer_is_attached_when_it_does(void **state)
{
    struct play p = {.connections = {"..x", ".tutu.."}};
    struct diskalloc_region *r;
    struct diskalloc *da;

    (void)state;
    play_start(&p);
    da = client_of(&p, -1);
    r = make_region(da, 0);
    EXPECT_FAILURE(-ETIMEDOUT, "diskalloc_region_resize", diskalloc_region_resize(r, 5000));
    assert_int_equal(diskalloc_region_resize(r, 5000), 0);
    diskalloc_region_close(r);
    diskalloc_close(da);
    play_end(&p);
    assert_string_equal(p.seen, "HCGHAGATATGD");
}

static void one_region_with_an_error_keeps_no_other_from_being_attached(void **state)
{
    // two regions; of the first the disk can't be read
    struct play p = {.connections = {"...x", ".i...uiu.."}};
    struct diskalloc_region *bad, *good;
    struct diskalloc *da;

    (void)state;
    play_start(&p);
    da = client_of(&p, -1);
    bad = make_region(da, 0);
    good = make_region(da, 0);
    lose_connection(da);
    assert_int_equal(diskalloc_region_resize(good, 5000), 0);
    EXPECT_FAILURE(-EIO, "diskalloc_region_resize", diskalloc_region_resize(bad, 6000));
    assert_int_equal(diskalloc_region_resize(bad, 6000), 0);
    diskalloc_region_close(bad);
    diskalloc_region_close(good);
    diskalloc_close(da);
    play_end(&p);
    assert_string_equal(p.seen, "HCCQHAAQGGAGAGDD");
}

static void a_region_without_an_answer_keeps_no_other_from_being_attached(void **state)
{
    struct play p = {.connections = {"...x", ".-.."}};
    struct diskalloc_region *bad, *good;
    struct diskalloc *da;
    uint64_t began;

    (void)state;
    play_start(&p);
    da = client_of(&p, -1);
    bad = make_region(da, 0);
    good = make_region(da, 0);
    began = clock_now();
    lose_connection(da);
    assert_true(clock_now() - began < 20000);
    assert_int_equal(diskalloc_region_resize(good, 5000), 0);
    diskalloc_region_close(bad);
    diskalloc_region_close(good);
    diskalloc_close(da);
    play_end(&p);
    assert_string_equal(p.seen, "HCCQHAAQGDD");
}

static void a_shortage_of_the_daemon_passes(void **state)
{
    struct play p = {.connections = {"...x", ".mm", ".m."}};
    struct diskalloc_region *one, *two;
    struct diskalloc *da;

    (void)state;
    play_start(&p);
    da = client_of(&p, -1);
    one = make_region(da, 0);
    two = make_region(da, 0);
    lose_connection(da);
    diskalloc_region_close(one);
    diskalloc_region_close(two);
    diskalloc_close(da);
    play_end(&p);
    assert_string_equal(p.seen, "HCCQHAAHAAQDD");
}

// As when the spill disk was not mounted when the daemon started.
static void a_region_that_one_daemon_did_not_know_is_tried_with_the_next(void **state)
{
    struct play p = {.connections = {"..x", ".nnx", ""}};
    struct diskalloc_region *r;
    struct diskalloc *da;

    (void)state;
    play_start(&p);
    da = client_of(&p, -1);
    r = make_region(da, 0);
    EXPECT_FAILURE(-ESTALE, "diskalloc_region_resize", diskalloc_region_resize(r, 5000));
    EXPECT_FAILURE(-ESTALE, "diskalloc_region_resize", diskalloc_region_resize(r, 5000));
    lose_connection(da);
    assert_int_equal(diskalloc_region_resize(r, 5000), 0);
    diskalloc_region_close(r);
    diskalloc_close(da);
    play_end(&p);
    assert_string_equal(p.seen, "HCGHAGQHAQTGD");
}

// ---- A program that changes its user ----

static void become(uid_t uid)
{
    NEED(seteuid(0) == 0 && seteuid(uid) == 0);
}

static void change_user(struct actor *self, void *address)
{
    struct diskalloc_region *first = NULL, *second = NULL;
    struct diskalloc_region_options o = DISKALLOC_REGION_OPTIONS_INIT;
    struct diskalloc_usage u;
    struct diskalloc *da = NULL;

    o.flags = DISKALLOC_REGION_CREATE;
    become(FIRST_USER);
    NEED(diskalloc_open(address, NULL, &da) == 0);
    NEED(diskalloc_region_open(da, "of-the-first", &o, &first) == 0);
    NEED(diskalloc_region_create(da, NULL, &second) == 0);
    become(SECOND_USER);
    NEED(diskalloc_region_resize(first, 10000) == 0); // the connection has the first one's rights
    actor_next(self);
    // another daemon by now
    NEED(diskalloc_get_usage(da, NULL, &u, sizeof u) == 0 && u.bytes == 0);
    NEED(diskalloc_region_resize(first, 20000) == -EACCES);
    NEED(diskalloc_region_resize(second, 20000) == -EACCES);
    memset(diskalloc_region_data(first), 1, 10000);
    become(FIRST_USER);
    NEED(diskalloc_region_resize(first, 20000) == 0);
    memset(diskalloc_region_data(first), 1, 20000);
    NEED(diskalloc_region_resize(second, 20000) == 0);
    diskalloc_region_close(first);
    diskalloc_region_close(second);
    NEED(diskalloc_region_unlink(da, "of-the-first") == 0);
    diskalloc_close(da);
}

static void a_program_that_was_another_user_when_it_reconnected_attaches_its_regions_later(void **state)
{
    struct test_backend b;
    struct actor a;

    (void)state;
    if (geteuid() != 0) {
        skip();
        return;
    }
    backend_start(&b, true, NULL, NULL);
    actor_start(&a, change_user, b.address, (uid_t)-1);
    actor_await(&a);
    test_daemon_kill(&b.daemon, SIGKILL);
    test_daemon_restart(&b.daemon);
    actor_go(&a);
    actor_finish(&a);
    backend_stop(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_region_that_was_refused_is_attached_when_it_is_asked_for),
        TEST(a_refusal_is_said_and_the_next_call_tries_again),
        TEST(a_region_on_a_disk_that_does_not_answer_is_attached_when_it_does),
        TEST(one_region_with_an_error_keeps_no_other_from_being_attached),
        TEST(a_region_without_an_answer_keeps_no_other_from_being_attached),
        TEST(a_shortage_of_the_daemon_passes),
        TEST(a_region_that_one_daemon_did_not_know_is_tried_with_the_next),
        TEST(a_program_that_was_another_user_when_it_reconnected_attaches_its_regions_later),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
