// Which operations count as held up by clients, and which take long because the disk does.
#include "tests/lib/op_fixture.h"

#include <semaphore.h>

#include "daemon/op/op_internal.h"

enum { SIZE = 1 << 20, N_WORKERS_OF_LANE = 2, MINUTE = 60 * 1000, HOUR = 60 * MINUTE };

static sem_t begun, go;

static void pass(void)
{
    while (sem_wait(&go) < 0)
        assert_int_equal(errno, EINTR);
}

// A disk that has very much to write.
static int slow_sync(int fd)
{
    (void)fd;
    sem_post(&begun);
    pass();
    return 0;
}

static int slow_truncate(int fd, uint64_t size)
{
    sem_post(&begun);
    pass();
    return file_ops_system.truncate(fd, size);
}

static int slow_set_xattr(int fd, const char *name, const void *value, size_t size)
{
    sem_post(&begun);
    pass();
    return file_ops_system.set_xattr(fd, name, value, size);
}

struct watched {
    struct op op;
    bool done, late;
};

static void is_late(struct op *op)
{
    ((struct watched *)op->owner)->late = true;
}

static void is_done(struct op *op)
{
    ((struct watched *)op->owner)->done = true;
}

static void submit(struct fixture *f, struct watched *w, const struct op_type *type, struct region *r, uint64_t size)
{
    *w = (struct watched){0};
    op_init(&w->op, &f->env, type, r);
    w->op.size = size;
    w->op.known_size = r->size;
    w->op.element_size = 8;
    w->op.durable = type == &op_commit;
    w->op.brief = !w->op.durable;
    w->op.done = is_done;
    w->op.late = is_late;
    w->op.owner = w;
    op_submit(&w->op);
}

static void await_begun(void)
{
    while (sem_wait(&begun) < 0)
        assert_int_equal(errno, EINTR);
}

static void init(struct fixture *f)
{
    fixture_init(f);
    assert_int_equal(sem_init(&begun, 0, 0), 0);
    assert_int_equal(sem_init(&go, 0, 0), 0);
}

static void deinit(struct fixture *f)
{
    sem_destroy(&begun);
    sem_destroy(&go);
    fixture_deinit(f);
}

// A commit asks the disk for content and record, and for the directory.
static void let_go(void)
{
    for (int i = 0; i < 64; i++)
        sem_post(&go);
}

static void a_durable_commit_on_a_slow_disk_is_not_stuck(void **state)
{
    struct watched commits, grows;
    struct region *r = NULL;
    struct fixture f;

    (void)state;
    init(&f);
    assert_int_equal(create(&f, "", SIZE, &r), 0);
    f.ops.sync = slow_sync;
    submit(&f, &commits, &op_commit, r, SIZE);
    await_begun();
    submit(&f, &grows, &op_grow, r, 2 * SIZE);
    assert_true(op_seem_stuck(&f.env, &f.disk, clock_now() + MINUTE));
    op_end_stuck(&f.env, &f.disk, clock_now() + 10 * MINUTE);
    assert_false(commits.late || commits.done || grows.done || r->stuck_told);
    let_go();
    turn_until(&f, &grows.done);
    assert_int_equal(commits.op.result, 0);
    assert_int_equal(grows.op.result, 0);
    assert_false(op_seem_stuck(&f.env, &f.disk, clock_now() + MINUTE));
    deinit(&f);
}

// Where a file system waits for the file's lock to write it.
static void a_durable_commit_that_never_ends_is_answered(void **state)
{
    struct watched commits, grows;
    struct region *r = NULL;
    struct fixture f;

    (void)state;
    init(&f);
    assert_int_equal(create(&f, "", SIZE, &r), 0);
    f.ops.sync = slow_sync;
    submit(&f, &commits, &op_commit, r, SIZE);
    await_begun();
    submit(&f, &grows, &op_grow, r, 2 * SIZE);
    op_end_stuck(&f.env, &f.disk, clock_now() + 2 * HOUR);
    assert_true(commits.late && r->stuck_told);
    assert_true(grows.done);
    assert_int_equal(grows.op.result, -ETIMEDOUT);
    let_go();
    turn_until(&f, &commits.done);
    assert_int_equal(commits.op.result, -ECANCELED);
    deinit(&f);
}

// Writing the record needs the file's lock, and takes no time on a slow disk.
static void a_durable_commit_whose_file_is_held_is_stuck(void **state)
{
    struct watched commits, grows;
    struct region *r = NULL;
    struct fixture f;

    (void)state;
    init(&f);
    assert_int_equal(create(&f, "", SIZE, &r), 0);
    f.ops.set_xattr = slow_set_xattr;
    submit(&f, &commits, &op_commit, r, SIZE);
    await_begun();
    submit(&f, &grows, &op_grow, r, 2 * SIZE);
    op_end_stuck(&f.env, &f.disk, clock_now() + MINUTE);
    assert_true(commits.late && r->stuck_told);
    assert_true(grows.done);
    assert_int_equal(grows.op.result, -ETIMEDOUT);
    let_go();
    turn_until(&f, &commits.done);
    assert_int_equal(commits.op.result, -ECANCELED);
    assert_int_equal(r->record.used, 0);
    submit(&f, &commits, &op_commit, r, SIZE);
    turn_until(&f, &commits.done);
    assert_int_equal(commits.op.result, 0);
    assert_int_equal(r->record.used, SIZE);
    deinit(&f);
}

static void what_waits_for_durable_commits_is_begun(void **state)
{
    struct watched commits[N_WORKERS_OF_LANE], large;
    struct region *r[N_WORKERS_OF_LANE + 1];
    struct fixture f;

    (void)state;
    init(&f);
    for (int i = 0; i <= N_WORKERS_OF_LANE; i++)
        assert_int_equal(create(&f, "", SIZE, &r[i]), 0);
    f.ops.sync = slow_sync;
    for (int i = 0; i < N_WORKERS_OF_LANE; i++) {
        submit(&f, &commits[i], &op_commit, r[i], SIZE);
        await_begun();
    }
    submit(&f, &large, &op_grow, r[N_WORKERS_OF_LANE], 100 * SIZE); // not brief
    op_end_stuck(&f.env, &f.disk, clock_now() + 10 * MINUTE);
    assert_false(large.done);
    let_go();
    turn_until(&f, &large.done);
    for (int i = 0; i < N_WORKERS_OF_LANE; i++)
        turn_until(&f, &commits[i].done);
    assert_int_equal(large.op.result, 0);
    deinit(&f);
}

// Each commit does more than one piece, and waits for the disk's answer to the others' between them.
static void durable_commits_that_wait_for_each_other_are_not_stuck(void **state)
{
    enum { COMMITS = 2 * N_WORKERS_OF_LANE, CALLS_OF_A_PIECE = 2 };
    struct watched commits[COMMITS];
    struct region *r[COMMITS];
    struct fixture f;

    (void)state;
    init(&f);
    for (int i = 0; i < COMMITS; i++)
        assert_int_equal(create(&f, "", SIZE, &r[i]), 0);
    f.ops.sync = slow_sync;
    for (int i = 0; i < COMMITS; i++)
        submit(&f, &commits[i], &op_commit, r[i], SIZE);
    // So many calls return that at least one commit has done its first piece, and waits behind others.
    for (int i = 0; i < N_WORKERS_OF_LANE * CALLS_OF_A_PIECE; i++)
        sem_post(&go);
    for (int i = 0; i < N_WORKERS_OF_LANE * CALLS_OF_A_PIECE + N_WORKERS_OF_LANE; i++)
        await_begun();
    op_end_stuck(&f.env, &f.disk, clock_now() + 10 * MINUTE);
    for (int i = 0; i < COMMITS; i++)
        assert_false(commits[i].late || commits[i].done || r[i]->stuck_told);
    let_go();
    for (int i = 0; i < COMMITS; i++) {
        turn_until(&f, &commits[i].done);
        assert_int_equal(commits[i].op.result, 0);
    }
    deinit(&f);
}

static void a_file_that_is_held_is_stuck(void **state)
{
    struct watched shrinks, grows;
    struct region *r = NULL;
    struct fixture f;

    (void)state;
    init(&f);
    assert_int_equal(create(&f, "", 2 * SIZE, &r), 0);
    f.ops.truncate = slow_truncate;
    submit(&f, &shrinks, &op_shrink, r, SIZE);
    await_begun();
    submit(&f, &grows, &op_grow, r, 4 * SIZE);
    op_end_stuck(&f.env, &f.disk, clock_now() + 9000);
    assert_false(grows.done);
    op_end_stuck(&f.env, &f.disk, clock_now() + MINUTE);
    assert_true(r->stuck_told);
    assert_int_equal(grows.op.result, -ETIMEDOUT);
    let_go();
    turn_until(&f, &shrinks.done);
    assert_int_equal(shrinks.op.result, 0);
    deinit(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_durable_commit_on_a_slow_disk_is_not_stuck),
        TEST(a_durable_commit_that_never_ends_is_answered),
        TEST(a_durable_commit_whose_file_is_held_is_stuck),
        TEST(what_waits_for_durable_commits_is_begun),
        TEST(durable_commits_that_wait_for_each_other_are_not_stuck),
        TEST(a_file_that_is_held_is_stuck),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
