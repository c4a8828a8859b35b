// Operations on regions with a disk that fails: whatever call fails with whatever error, the region, its file and all
// accounts are as before, nothing leaks, and the next try works.
#include "daemon/op.h"

#include <errno.h>
#include <event2/event.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "daemon/alive.h"
#include "daemon/config.h"
#include "daemon/peer.h"
#include "daemon/store.h"
#include "daemon/user.h"
#include "daemon/wait.h"
#include "tests/harness.h"

enum { OWNER = 4242 };

// The next failure: the COUNTDOWN-th call from now of any kind that KIND allows.
enum fault_kind { NO_FAULT, OPEN, ALLOCATE, TRUNCATE, LINK, UNLINK, SET_XATTR, STAT_FS, SYNC, FAULT_KIND_N };
static _Atomic(enum fault_kind) fault_kind;
static _Atomic int fault_countdown, fault_error, n_faults;

// From the one meant on all fail: a full disk is still full when it is asked again.
static bool fails(enum fault_kind kind)
{
    if (fault_kind != kind || --fault_countdown > 0)
        return false;
    n_faults++;
    return true;
}

static int faulty_open_at(int dirfd, const char *path, int flags, mode_t mode)
{
    return fails(OPEN) ? -fault_error : file_ops_system.open_at(dirfd, path, flags, mode);
}

static int faulty_allocate(int fd, int mode, uint64_t offset, uint64_t length)
{
    // As a real one may: part of it is done before it fails.
    if (fails(ALLOCATE)) {
        file_ops_system.allocate(fd, mode, offset, length / 2 + 1);
        return -fault_error;
    }
    return file_ops_system.allocate(fd, mode, offset, length);
}

static int faulty_truncate(int fd, uint64_t size)
{
    return fails(TRUNCATE) ? -fault_error : file_ops_system.truncate(fd, size);
}

static int faulty_link_at(int fd, int dirfd, const char *path)
{
    return fails(LINK) ? -fault_error : file_ops_system.link_at(fd, dirfd, path);
}

static int faulty_unlink_at(int dirfd, const char *path, int flags)
{
    return fails(UNLINK) ? -fault_error : file_ops_system.unlink_at(dirfd, path, flags);
}

static int faulty_set_xattr(int fd, const char *name, const void *value, size_t size)
{
    return fails(SET_XATTR) ? -fault_error : file_ops_system.set_xattr(fd, name, value, size);
}

static int faulty_stat_fs(int fd, struct statvfs *ret)
{
    return fails(STAT_FS) ? -fault_error : file_ops_system.stat_fs(fd, ret);
}

static int no_sync_fs(int fd)
{
    (void)fd;
    return 0;
}

static int faulty_sync(int fd)
{
    return fails(SYNC) ? -fault_error : file_ops_system.sync(fd);
}

struct fixture {
    char dir[128];
    struct event_base *base;
    struct quota *quota;
    struct user_table *users;
    struct user *owner;
    struct region_table regions;
    struct op_env env;
    struct file_ops ops;
    struct peer peer;
};

static void no_wake(void *data, uint64_t at)
{
    (void)data;
    (void)at;
}

static void fixture_init(struct fixture *f)
{
    char *error = NULL;

    memset(f, 0, sizeof *f);
    fault_kind = NO_FAULT;
    snprintf(f->dir, sizeof f->dir, "%s/test-op.XXXXXX", test_base_dir());
    assert_non_null(mkdtemp(f->dir));
    f->ops = file_ops_system;
    f->ops.open_at = faulty_open_at;
    f->ops.allocate = faulty_allocate;
    f->ops.truncate = faulty_truncate;
    f->ops.link_at = faulty_link_at;
    f->ops.unlink_at = faulty_unlink_at;
    f->ops.set_xattr = faulty_set_xattr;
    f->ops.stat_fs = faulty_stat_fs;
    f->ops.sync = faulty_sync;
    f->ops.sync_fs = no_sync_fs;
    f->base = event_base_new();
    assert_int_equal(store_open(f->dir, false, &f->ops, &f->env.store, &error), 0);
    region_table_init(&f->regions, store_block_size(f->env.store));
    f->env.regions = &f->regions;
    f->quota = quota_new();
    assert_int_equal(worker_pool_new(f->base, 4, &f->env.pool), 0);
    assert_int_equal(user_table_new(f->env.pool, f->quota, &f->users), 0);
    assert_int_equal(alive_new(&f->env, no_wake, NULL, &f->env.alive), 0);
    assert_int_equal(wait_new(&f->env, no_wake, NULL, &f->env.wait), 0);
    f->owner = user_ref(f->users, OWNER);
    assert_non_null(f->owner);
    user_ref(f->users, OWNER); // the peer's
    peer_init(&f->peer, f->owner, 1);
}

static void turn_until(struct fixture *f, const bool *flag)
{
    while (!*flag)
        assert_true(event_base_loop(f->base, EVLOOP_ONCE) >= 0);
}

static void fixture_deinit(struct fixture *f)
{
    char command[200];
    struct region *r;

    peer_deinit(&f->peer, f->env.alive);
    assert_true(worker_pool_stop(f->env.pool, 10000));
    while ((r = region_next(&f->regions, NULL))) {
        assert_true(TAILQ_EMPTY(&r->ops));
        region_remove(&f->regions, r);
        r->orphaned = false;
        region_free(r);
    }
    user_unref(f->owner);
    alive_free(f->env.alive);
    wait_free(f->env.wait);
    worker_pool_free(f->env.pool);
    user_table_free(f->users);
    quota_free(f->quota); // asserts that every account is zero
    store_close(f->env.store);
    event_base_free(f->base);
    snprintf(command, sizeof command, "rm -rf %s", f->dir);
    assert_int_equal(system(command), 0);
}

static void set_done(struct op *op)
{
    *(bool *)op->owner = true;
}

// Runs it to its end; closes the fd it brought.
static int run_op(struct fixture *f, struct op *op)
{
    bool done = false;

    op->done = set_done;
    op->owner = &done;
    op_submit(op);
    turn_until(f, &done);
    if (op->fd >= 0)
        close(op->fd);
    return op->result;
}

static int create(struct fixture *f, const char *name, uint64_t size, struct region **ret)
{
    struct record record = {.owner_uid = OWNER, .mode = 0600, .name_length = (uint8_t)strlen(name)};
    struct op op;
    int r;

    memcpy(record.name, name, strlen(name) + 1);
    assert_int_equal(handle_random(&record.handle), 0);
    *ret = region_add(&f->regions, &record, f->owner);
    op_init(&op, &f->env, &op_create, *ret);
    op.size = size;
    r = run_op(f, &op);
    if (r < 0)
        return r;
    // It was an orphan for a moment, which nobody probed: alive_run is not called here.
    assert_int_equal(peer_attach(&f->peer, *ret, false), 0);
    alive_consider(f->env.alive, *ret);
    return 0;
}

static int resize(struct fixture *f, struct region *r, uint64_t size)
{
    struct op op;

    op_init(&op, &f->env, size > r->size ? &op_grow : &op_shrink, r);
    op.size = size;
    op.known_size = r->size;
    return run_op(f, &op);
}

static int commit(struct fixture *f, struct region *r, uint64_t used, bool durable)
{
    struct op op;

    op_init(&op, &f->env, &op_commit, r);
    op.size = used;
    op.element_size = 8;
    op.durable = durable;
    return run_op(f, &op);
}

static int open_it(struct fixture *f, struct region *r)
{
    struct op op;

    op_init(&op, &f->env, &op_open, r);
    return run_op(f, &op);
}

static uint64_t charged(struct fixture *f)
{
    return quota_account_used(quota_total(f->quota), QUOTA_BYTES);
}

static void expect_consistent(struct fixture *f, uint64_t expected_bytes, uint64_t expected_regions)
{
    assert_int_equal(charged(f), expected_bytes);
    assert_int_equal(quota_account_used(quota_total(f->quota), QUOTA_REGIONS), expected_regions);
    assert_int_equal(test_sum_sizes(f->dir), expected_bytes);
}

static void inject(enum fault_kind kind, int nth, int error)
{
    n_faults = 0;
    fault_error = error;
    fault_countdown = nth;
    fault_kind = kind;
}

static const int errors[] = {ENOSPC, EIO, EMFILE, EDQUOT};
enum { N_ERRORS = sizeof errors / sizeof *errors };

#define FOR_EACH_FAULT(kind, error)                                      \
    for (enum fault_kind kind = OPEN; kind < FAULT_KIND_N; kind++)       \
        for (int error##_i = 0, error = errors[0]; error##_i < N_ERRORS; \
             error##_i++, error = errors[error##_i % N_ERRORS])

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
            assert_int_equal(result, n_faults ? -error : 0);
            if (result == 0) {
                bool gone = false;
                struct op op;

                peer_detach(&f.peer, region_attachment(r, &f.peer));
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
            assert_int_equal(result, n_faults ? -error : 0);
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
    fd = store_open_file(f.env.store, OWNER, &r->record.handle, O_RDONLY);
    assert_int_equal(fstat(fd, &st), 0);
    assert_true(st.st_blocks * 512 <= 64 * 1024);
    close(fd);
    fixture_deinit(&f);
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
            assert_int_equal(result, n_faults ? -error : 0);
            assert_int_equal(r->size, result == 0 ? 4096 : 1 << 20);
            expect_consistent(&f, r->size, 1);
            if (result == 0)
                assert_int_equal(resize(&f, r, 1 << 20), 0);

            inject(kind, nth, error);
            result = commit(&f, r, 1600, true);
            fault_kind = NO_FAULT;
            assert_int_equal(result, n_faults ? -error : 0);
            assert_int_equal(r->record.used, result == 0 ? 1600 : 800);
            assert_int_equal(commit(&f, r, 800, false), 0);

            inject(kind, nth, error);
            result = open_it(&f, r);
            fault_kind = NO_FAULT;
            assert_int_equal(result, n_faults ? -error : 0);

            if (kind != OPEN && kind != SET_XATTR)
                continue;
            inject(kind, 1, error);
            op_init(&op, &f.env, &op_unlink, r);
            assert_int_equal(run_op(&f, &op), -error);
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
    peer_detach(&f.peer, region_attachment(r, &f.peer));
    inject(UNLINK, 1, EIO);
    op_init(&op, &f.env, &op_reap, r);
    assert_int_equal(run_op(&f, &op), -EIO);
    fault_kind = NO_FAULT;
    expect_consistent(&f, 1 << 20, 1);
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
    peer_detach(&f.peer, region_attachment(r, &f.peer));
    for (int flags = O_RDONLY; flags <= O_RDWR; flags += O_RDWR - O_RDONLY) {
        fd = store_open_file(f.env.store, OWNER, &r->record.handle, flags);
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
    peer_detach(&f.peer, region_attachment(r, &f.peer));
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

// What is charged is what is there, after each of many random operations with random failures.
static void charges_equal_files_after_any_sequence(void **state)
{
    enum { N = 12, STEPS = 4000 };
    struct region *regions[N] = {0};
    struct fixture f;
    unsigned seed = 20240229;

    (void)state;
    fixture_init(&f);
    for (int step = 0; step < STEPS; step++) {
        int i = rand_r(&seed) % N;
        uint64_t size = (uint64_t)rand_r(&seed) % (1 << 22), expected = 0, n = 0;

        if (rand_r(&seed) % 3 == 0)
            inject(OPEN + (enum fault_kind)(rand_r(&seed) % (FAULT_KIND_N - OPEN)), 1 + rand_r(&seed) % 2,
                   errors[rand_r(&seed) % N_ERRORS]);
        if (!regions[i]) {
            if (create(&f, "", size, &regions[i]) < 0)
                regions[i] = NULL;
        } else if (rand_r(&seed) % 5 == 0) {
            struct op op;

            peer_detach(&f.peer, region_attachment(regions[i], &f.peer));
            op_init(&op, &f.env, &op_reap, regions[i]);
            if (run_op(&f, &op) == 0)
                regions[i] = NULL;
            else
                assert_int_equal(peer_attach(&f.peer, regions[i], false), 0);
        } else
            resize(&f, regions[i], size);
        fault_kind = NO_FAULT;
        for (int k = 0; k < N; k++)
            if (regions[k]) {
                expected += (regions[k]->size + 4095) & ~4095ull;
                n++;
            }
        if (step % 50 == 0)
            expect_consistent(&f, expected, n);
        assert_int_equal(charged(&f), expected);
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
        TEST(charges_equal_files_after_any_sequence),
    };

    return cmocka_run_group_tests_name("op", tests, NULL, NULL);
}
