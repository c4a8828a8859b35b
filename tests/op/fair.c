// Fair shares of the workers: long operations go in pieces, and other operations run in between.
#include <semaphore.h>

#include "tests/lib/op_fixture.h"

#define LARGE (512 * GIB)

// A made-up disk of 512 GiB: blocks are granted by saying so.  The first piece of a long operation waits at the gate
// until the test has queued the operations that have to come in between.
static struct {
    _Atomic bool armed;
    sem_t reached, open;
    _Atomic uint64_t n_allocated, n_punched, n_truncated, largest, size;
    _Atomic int fail_at; // the nth allocation
} seam;

static void pass_the_gate(void)
{
    if (!atomic_exchange(&seam.armed, false))
        return;
    sem_post(&seam.reached);
    sem_wait(&seam.open);
}

static void note(uint64_t piece)
{
    if (piece > seam.largest)
        seam.largest = piece;
}

static int said_allocate(int fd, int mode, uint64_t offset, uint64_t length)
{
    struct stat st;

    pass_the_gate();
    note(length);
    *(mode & FALLOC_FL_PUNCH_HOLE ? &seam.n_punched : &seam.n_allocated) += 1;
    if (!(mode & FALLOC_FL_PUNCH_HOLE) && seam.fail_at > 0 && --seam.fail_at == 0)
        return -ENOSPC;
    if (mode != 0 || fstat(fd, &st) < 0 || offset + length <= (uint64_t)st.st_size)
        return 0;
    return file_ops_system.truncate(fd, offset + length);
}

static int noted_truncate(int fd, uint64_t size)
{
    struct stat st;

    pass_the_gate();
    if (fstat(fd, &st) == 0 && size < (uint64_t)st.st_size) {
        note((uint64_t)st.st_size - size);
        seam.n_truncated++;
    }
    return file_ops_system.truncate(fd, size);
}

static int ample_stat_fs(int fd, struct statvfs *ret)
{
    (void)fd;
    *ret =
        (struct statvfs){.f_frsize = 4096, .f_blocks = LARGE / 1024, .f_bfree = LARGE / 1024, .f_bavail = LARGE / 1024};
    return 0;
}

// With one worker, other operations come in between two pieces.
static void begin(struct fixture *f, struct region **large, struct region **small)
{
    fixture_init(f);
    assert_true(worker_pool_stop(f->env.pool, 10000));
    worker_pool_free(f->env.pool);
    assert_int_equal(worker_pool_new(f->base, 1, &f->env.pool), 0);
    memset(&seam, 0, sizeof seam);
    sem_init(&seam.reached, 0, 0);
    sem_init(&seam.open, 0, 0);
    f->ops.allocate = said_allocate;
    f->ops.truncate = noted_truncate;
    f->ops.stat_fs = ample_stat_fs;
    assert_int_equal(create(f, "large", 4096, large), 0);
    assert_int_equal(create(f, "small", 4096, small), 0);
}

static void forget_counts(void)
{
    seam.n_allocated = seam.n_punched = seam.n_truncated = seam.largest = 0;
}

struct job {
    struct op op;
    bool done;
    int order, *clock;
};

static void job_done(struct op *op)
{
    struct job *job = op->owner;

    job->done = true;
    job->order = ++*job->clock;
    if (op->fd >= 0)
        close(op->fd);
}

static void job_submit(struct job *job)
{
    job->op.done = job_done;
    job->op.owner = job;
    op_submit(&job->op);
}

// LARGE's operation is at its first piece when a commit of SMALL, of the same user, is queued: which is done first.
static int run_beside_another(struct fixture *f, struct job *large, struct region *small)
{
    struct job other = {0};
    int clock = 0;

    forget_counts();
    large->clock = other.clock = &clock;
    seam.armed = true;
    job_submit(large);
    sem_wait(&seam.reached);
    op_init(&other.op, &f->env, &op_commit, small);
    job_submit(&other);
    sem_post(&seam.open);
    turn_until(f, &large->done);
    turn_until(f, &other.done);
    assert_int_equal(other.op.result, 0);
    assert_true(other.order < large->order);
    return large->op.result;
}

static void init_resize(struct fixture *f, struct job *job, struct region *r, uint64_t size)
{
    *job = (struct job){0};
    op_init(&job->op, &f->env, size > r->size ? &op_grow : &op_shrink, r);
    job->op.size = size;
    job->op.known_size = r->size;
}

static void init_range(struct fixture *f, struct job *job, const struct op_type *type, struct region *r,
                       uint64_t offset, uint64_t length)
{
    *job = (struct job){0};
    op_init(&job->op, &f->env, type, r);
    job->op.offset = offset;
    job->op.length = length;
}

static void growing_and_shrinking_by_512_gib_go_in_pieces_between_which_others_work(void **state)
{
    struct region *large, *small;
    struct fixture f;
    struct job job;

    (void)state;
    begin(&f, &large, &small);
    init_resize(&f, &job, large, LARGE);
    assert_int_equal(run_beside_another(&f, &job, small), 0);
    assert_int_equal(seam.n_allocated, LARGE / GIB);
    assert_int_equal(seam.largest, GIB);
    init_resize(&f, &job, large, 0);
    assert_int_equal(run_beside_another(&f, &job, small), 0);
    assert_int_equal(seam.n_truncated, LARGE / GIB);
    assert_int_equal(seam.largest, GIB);
    expect_consistent(&f, 4096, 2);
    fixture_deinit(&f);
}

static void discarding_and_restoring_500_gib_go_in_pieces_between_which_others_work(void **state)
{
    struct region *large, *small;
    struct fixture f;
    struct job job;

    (void)state;
    begin(&f, &large, &small);
    if (!store_guarantee(f.disk.store)->can_discard) {
        fixture_deinit(&f);
        skip();
        return;
    }
    assert_int_equal(resize(&f, large, LARGE), 0);
    init_range(&f, &job, &op_discard, large, 3 * 4096, 500 * GIB);
    assert_int_equal(run_beside_another(&f, &job, small), 0);
    assert_in_range(seam.n_punched, 500, 501);
    assert_int_equal(seam.largest, GIB);
    assert_int_equal(charged(&f), 12 * GIB + 4096);
    init_range(&f, &job, &op_restore, large, 3 * 4096, 500 * GIB);
    assert_int_equal(run_beside_another(&f, &job, small), 0);
    assert_int_equal(seam.largest, GIB);
    assert_int_equal(charged(&f), LARGE + 4096);
    fixture_deinit(&f);
}

static void removing_512_gib_goes_in_pieces_between_which_others_work(void **state)
{
    struct region *large, *small;
    struct fixture f;
    struct job job = {0};

    (void)state;
    begin(&f, &small, &small);
    assert_int_equal(create(&f, "", LARGE, &large), 0);
    peer_detach(&f.peer, holders_find(&large->holders, &f.peer));
    op_init(&job.op, &f.env, &op_reap, large);
    assert_int_equal(run_beside_another(&f, &job, small), 0);
    assert_in_range(seam.n_truncated, LARGE / GIB - 1, LARGE / GIB);
    assert_int_equal(seam.largest, GIB);
    fixture_deinit(&f);
}

// The client of the grow has died: the granted bytes are given back, in pieces too.
static void a_grow_that_is_given_up_on_the_way_is_undone(void **state)
{
    struct region *large, *small;
    struct fixture f;
    struct stat st;
    struct job job;
    int clock = 0, fd;

    (void)state;
    begin(&f, &large, &small);
    init_resize(&f, &job, large, LARGE);
    job.clock = &clock;
    seam.armed = true;
    forget_counts();
    job_submit(&job);
    sem_wait(&seam.reached);
    op_cancel(&job.op);
    sem_post(&seam.open);
    turn_until(&f, &job.done);
    assert_int_equal(job.op.result, -ECANCELED);
    assert_int_equal(seam.n_allocated, 1);
    expect_consistent(&f, 2 * 4096, 2);
    // A grow that has come far when the disk becomes full.
    init_resize(&f, &job, large, LARGE);
    seam.fail_at = 100;
    assert_int_equal(run_beside_another(&f, &job, small), -ENOSPC);
    assert_int_equal(seam.n_allocated, 100);
    assert_int_equal(seam.largest, GIB);
    assert_int_equal(seam.n_truncated, 99);
    expect_consistent(&f, 2 * 4096, 2);
    fd = store_open_file(f.disk.store, OWNER, &large->record.handle, O_RDONLY);
    assert_int_equal(fstat(fd, &st), 0);
    assert_int_equal(st.st_size, 4096);
    close(fd);
    fixture_deinit(&f);
}

static void submit_resize(struct fixture *f, struct job *job, struct region *r, uint64_t size, int *clock)
{
    init_resize(f, job, r, size);
    job->clock = clock;
    job_submit(job);
}

// The only worker hangs.  The clients of all grows have gone.
static void what_has_not_begun_is_given_back_before_the_worker_is_free(void **state)
{
    struct job at_work, queued, behind, shrink;
    struct region *large, *small;
    struct fixture f;
    int clock = 0;

    (void)state;
    begin(&f, &large, &small);
    seam.armed = true;
    submit_resize(&f, &at_work, large, LARGE, &clock);
    sem_wait(&seam.reached);
    submit_resize(&f, &behind, large, 2 * LARGE, &clock);
    submit_resize(&f, &queued, small, GIB, &clock);
    assert_int_equal(charged(&f), LARGE + GIB);
    op_abandon(&behind.op);
    assert_true(behind.done && behind.op.result == -ECANCELED);
    op_abandon(&queued.op);
    assert_true(queued.done && queued.op.result == -ECANCELED);
    assert_int_equal(charged(&f), LARGE + 4096);
    // Operations that give something back are done, whoever has gone; and those that have begun are undone.
    submit_resize(&f, &shrink, small, 0, &clock);
    op_abandon(&shrink.op);
    op_abandon(&at_work.op);
    assert_false(shrink.done || at_work.done);
    sem_post(&seam.open);
    turn_until(&f, &shrink.done);
    turn_until(&f, &at_work.done);
    assert_int_equal(shrink.op.result, 0);
    assert_int_equal(at_work.op.result, -ECANCELED);
    expect_consistent(&f, 4096, 2);
    fixture_deinit(&f);
}

// A region is being made, behind a worker that hangs; its client has asked for it once more, on another connection,
// before the end of the first connection is seen.
static void a_region_that_is_asked_for_again_is_made(void **state)
{
    struct record record = {.owner_uid = OWNER, .mode = 0600, .name_length = 3, .name = "new"};
    struct region *large, *small, *r;
    struct job at_work, first, again;
    struct fixture f;
    int clock = 0;

    (void)state;
    begin(&f, &large, &small);
    for (int is_wanted = 0; is_wanted < 2; is_wanted++) {
        seam.armed = true;
        submit_resize(&f, &at_work, large, is_wanted ? LARGE / 2 : LARGE, &clock);
        sem_wait(&seam.reached);
        assert_int_equal(handle_random(&record.handle), 0);
        r = region_add(&f.regions, &record, f.owner);
        assert_non_null(r);
        first = (struct job){.clock = &clock};
        op_init(&first.op, &f.env, &op_create, r);
        first.op.size = 4096;
        job_submit(&first);
        again = (struct job){.clock = &clock};
        op_init(&again.op, &f.env, &op_open, r);
        again.op.peer = &f.peer;
        job_submit(&again);
        if (!is_wanted)
            op_abandon(&again.op);
        op_abandon(&first.op);
        assert_int_equal(first.done, !is_wanted);
        sem_post(&seam.open);
        turn_until(&f, &first.done);
        turn_until(&f, &again.done);
        turn_until(&f, &at_work.done);
        assert_int_equal(first.op.result, is_wanted ? 0 : -ECANCELED);
        assert_int_equal(again.op.result, is_wanted ? 0 : -ENOENT);
    }
    fixture_deinit(&f);
}

static uint64_t lane_of_commit(struct fixture *f, struct region *r)
{
    struct op op;

    op_init(&op, &f->env, &op_commit, r);
    assert_int_equal(run_op(f, &op), 0);
    return op.work.lane;
}

// Uids cost nothing: those that count in one account take turns as one user.
static void uids_of_one_account_share_a_lane(void **state)
{
    enum { LENDER = 77 };
    struct fixture f;
    struct region *r;

    (void)state;
    fixture_init(&f);
    assert_int_equal(create(&f, "own", 4096, &r), 0);
    assert_int_equal(lane_of_commit(&f, r), OWNER);
    f.owner->shared_account = quota_unlisted(f.quota);
    assert_int_equal(lane_of_commit(&f, r), WORK_LANE_UNLISTED);
    assert_int_equal(user_set_lender(f.owner, LENDER), 0);
    assert_int_equal(lane_of_commit(&f, r), WORK_LANE_UNLISTED); // the lender is nobody known
    f.owner->shared_account = quota_user_account(f.owner->lender->quota);
    assert_int_equal(lane_of_commit(&f, r), LENDER);
    f.owner->shared_account = NULL;
    assert_int_equal(user_set_lender(f.owner, (uid_t)-1), 0);
    assert_int_equal(lane_of_commit(&f, r), OWNER);
    fixture_deinit(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(growing_and_shrinking_by_512_gib_go_in_pieces_between_which_others_work),
        TEST(discarding_and_restoring_500_gib_go_in_pieces_between_which_others_work),
        TEST(removing_512_gib_goes_in_pieces_between_which_others_work),
        TEST(uids_of_one_account_share_a_lane),
        TEST(a_grow_that_is_given_up_on_the_way_is_undone),
        TEST(what_has_not_begun_is_given_back_before_the_worker_is_free),
        TEST(a_region_that_is_asked_for_again_is_made),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
