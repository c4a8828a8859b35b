// Operations with two disks: what one of them refuses does not concern the other.
#include "daemon/op/op_internal.h"
#include "tests/lib/two_disks.h"

enum { BLOCK = 4096, SIZE = 16 * BLOCK };

static void fill_up(struct disk *disk, uint64_t keep_free)
{
    disk->keep_free = keep_free;
    disk->ample = 0; // what the last answer left
}

static void a_region_that_one_disk_refuses_is_made_on_the_next(void **state)
{
    struct region *r;
    struct two_disks s;

    (void)state;
    two_disks_init(&s);
    assert_int_equal(create(&s.f, "first", SIZE, &r), 0);
    assert_ptr_equal(r->disk, &s.f.disk);
    fill_up(&s.f.disk, UINT64_MAX); // since it was asked
    assert_int_equal(create(&s.f, "second", SIZE, &r), 0);
    assert_ptr_equal(r->disk, &s.second);
    assert_int_equal(s.f.disk.granted.used[QUOTA_BYTES], SIZE);
    assert_int_equal(s.second.granted.used[QUOTA_BYTES], SIZE);
    fill_up(&s.second, UINT64_MAX);
    assert_int_equal(create(&s.f, "third", SIZE, &r), -ENOSPC);
    assert_int_equal(charged(&s.f), 2 * SIZE);
    two_disks_deinit(&s);
}

static void a_disk_that_fails_while_a_region_is_made_is_followed_by_the_next(void **state)
{
    struct region *r;
    struct two_disks s;

    (void)state;
    for (int i = 0; i < N_ERRORS; i++) {
        int n_of_one;

        if (errors[i] == EMFILE) // is the daemon's own
            continue;
        two_disks_init(&s);
        s.f.disk.next = NULL;
        inject(STAT_FS, 1, errors[i]);
        assert_int_equal(create(&s.f, "one", SIZE, &r), told(errors[i]));
        n_of_one = n_faults;
        s.f.disk.next = &s.second;
        inject(STAT_FS, 1, errors[i]);
        assert_int_equal(create(&s.f, "one", SIZE, &r), told(errors[i]));
        assert_int_equal(n_faults, 2 * n_of_one);
        inject(NO_FAULT, 0, 0);
        assert_int_equal(charged(&s.f), 0);
        two_disks_deinit(&s);
    }
}

static void a_problem_of_one_disk_stops_its_own_regions_only(void **state)
{
    struct region *first, *second, *third;
    struct two_disks s;

    (void)state;
    two_disks_init(&s);
    assert_int_equal(create(&s.f, "first", SIZE, &first), 0);
    s.f.disk.problem = "it burns";
    assert_int_equal(create(&s.f, "second", SIZE, &second), 0);
    assert_ptr_equal(second->disk, &s.second);
    assert_int_equal(resize(&s.f, first, 2 * SIZE), -EIO);
    assert_int_equal(resize(&s.f, second, 2 * SIZE), 0);
    assert_int_equal(resize(&s.f, first, SIZE / 2), 0); // what is given back is taken
    s.f.disk.problem = NULL;
    assert_int_equal(resize(&s.f, first, 2 * SIZE), 0);
    s.f.disk.problem = s.second.problem = "all burns";
    assert_int_equal(create(&s.f, "third", SIZE, &third), -EIO);
    two_disks_deinit(&s);
}

struct waiting {
    struct op op;
    bool done;
};

// A grow that has waited for a disk keeps others from taking what it waits for there, and nowhere else.
static void who_waits_for_one_disk_holds_back_nobody_on_the_other(void **state)
{
    struct waiting w = {0};
    struct store_space space;
    struct region *first, *second, *third;
    struct two_disks s;
    struct op op;

    (void)state;
    two_disks_init(&s);
    assert_int_equal(create(&s.f, "first", SIZE, &first), 0);
    assert_int_equal(create(&s.f, "third", SIZE, &third), 0);
    fill_up(&s.f.disk, UINT64_MAX);
    assert_int_equal(create(&s.f, "second", SIZE, &second), 0);
    assert_ptr_equal(second->disk, &s.second);
    op_init(&w.op, &s.f.env, &op_grow, first);
    w.op.size = 2 * SIZE;
    w.op.wait_deadline = UINT64_MAX;
    w.op.done = set_done;
    w.op.owner = &w.done;
    assert_int_equal(store_space(s.f.disk.store, &space), 0);
    fill_up(&s.f.disk, space.total - 16UL * SIZE); // a limit that could be met
    op_submit(&w.op);
    while (!w.op.is_waiting && !w.done)
        assert_true(event_base_loop(s.f.base, EVLOOP_ONCE) >= 0);
    assert_true(w.op.is_waiting);
    w.op.wait_since -= 5000; // it has waited for long
    assert_int_equal(resize(&s.f, second, 2 * SIZE), 0);
    op_init(&op, &s.f.env, &op_grow, third);
    op.size = 2 * SIZE;
    assert_int_equal(run_op(&s.f, &op), -ENOSPC);
    op_cancel(&w.op);
    turn_until(&s.f, &w.done);
    two_disks_deinit(&s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_region_that_one_disk_refuses_is_made_on_the_next),
        TEST(a_disk_that_fails_while_a_region_is_made_is_followed_by_the_next),
        TEST(a_problem_of_one_disk_stops_its_own_regions_only),
        TEST(who_waits_for_one_disk_holds_back_nobody_on_the_other),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
