// Operations on regions with a disk that fails: whichever call fails, with whichever error, the region, its file and
// all accounts are as before, nothing leaks, and the next try works.
#include "tests/lib/op_fixture.h"

static void a_create_that_fails_anywhere_leaves_nothing(void **state)
{
    struct fixture f;

    (void)state;
    fixture_init(&f);
    for (int nth = 1; nth <= 3; nth++)
        FOR_EACH_FAULT(kind, error)
        {
            struct region *r;
            int result;

            inject(kind, nth, error);
            result = create(&f, "", 100000, &r);
            fault_kind = NO_FAULT;
            assert_int_equal(result, n_faults ? told(error) : 0);
            if (result == 0) {
                bool gone = false;
                struct op op;

                peer_detach(&f.peer, holders_find(&r->holders, &f.peer));
                op_init(&op, &f.env, &op_reap, r);
                op.done = set_done;
                op.owner = &gone;
                op_submit(&op);
                turn_until(&f, &gone);
                assert_int_equal(op.result, 0);
            }
            expect_consistent(&f, 0, 0);
        }
    fixture_deinit(&f);
}

static void a_grow_that_fails_anywhere_changes_nothing_and_works_the_next_time(void **state)
{
    struct fixture f;
    struct region *r;

    (void)state;
    fixture_init(&f);
    assert_int_equal(create(&f, "", 5000, &r), 0);
    for (int nth = 1; nth <= 3; nth++)
        FOR_EACH_FAULT(kind, error)
        {
            int result;

            inject(kind, nth, error);
            result = resize(&f, r, 3000000);
            fault_kind = NO_FAULT;
            assert_int_equal(result, n_faults ? told(error) : 0);
            assert_int_equal(r->size, result == 0 ? 3000000 : 5000);
            expect_consistent(&f, result == 0 ? 3002368 : 8192, 1);
            assert_int_equal(resize(&f, r, 3000000), 0);
            assert_int_equal(resize(&f, r, 5000), 0);
            expect_consistent(&f, 8192, 1);
        }
    fixture_deinit(&f);
}

static void blocks_of_a_failed_grow_are_given_back(void **state)
{
    struct fixture f;
    struct region *r;
    struct stat st;
    int fd;

    (void)state;
    fixture_init(&f);
    assert_int_equal(create(&f, "", 4096, &r), 0);
    inject(ALLOCATE, 1, ENOSPC);
    assert_int_equal(resize(&f, r, 64 << 20), -ENOSPC);
    fd = store_open_file(f.disk.store, OWNER, &r->record.handle, O_RDONLY);
    assert_int_equal(fstat(fd, &st), 0);
    assert_true(st.st_blocks * 512 <= 64 * 1024);
    close(fd);
    fixture_deinit(&f);
}

static uint64_t used_on_disk(struct fixture *f, const struct region *r)
{
    int fd = store_open_file(f->disk.store, OWNER, &r->record.handle, O_RDONLY);
    struct record record;

    assert_int_equal(record_load(&file_ops_system, fd, &record), 0);
    close(fd);
    return record.used;
}

static void a_shrink_commit_open_or_unlink_that_fails_changes_nothing(void **state)
{
    struct fixture f;
    struct region *r;

    (void)state;
    fixture_init(&f);
    assert_int_equal(create(&f, "kept", 1 << 20, &r), 0);
    assert_int_equal(commit(&f, r, 800, true), 0);
    for (int nth = 1; nth <= 2; nth++)
        FOR_EACH_FAULT(kind, error)
        {
            struct op op;
            int result;

            inject(kind, nth, error);
            result = resize(&f, r, 4096);
            fault_kind = NO_FAULT;
            assert_int_equal(result, n_faults ? told(error) : 0);
            assert_int_equal(r->size, result == 0 ? 4096 : 1 << 20);
            expect_consistent(&f, r->size, 1);
            if (result == 0)
                assert_int_equal(resize(&f, r, 1 << 20), 0);

            inject(kind, nth, error);
            result = commit(&f, r, 1600, true);
            fault_kind = NO_FAULT;
            assert_int_equal(result, n_faults ? told(error) : 0);
            assert_int_equal(r->record.used, result == 0 ? 1600 : 800);
            assert_int_equal(used_on_disk(&f, r), r->record.used);
            assert_int_equal(commit(&f, r, 800, false), 0);

            inject(kind, nth, error);
            result = open_it(&f, r);
            fault_kind = NO_FAULT;
            assert_int_equal(result, n_faults ? told(error) : 0);

            if (kind != OPEN && kind != SET_XATTR)
                continue;
            inject(kind, 1, error);
            op_init(&op, &f.env, &op_unlink, r);
            assert_int_equal(run_op(&f, &op), told(error));
            fault_kind = NO_FAULT;
            assert_ptr_equal(region_find_name(&f.regions, OWNER, "kept", 4), r);
        }
    fixture_deinit(&f);
}

static void a_removal_that_fails_keeps_the_charge_until_it_works(void **state)
{
    struct fixture f;
    struct region *r;
    struct op op;

    (void)state;
    fixture_init(&f);
    assert_int_equal(create(&f, "", 1 << 20, &r), 0);
    peer_detach(&f.peer, holders_find(&r->holders, &f.peer));
    inject(UNLINK, 1, EIO);
    op_init(&op, &f.env, &op_reap, r);
    assert_int_equal(run_op(&f, &op), -EIO);
    fault_kind = NO_FAULT;
    assert_int_equal(charged(&f), 1 << 20); // the file is empty already
    op_init(&op, &f.env, &op_reap, r);
    assert_int_equal(run_op(&f, &op), 0);
    expect_consistent(&f, 0, 0);
    fixture_deinit(&f);
}

static void a_region_that_somebody_maps_is_not_removed(void **state)
{
    struct fixture f;
    struct region *r;
    struct op op;
    int fd;

    (void)state;
    fixture_init(&f);
    assert_int_equal(create(&f, "", 1 << 20, &r), 0);
    peer_detach(&f.peer, holders_find(&r->holders, &f.peer));
    for (int flags = O_RDONLY; flags <= O_RDWR; flags += O_RDWR - O_RDONLY) {
        fd = store_open_file(f.disk.store, OWNER, &r->record.handle, flags);
        assert_true(fd >= 0);
        op_init(&op, &f.env, &op_reap, r);
        assert_int_equal(run_op(&f, &op), -EBUSY);
        close(fd);
    }
    expect_consistent(&f, 1 << 20, 1);
    op_init(&op, &f.env, &op_reap, r);
    assert_int_equal(run_op(&f, &op), 0);
    fixture_deinit(&f);
}

static void operations_behind_a_removal_find_no_region(void **state)
{
    struct fixture f;
    struct region *r;
    struct op reap, late;
    bool reaped = false, answered = false;

    (void)state;
    fixture_init(&f);
    assert_int_equal(create(&f, "", 1 << 20, &r), 0);
    peer_detach(&f.peer, holders_find(&r->holders, &f.peer));
    op_init(&reap, &f.env, &op_reap, r);
    reap.done = set_done;
    reap.owner = &reaped;
    op_init(&late, &f.env, &op_open, r);
    late.done = set_done;
    late.owner = &answered;
    op_submit(&reap);
    op_submit(&late);
    turn_until(&f, &answered);
    assert_true(reaped);
    assert_int_equal(late.result, -ENOENT);
    expect_consistent(&f, 0, 0);
    fixture_deinit(&f);
}

static void a_cancelled_grow_is_undone(void **state)
{
    struct fixture f;
    struct region *r;
    struct op op;

    (void)state;
    fixture_init(&f);
    assert_int_equal(create(&f, "", 4096, &r), 0);
    op_init(&op, &f.env, &op_grow, r);
    op.size = 3ull << 30;
    op.cancelled = true;
    assert_int_equal(run_op(&f, &op), -ECANCELED);
    expect_consistent(&f, 4096, 1);
    fixture_deinit(&f);
}

// Nothing else wakes the queue here: a grow that waits without end is tried again because something was given back.
static void a_release_wakes_an_operation_that_waits(void **state)
{
    const struct quota_limits limits = {.max = {1 << 20, QUOTA_UNLIMITED, QUOTA_UNLIMITED},
                                        .region_bytes = QUOTA_UNLIMITED,
                                        .warn_bytes = QUOTA_UNLIMITED};
    struct region *full, *small;
    bool ended = false;
    struct fixture f;
    struct op op;

    (void)state;
    fixture_init(&f);
    quota_account_set(quota_total(f.quota), "total", &limits);
    assert_int_equal(create(&f, "", 768 << 10, &full), 0);
    assert_int_equal(create(&f, "", 4096, &small), 0);
    op_init(&op, &f.env, &op_grow, small);
    op.size = 512 << 10;
    op.wait_deadline = UINT64_MAX;
    op.done = set_done;
    op.owner = &ended;
    op_submit(&op);
    assert_true(op.is_waiting);
    assert_int_equal(resize(&f, full, 4096), 0);
    turn_until(&f, &ended);
    assert_int_equal(op.result, 0);
    assert_int_equal(small->size, 512 << 10);
    fixture_deinit(&f);
}

// The alarm of the queue is set anew for the operations that still wait: nothing else wakes the queue here.
static void each_of_two_waiters_times_out(void **state)
{
    const struct quota_limits limits = {.max = {1 << 20, QUOTA_UNLIMITED, QUOTA_UNLIMITED},
                                        .region_bytes = QUOTA_UNLIMITED,
                                        .warn_bytes = QUOTA_UNLIMITED};
    bool ended[2] = {false, false};
    struct region *full, *small;
    struct op ops[2];
    struct fixture f;

    (void)state;
    fixture_init(&f);
    quota_account_set(quota_total(f.quota), "total", &limits);
    assert_int_equal(create(&f, "", 768 << 10, &full), 0);
    assert_int_equal(create(&f, "", 4096, &small), 0);
    for (int i = 0; i < 2; i++) {
        op_init(&ops[i], &f.env, &op_grow, small);
        ops[i].size = 512 << 10;
        ops[i].wait_deadline = clock_now() + 50 * ((uint64_t)i + 1);
        ops[i].done = set_done;
        ops[i].owner = &ended[i];
        op_submit(&ops[i]);
    }
    for (int i = 0; i < 2; i++) {
        turn_until(&f, &ended[i]);
        assert_int_equal(ops[i].result, -ETIMEDOUT);
    }
    fixture_deinit(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_create_that_fails_anywhere_leaves_nothing),
        TEST(a_grow_that_fails_anywhere_changes_nothing_and_works_the_next_time),
        TEST(blocks_of_a_failed_grow_are_given_back),
        TEST(a_shrink_commit_open_or_unlink_that_fails_changes_nothing),
        TEST(a_removal_that_fails_keeps_the_charge_until_it_works),
        TEST(a_region_that_somebody_maps_is_not_removed),
        TEST(operations_behind_a_removal_find_no_region),
        TEST(a_cancelled_grow_is_undone),
        TEST(a_release_wakes_an_operation_that_waits),
        TEST(each_of_two_waiters_times_out),
    };

    return cmocka_run_group_tests_name("op", tests, NULL, NULL);
}
