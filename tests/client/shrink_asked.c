// A shrink of a region that others have attached: they are asked, and never cut without their word.
#include "tests/lib/actor.h"
#include "tests/lib/sharing_scene.h"

#include <poll.h>

#include "proto/util/clock.h"

static void a_region_is_cut_when_the_others_agree(struct test_backend *b)
{
    for (int read_only = 0; read_only < 2; read_only++) {
        struct pair p;
        struct cut c;

        pair_open(&p, b, read_only ? DISKALLOC_REGION_READ_ONLY : 0);
        assert_int_equal(diskalloc_region_commit(p.a, SIZE, 1, 0), 0);
        cut_begin(&c, p.a, LESS, -1);
        expect_event(p.theirs, p.b, DISKALLOC_EVENT_SHRINK_ASKED, LESS);
        assert_int_equal(diskalloc_region_size(p.b), SIZE); // the program decides
        assert_int_equal(*((char *)diskalloc_region_data(p.b) + SIZE - 1), 5);
        assert_int_equal(diskalloc_region_refresh(p.b), 1);
        assert_int_equal(diskalloc_region_size(p.b), LESS);
        assert_int_equal(diskalloc_region_used(p.b), LESS);
        assert_true(has_access(p.b, LESS - 1));
        assert_false(has_access(p.b, LESS));
        assert_int_equal(cut_end(&c), 0);
        assert_int_equal(diskalloc_region_size(p.a), LESS);
        assert_true(read_only || usage_of(p.mine).bytes == LESS);
        expect_event(p.theirs, p.b, DISKALLOC_EVENT_REGION_RESIZED, LESS);
        assert_int_equal(diskalloc_region_refresh(p.b), 0);
        // It grows again, with zeros.
        assert_int_equal(diskalloc_region_resize(p.a, SIZE), 0);
        assert_int_equal(diskalloc_region_refresh(p.b), 1);
        assert_int_equal(diskalloc_region_size(p.b), SIZE);
        assert_int_equal(*((char *)diskalloc_region_data(p.b) + LESS), 0);
        assert_int_equal(*((char *)diskalloc_region_data(p.b) + LESS - 1), 5);
        pair_close(&p);
    }
}
WITH_A_DAEMON(a_region_is_cut_when_the_others_agree)

static void *refresh_main(void *data)
{
    assert_int_equal(diskalloc_region_refresh(data), 1);
    return NULL;
}

static bool has_lost_access(void *data)
{
    return !has_access(data, LESS);
}

// The daemon is stopped, and could not know of an agreement.
static void the_access_goes_before_the_daemon_is_told(struct test_backend *b)
{
    pthread_t refresher;
    struct pair p;
    struct cut c;

    pair_open(&p, b, 0);
    cut_begin(&c, p.a, LESS, -1);
    expect_event(p.theirs, p.b, DISKALLOC_EVENT_SHRINK_ASKED, LESS);
    test_daemon_halt(&b->daemon);
    assert_int_equal(pthread_create(&refresher, NULL, refresh_main, p.b), 0);
    test_wait_until(has_lost_access, p.b, 30, "the access to what may be cut has gone");
    test_daemon_go_on(&b->daemon);
    assert_int_equal(pthread_join(refresher, NULL), 0);
    assert_int_equal(cut_end(&c), 0);
    pair_close(&p);
}
WITH_A_DAEMON(the_access_goes_before_the_daemon_is_told)

static void without_agreement_the_shrink_is_refused_after_a_second(struct test_backend *b)
{
    uint64_t before;
    struct pair p;

    pair_open(&p, b, 0);
    before = clock_now();
    EXPECT_FAILURE(-EBUSY, "diskalloc_region_resize", diskalloc_region_resize(p.a, LESS));
    assert_true(!b->remote || clock_now() - before >= 900);
    assert_true(!b->remote || strstr(diskalloc_last_error(), "not all of them agreed"));
    assert_int_equal(diskalloc_region_size(p.a), SIZE);
    assert_true(has_access(p.a, SIZE - 1));
    // The question may be there before its end is.
    while (diskalloc_region_refresh(p.b) != 0)
        continue;
    if (b->remote)
        expect_end_of_ask(p.theirs, p.b);
    while (diskalloc_region_refresh(p.b) != 0)
        continue;
    assert_int_equal(diskalloc_region_size(p.b), SIZE);
    assert_int_equal(*((char *)diskalloc_region_data(p.b) + SIZE - 1), 5);
    pair_close(&p);
}
FOR_EACH_BACKEND(without_agreement_the_shrink_is_refused_after_a_second)

// A third one does not agree: the second one, who has, gets access back.
static void who_agreed_in_vain_gets_access_back(struct test_backend *b)
{
    struct diskalloc_region *third_region = NULL;
    struct diskalloc *third = NULL;
    struct pair p;
    struct cut c;

    pair_open(&p, b, 0);
    assert_int_equal(diskalloc_open(b->address, NULL, &third), 0);
    assert_int_equal(open_named(third, "shared", 0, 0, &third_region), 0);
    cut_begin(&c, p.a, LESS, 500);
    expect_event(p.theirs, p.b, DISKALLOC_EVENT_SHRINK_ASKED, LESS);
    assert_int_equal(diskalloc_region_refresh(p.b), 1);
    assert_false(has_access(p.b, LESS));
    for (int i = 0; i < 10; i++) { // whatever the daemon says of the size meanwhile
        assert_int_equal(diskalloc_region_commit(p.b, 80, 8, 0), 0);
        assert_int_equal(diskalloc_region_refresh(p.b), 0);
        assert_int_equal(diskalloc_region_size(p.b), LESS);
        assert_false(has_access(p.b, LESS));
    }
    assert_int_equal(cut_end(&c), -EBUSY);
    expect_event(p.theirs, p.b, DISKALLOC_EVENT_REGION_RESIZED, SIZE);
    assert_int_equal(diskalloc_region_refresh(p.b), 1);
    assert_int_equal(diskalloc_region_size(p.b), SIZE);
    assert_int_equal(*((char *)diskalloc_region_data(p.b) + SIZE - 1), 5);
    diskalloc_region_close(third_region);
    diskalloc_close(third);
    pair_close(&p);
}
WITH_A_DAEMON(who_agreed_in_vain_gets_access_back)

static void who_agreed_and_resizes_takes_it_back(struct test_backend *b)
{
    struct diskalloc_region *third_region = NULL;
    struct diskalloc *third = NULL;
    struct pair p;
    struct cut c;

    pair_open(&p, b, 0);
    assert_int_equal(diskalloc_open(b->address, NULL, &third), 0);
    assert_int_equal(open_named(third, "shared", 0, 0, &third_region), 0);
    cut_begin(&c, p.a, LESS, 1000);
    expect_event(p.theirs, p.b, DISKALLOC_EVENT_SHRINK_ASKED, LESS);
    assert_int_equal(diskalloc_region_refresh(p.b), 1);
    assert_int_equal(diskalloc_region_resize(p.b, 2 * SIZE), 0);
    assert_int_equal(diskalloc_region_size(p.b), 2 * SIZE);
    assert_true(has_access(p.b, 2 * SIZE - 1));
    assert_int_equal(cut_end(&c), -EBUSY);
    assert_int_equal(diskalloc_region_refresh(p.a), 1);
    diskalloc_region_close(third_region);
    diskalloc_close(third);
    pair_close(&p);
}
WITH_A_DAEMON(who_agreed_and_resizes_takes_it_back)

static void who_closes_need_not_agree(struct test_backend *b)
{
    struct pair p;
    struct cut c;

    pair_open(&p, b, 0);
    cut_begin(&c, p.a, LESS, -1);
    expect_event(p.theirs, p.b, DISKALLOC_EVENT_SHRINK_ASKED, LESS);
    diskalloc_region_close(p.b);
    p.b = NULL;
    assert_int_equal(cut_end(&c), 0);
    pair_close(&p);
}
WITH_A_DAEMON(who_closes_need_not_agree)

// Both regions of the second client have to give the bytes up.
static void each_region_of_a_client_agrees_for_itself(struct test_backend *b)
{
    struct diskalloc_region *twin = NULL;
    struct pair p;
    struct cut c;

    pair_open(&p, b, 0);
    assert_int_equal(open_named(p.theirs, "shared", 0, DISKALLOC_REGION_READ_ONLY, &twin), 0);
    cut_begin(&c, p.a, LESS, -1);
    expect_event(p.theirs, p.b, DISKALLOC_EVENT_SHRINK_ASKED, LESS);
    assert_int_equal(diskalloc_region_refresh(p.b), 1);
    usage_of(p.theirs); // an agreement would be there by now
    assert_int_equal(usage_of(p.mine).bytes, SIZE);
    assert_true(has_access(twin, SIZE - 1));
    assert_int_equal(diskalloc_region_refresh(twin), 1);
    assert_int_equal(cut_end(&c), 0);
    assert_false(has_access(twin, LESS));
    diskalloc_region_close(twin);
    pair_close(&p);
}
WITH_A_DAEMON(each_region_of_a_client_agrees_for_itself)

// Refreshes the region when it is told to, while a child of its own maps the region and after that.
static void refresh_with_a_child(struct actor *self, void *data)
{
    struct diskalloc_region *r = NULL;
    struct diskalloc *da = NULL;
    int ends[2], status;
    pid_t child;
    char c;

    actor_wait(self);
    NEED(diskalloc_open(data, NULL, &da) == 0 && pipe(ends) == 0);
    NEED(open_named(da, "shared", 0, 0, &r) == 0);
    child = fork();
    NEED(child >= 0);
    if (child == 0) {
        close(ends[1]);
        NEED(read(ends[0], &c, 1) == 0);
        NEED(*((volatile char *)diskalloc_region_data(r) + SIZE - 1) == 5);
        _exit(0);
    }
    close(ends[0]);
    actor_next(self);
    expect_event(da, r, DISKALLOC_EVENT_SHRINK_ASKED, LESS);
    NEED(diskalloc_region_refresh(r) == 0);
    NEED(diskalloc_region_size(r) == SIZE && has_access(r, SIZE - 1));
    actor_next(self); // the time has passed
    close(ends[1]);
    NEED(waitpid(child, &status, 0) == child && status == 0);
    expect_event(da, r, DISKALLOC_EVENT_REGION_RESIZED, SIZE);
    actor_next(self);
    expect_event(da, r, DISKALLOC_EVENT_SHRINK_ASKED, LESS);
    NEED(diskalloc_region_refresh(r) == 1);
    NEED(diskalloc_region_size(r) == LESS);
    actor_next(self);
    diskalloc_region_close(r);
    diskalloc_close(da);
    actor_done(self);
}

static void a_process_does_not_agree_for_its_children(struct test_backend *b)
{
    struct diskalloc_region *r = NULL;
    struct actor other;
    struct cut c;

    actor_start(&other, refresh_with_a_child, b->address, (uid_t)-1);
    assert_int_equal(open_named(b->da, "shared", SIZE, DISKALLOC_REGION_CREATE, &r), 0);
    memset(diskalloc_region_data(r), 5, SIZE);
    actor_go(&other);
    actor_await(&other);
    cut_begin(&c, r, LESS, 1000);
    actor_go(&other);
    actor_await(&other);
    assert_int_equal(cut_end(&c), -EBUSY);
    actor_go(&other);
    actor_await(&other);
    cut_begin(&c, r, LESS, -1);
    actor_go(&other);
    actor_await(&other);
    assert_int_equal(cut_end(&c), 0);
    actor_go(&other);
    actor_await(&other);
    actor_finish(&other);
    diskalloc_region_close(r);
    assert_int_equal(diskalloc_region_unlink(b->da, "shared"), 0);
}
WITH_A_DAEMON(a_process_does_not_agree_for_its_children)

static void hold_and_leave(struct actor *self, void *data)
{
    struct diskalloc_region *r = NULL;
    struct diskalloc *da = NULL;

    actor_wait(self);
    NEED(diskalloc_open(data, NULL, &da) == 0);
    NEED(open_named(da, "shared", 0, 0, &r) == 0);
    actor_next(self);
    diskalloc_region_close(r);
    diskalloc_close(da);
    actor_done(self);
}

// Only the marks tell that nobody is left of those who have gone.
static void who_has_left_does_not_stand_in_the_way(struct test_backend *b)
{
    struct actor other;
    struct pair p;
    struct cut c;

    actor_start(&other, hold_and_leave, b->address, (uid_t)-1);
    pair_open(&p, b, 0);
    actor_go(&other);
    actor_await(&other);
    actor_go(&other);
    actor_await(&other);
    actor_finish(&other);
    cut_begin(&c, p.a, LESS, -1);
    expect_event(p.theirs, p.b, DISKALLOC_EVENT_SHRINK_ASKED, LESS);
    assert_int_equal(diskalloc_region_refresh(p.b), 1);
    assert_int_equal(cut_end(&c), 0);
    pair_close(&p);
}
WITH_A_DAEMON(who_has_left_does_not_stand_in_the_way)

// Leaves a child behind that maps the region, and ends without a word.
static void leave_a_child_behind(struct actor *self, void *data)
{
    struct diskalloc_region *r = NULL;
    struct diskalloc *da = NULL;
    pid_t child;

    actor_wait(self);
    NEED(diskalloc_open(data, NULL, &da) == 0);
    NEED(open_named(da, "shared", 0, 0, &r) == 0);
    child = fork();
    NEED(child >= 0);
    if (child == 0) {
        prctl(PR_SET_PDEATHSIG, 0);
        actor_next(self); // to the test: the parent has gone
        NEED(*((volatile char *)diskalloc_region_data(r) + SIZE - 1) == 5);
        actor_done(self);
        _exit(0);
    }
    diskalloc_region_close(r);
    diskalloc_close(da);
    _exit(0);
}

static void a_child_that_was_left_behind_cannot_be_asked(struct test_backend *b)
{
    struct actor other;
    struct pair p;
    struct cut c;

    actor_start(&other, leave_a_child_behind, b->address, (uid_t)-1);
    pair_open(&p, b, 0);
    actor_go(&other);
    actor_await(&other);
    cut_begin(&c, p.a, LESS, 1500);
    expect_event(p.theirs, p.b, DISKALLOC_EVENT_SHRINK_ASKED, LESS);
    assert_int_equal(diskalloc_region_refresh(p.b), 1);
    assert_int_equal(cut_end(&c), -EBUSY);
    expect_event(p.theirs, p.b, DISKALLOC_EVENT_REGION_RESIZED, SIZE);
    assert_int_equal(diskalloc_region_refresh(p.b), 1);
    assert_int_equal(*((char *)diskalloc_region_data(p.b) + SIZE - 1), 5);
    actor_go(&other);
    actor_await(&other);
    actor_kill(&other);
    pair_close(&p);
}
WITH_A_DAEMON(a_child_that_was_left_behind_cannot_be_asked)

static void a_daemon_that_ends_while_it_asks_changes_nothing(struct test_backend *b)
{
    struct pair p;
    struct cut c;

    pair_open(&p, b, 0);
    cut_begin(&c, p.a, LESS, -1);
    expect_event(p.theirs, p.b, DISKALLOC_EVENT_SHRINK_ASKED, LESS);
    test_daemon_kill(&b->daemon, SIGKILL);
    test_daemon_restart(&b->daemon);
    for (int i = 0; i < 1000 && diskalloc_region_size(p.b) != LESS; i++) {
        diskalloc_region_refresh(p.b);
        poll(NULL, 0, 5);
    }
    // The second daemon asked as well, or refused since it could not tell who maps the region.
    if (cut_end(&c) == 0) {
        assert_int_equal(diskalloc_region_size(p.a), LESS);
        assert_true(diskalloc_region_refresh(p.b) >= 0);
        assert_int_equal(diskalloc_region_size(p.b), LESS);
    } else {
        assert_true(diskalloc_region_refresh(p.b) >= 0);
        assert_int_equal(diskalloc_region_size(p.b), SIZE);
        assert_int_equal(*((char *)diskalloc_region_data(p.b) + SIZE - 1), 5);
    }
    pair_close(&p);
}
WITH_A_DAEMON(a_daemon_that_ends_while_it_asks_changes_nothing)

// Reads and writes all that it has, again and again, and agrees to whatever it is asked.
static void *follow(void *data)
{
    struct pair *p = data;
    struct diskalloc_event e;
    uint64_t sum = 0;

    while (diskalloc_region_size(p->b) != 3 * SIZE) {
        volatile char *bytes = diskalloc_region_data(p->b);
        uint64_t size = diskalloc_region_size(p->b);

        for (uint64_t i = 0; i < size; i += 4096)
            sum += (unsigned char)bytes[i]++;
        while (diskalloc_next_event(p->theirs, &e, sizeof e) == 1)
            continue;
        NEED(diskalloc_region_refresh(p->b) >= 0);
    }
    return (void *)(uintptr_t)(sum + 1);
}

static void a_follower_survives_many_cuts(struct test_backend *b)
{
    unsigned n_cut = 0;
    pthread_t follower;
    struct pair p;

    pair_open(&p, b, 0);
    assert_int_equal(pthread_create(&follower, NULL, follow, &p), 0);
    for (int i = 0; i < 100; i++) {
        int r = diskalloc_region_resize(p.a, i % 2 ? 2 * SIZE : (uint64_t)(i + 1) * 4096);

        assert_true(r == 0 || (r == -EBUSY && i % 2 == 0));
        n_cut += r == 0;
    }
    assert_true(n_cut > 90);
    assert_int_equal(diskalloc_region_resize(p.a, 3 * SIZE), 0);
    pthread_join(follower, NULL);
    assert_int_equal(usage_of(p.mine).bytes, 3 * SIZE);
    pair_close(&p);
}
WITH_A_DAEMON(a_follower_survives_many_cuts)

int main(void)
{
    const struct CMUnitTest tests[] = {
        ONE(a_region_is_cut_when_the_others_agree),
        ONE(the_access_goes_before_the_daemon_is_told),
        EACH_BACKEND(without_agreement_the_shrink_is_refused_after_a_second),
        ONE(who_agreed_in_vain_gets_access_back),
        ONE(who_agreed_and_resizes_takes_it_back),
        ONE(who_closes_need_not_agree),
        ONE(each_region_of_a_client_agrees_for_itself),
        ONE(a_process_does_not_agree_for_its_children),
        ONE(who_has_left_does_not_stand_in_the_way),
        ONE(a_child_that_was_left_behind_cannot_be_asked),
        ONE(a_daemon_that_ends_while_it_asks_changes_nothing),
        ONE(a_follower_survives_many_cuts),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
