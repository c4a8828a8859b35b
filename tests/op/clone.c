// Copies of regions with a disk that fails, with requests that are given up, and with a source that others change:
// either the copy is right, or there is none, and nothing is charged for it.
#include "tests/lib/op_fixture.h"

#include <semaphore.h>

#include "daemon/op/op_internal.h"
#include "proto/spill/copy.h"
#include "proto/spill/holes.h"

enum { BLOCK = 4096, SIZE = 300 * BLOCK + 7, CHARGED = 301 * BLOCK };

// The next calls that the store makes.
static sem_t begun, go;
static _Atomic bool held; // each write waits for GO
static _Atomic int write_error, read_error;
static _Atomic unsigned n_writes, n_shares;

static void hold_up(void)
{
    sem_post(&begun);
    while (sem_wait(&go) < 0)
        assert_int_equal(errno, EINTR);
}

static ssize_t held_write(int fd, const void *bytes, size_t size, uint64_t offset)
{
    n_writes++;
    if (held)
        hold_up();
    // A file system may write less than it was given.
    return write_error ? -write_error : file_ops_system.write(fd, bytes, size > BLOCK ? size / 2 + 1 : size, offset);
}

static ssize_t failing_read(int fd, void *ret, size_t size, uint64_t offset)
{
    return read_error ? -read_error : file_ops_system.read(fd, ret, size, offset);
}

// As FICLONE does it; the blocks are copied.
static int share(int fd, int from)
{
    uint64_t at = 0;
    struct stat st;

    n_shares++;
    assert_return_code(fstat(from, &st), errno);
    assert_return_code(ftruncate(fd, st.st_size), errno);
    return copy_piece(&file_ops_system, from, fd, &at, (uint64_t)st.st_size);
}

static void await_begun(void)
{
    while (sem_wait(&begun) < 0)
        assert_int_equal(errno, EINTR);
}

static int held_share(int fd, int from)
{
    hold_up();
    return share(fd, from);
}

static int held_write_out(int fd)
{
    (void)fd;
    hold_up();
    return 0;
}

// The first SLOW_WRITE_OUTS take three seconds each.
static unsigned n_write_outs, slow_write_outs;
static uint64_t passed; // ms, beside the clock

uint64_t __real_clock_now(void);
uint64_t __wrap_clock_now(void);

uint64_t __wrap_clock_now(void)
{
    return __real_clock_now() + passed;
}

static int slow_write_out(int fd)
{
    passed += n_write_outs++ < slow_write_outs ? 3000 : 0;
    return file_ops_system.write_out(fd);
}

static int failing_write_out(int fd)
{
    (void)fd;
    return -EIO;
}

static void init(struct fixture *f)
{
    fixture_init(f);
    f->ops.write = held_write;
    f->ops.read = failing_read;
    held = false;
    write_error = read_error = 0;
    n_writes = n_shares = 0;
    assert_int_equal(sem_init(&begun, 0, 0), 0);
    assert_int_equal(sem_init(&go, 0, 0), 0);
}

static void deinit(struct fixture *f)
{
    fixture_deinit(f);
    sem_destroy(&begun);
    sem_destroy(&go);
}

static void fill(struct fixture *f, const struct region *r, char value)
{
    int fd = store_open_file(f->disk.store, OWNER, &r->record.handle, O_RDWR);
    char block[BLOCK];

    memset(block, value, sizeof block);
    for (uint64_t at = 0; at < r->size; at += sizeof block)
        assert_true(pwrite(fd, block, r->size - at < BLOCK ? r->size - at : BLOCK, (off_t)at) > 0);
    close(fd);
}

static void expect_content(struct fixture *f, const struct region *r, uint64_t from, uint64_t to, char value)
{
    int fd = store_open_file(f->disk.store, OWNER, &r->record.handle, O_RDONLY);
    char c;

    for (uint64_t at = from; at < to; at += at + BLOCK < to ? BLOCK - 1 : 1) {
        assert_int_equal(pread(fd, &c, 1, (off_t)at), 1);
        assert_int_equal(c, value);
    }
    close(fd);
}

struct cloning {
    struct op op;
    struct region *source;
    bool done;
    uint64_t told, all;
};

static void clone_done(struct op *op)
{
    struct cloning *c = op->owner;

    op->source->n_readers--;
    if (op->fd >= 0)
        close(op->fd);
    op->fd = -1;
    c->done = true;
}

static void tell(struct op *op, uint64_t done, uint64_t all)
{
    struct cloning *c = op->owner;

    c->told = done;
    c->all = all;
}

static void begin_as(struct fixture *f, struct cloning *c, struct region *source, struct user *user)
{
    struct record record = {.owner_uid = user->uid, .mode = 0600, .flags = source->record.flags & RECORD_SPARSE};
    struct region *r;

    assert_int_equal(handle_random(&record.handle), 0);
    *c = (struct cloning){.source = source};
    r = region_add(&f->regions, &record, user);
    assert_non_null(r);
    op_init(&c->op, &f->env, &op_clone, r);
    c->op.source = source;
    c->op.done = clone_done;
    c->op.tell = tell;
    c->op.owner = c;
    source->n_readers++;
    op_submit(&c->op);
}

static void begin(struct fixture *f, struct cloning *c, struct region *source)
{
    begin_as(f, c, source, f->owner);
}

static int make_clone(struct fixture *f, struct region *source, struct region **ret)
{
    struct cloning c;

    begin(f, &c, source);
    turn_until(f, &c.done);
    *ret = c.op.region; // gone, if the operation failed
    return c.op.result;
}

static void drop(struct fixture *f, struct region *r)
{
    bool gone = false;
    struct op op;

    op_init(&op, &f->env, &op_reap, r);
    op.done = set_done;
    op.owner = &gone;
    op_submit(&op);
    turn_until(f, &gone);
    assert_int_equal(op.result, 0);
}

static int discard(struct fixture *f, struct region *r, uint64_t offset, uint64_t length)
{
    struct op op;

    op_init(&op, &f->env, &op_discard, r);
    op.offset = offset;
    op.length = length;
    return run_op(f, &op);
}

static uint64_t missing(struct fixture *f, const struct region *r)
{
    int fd = store_open_file(f->disk.store, OWNER, &r->record.handle, O_RDONLY);
    uint64_t n = UINT64_MAX;

    assert_int_equal(holes_count(fd, 0, r->size, &r->discarded, &n), 0);
    close(fd);
    return n;
}

static void a_copy_that_fails_anywhere_leaves_nothing(void **state)
{
    struct region *source, *r;
    struct fixture f;

    (void)state;
    init(&f);
    assert_int_equal(create(&f, "source", SIZE, &source), 0);
    fill(&f, source, 7);
    for (int nth = 1; nth <= 3; nth++)
        FOR_EACH_FAULT(kind, error)
        {
            int result;

            inject(kind, nth, error);
            result = make_clone(&f, source, &r);
            fault_kind = NO_FAULT;
            assert_int_equal(result, n_faults ? told(error) : 0);
            if (result == 0) {
                expect_consistent(&f, 2 * CHARGED, 2);
                drop(&f, r);
            }
            expect_consistent(&f, CHARGED, 1);
        }
    write_error = EIO;
    assert_int_equal(make_clone(&f, source, &r), -EIO);
    write_error = ENOSPC;
    assert_int_equal(make_clone(&f, source, &r), -ENOSPC);
    write_error = 0;
    read_error = EIO;
    assert_int_equal(make_clone(&f, source, &r), -EIO);
    read_error = 0;
    expect_consistent(&f, CHARGED, 1);
    assert_int_equal(source->n_readers, 0);
    assert_int_equal(make_clone(&f, source, &r), 0);
    expect_content(&f, r, 0, SIZE, 7);
    deinit(&f);
}

static void a_copy_has_blocks_of_its_own_and_the_parts_of_its_source(void **state)
{
    struct region *source, *r;
    struct fixture f;

    (void)state;
    init(&f);
    assert_int_equal(create(&f, "source", SIZE, &source), 0);
    fill(&f, source, 7);
    assert_int_equal(commit(&f, source, 1000, false), 0);
    assert_int_equal(discard(&f, source, 0, 10 * BLOCK), 0);
    assert_int_equal(discard(&f, source, 100 * BLOCK, 10 * BLOCK), 0);
    assert_int_equal(make_clone(&f, source, &r), 0);
    assert_int_equal(r->size, SIZE);
    assert_int_equal(r->discarded.sum, 20 * BLOCK);
    assert_int_equal(r->record.used, 1000);
    assert_true(r->record.flags & RECORD_COMMITTED && r->record.flags & RECORD_HAS_HOLES);
    assert_int_equal(missing(&f, r), 0);
    expect_content(&f, r, 10 * BLOCK, 100 * BLOCK, 7);
    expect_content(&f, r, 110 * BLOCK, SIZE, 7);
    assert_int_equal(charged(&f), 2 * (CHARGED - 20 * BLOCK));
    // The last block may be discarded, and the size end inside it.
    assert_int_equal(discard(&f, source, 200 * BLOCK, 100 * BLOCK), 0);
    drop(&f, r);
    assert_int_equal(resize(&f, source, 250 * BLOCK + 1), 0);
    assert_int_equal(make_clone(&f, source, &r), 0);
    assert_int_equal(r->size, 250 * BLOCK + 1);
    assert_int_equal(missing(&f, r), 0);
    expect_content(&f, r, 110 * BLOCK, 200 * BLOCK, 7);
    deinit(&f);
}

static void a_copy_is_refused_by_a_limit_with_its_numbers(void **state)
{
    struct quota_limits limits;
    struct region *source, *r;
    struct cloning c;
    struct fixture f;

    (void)state;
    init(&f);
    assert_int_equal(create(&f, "source", SIZE, &source), 0);
    fill(&f, source, 7);
    limits = *quota_account_limits(quota_user_account(f.owner->quota));
    limits.max[QUOTA_BYTES] = 2 * CHARGED - 1;
    quota_account_set(quota_user_account(f.owner->quota), "user:somebody", &limits);
    begin(&f, &c, source);
    turn_until(&f, &c.done);
    assert_int_equal(c.op.result, -EDQUOT);
    assert_int_equal(c.op.refusal.limit, 2 * CHARGED - 1);
    assert_int_equal(c.op.refusal.used, CHARGED);
    assert_int_equal(c.op.refusal.asked, CHARGED);
    expect_consistent(&f, CHARGED, 1);
    assert_int_equal(discard(&f, source, 0, BLOCK), 0);
    assert_int_equal(make_clone(&f, source, &r), 0);
    deinit(&f);
}

// While it is copied, the source grows, shrinks and is given up; the copy goes on.
static void others_go_on_with_the_source(void **state)
{
    struct region *source;
    struct cloning c;
    struct fixture f;

    (void)state;
    init(&f);
    assert_int_equal(create(&f, "", SIZE, &source), 0);
    fill(&f, source, 7);
    held = true;
    begin(&f, &c, source);
    while (sem_wait(&begun) < 0)
        continue;
    assert_int_equal(source->n_readers, 1);
    assert_int_equal(resize(&f, source, 2 * SIZE), 0);
    assert_int_equal(resize(&f, source, 290 * BLOCK), 0);
    op_tell_progress(&f.env);
    assert_int_equal(c.all, 0); // nothing is copied yet
    // Its last holder goes: the source stays as long as it is read.
    peer_detach(&f.peer, holders_find(&source->holders, &f.peer));
    orphans_consider(f.env.orphans, source);
    assert_false(source->orphaned);
    held = false;
    sem_post(&go);
    turn_until(&f, &c.done);
    assert_int_equal(c.op.result, 0);
    assert_int_equal(c.op.region->size, SIZE);
    assert_int_equal(missing(&f, c.op.region), 0);
    expect_content(&f, c.op.region, 0, 100 * BLOCK, 7);
    orphans_consider(f.env.orphans, source);
    assert_true(source->orphaned);
    op_reap_orphans(&f.env, clock_now() + 1000);
    assert_int_equal(f.env.regions->n_orphans, 2); // and the copy, until it is known whether somebody has them
    while (quota_account_used(quota_total(f.quota), QUOTA_REGIONS) > 0)
        assert_true(event_base_loop(f.base, EVLOOP_ONCE) >= 0);
    assert_int_equal(f.env.regions->n_orphans, 0);
    expect_consistent(&f, 0, 0);
    deinit(&f);
}

static void one_that_is_given_up_leaves_nothing(void **state)
{
    struct region *source;
    struct cloning c;
    struct fixture f;

    (void)state;
    init(&f);
    assert_int_equal(create(&f, "source", SIZE, &source), 0);
    fill(&f, source, 7);
    held = true;
    begin(&f, &c, source);
    while (sem_wait(&begun) < 0)
        continue;
    assert_true(op_cancel(&c.op)); // it will fail for certain
    held = false;
    sem_post(&go);
    turn_until(&f, &c.done);
    assert_int_equal(c.op.result, -ECANCELED);
    expect_consistent(&f, CHARGED, 1);
    assert_int_equal(source->n_readers, 0);
    deinit(&f);
}

// A process that has the source open holds it up.
static void one_that_is_held_up_is_answered(void **state)
{
    struct region *source;
    struct cloning c;
    struct fixture f;

    (void)state;
    init(&f);
    assert_int_equal(create(&f, "source", SIZE, &source), 0);
    fill(&f, source, 7);
    held = true;
    begin(&f, &c, source);
    while (sem_wait(&begun) < 0)
        continue;
    op_end_stuck(&f.env, &f.disk, clock_now() + 60 * 1000);
    assert_true(c.op.cancelled);
    held = false;
    sem_post(&go);
    turn_until(&f, &c.done);
    assert_int_equal(c.op.result, -ECANCELED);
    expect_consistent(&f, CHARGED, 1);
    deinit(&f);
}

static void its_submitter_is_told_how_far_it_is(void **state)
{
    struct region *source;
    struct cloning c;
    struct fixture f;

    (void)state;
    init(&f);
    assert_int_equal(create(&f, "source", 65 << 20, &source), 0);
    fill(&f, source, 7);
    held = true;
    begin(&f, &c, source);
    // The first chunk of the second piece is the first write behind 64 MiB.
    for (bool second = false; !second;) {
        while (sem_wait(&begun) < 0)
            continue;
        second = c.op.copied > 0;
        if (!second)
            sem_post(&go);
    }
    op_tell_progress(&f.env);
    assert_int_equal(c.told, 64 << 20);
    assert_int_equal(c.all, 65 << 20);
    c.told = 0;
    op_tell_progress(&f.env); // nothing new
    assert_int_equal(c.told, 0);
    held = false;
    sem_post(&go);
    turn_until(&f, &c.done);
    assert_int_equal(c.op.result, 0);
    deinit(&f);
}

// Whoever has the source may make it shorter, or longer, or fill what is discarded.
static void a_source_whose_file_was_changed_does_no_harm(void **state)
{
    struct region *source, *r;
    struct fixture f;
    int fd;

    (void)state;
    init(&f);
    assert_int_equal(create(&f, "source", SIZE, &source), 0);
    fill(&f, source, 7);
    assert_int_equal(discard(&f, source, 0, 10 * BLOCK), 0);
    fd = store_open_file(f.disk.store, OWNER, &source->record.handle, O_RDWR);
    assert_return_code(ftruncate(fd, 100 * BLOCK), errno);
    assert_int_equal(pwrite(fd, "stored where nothing is granted", 31, BLOCK), 31);
    assert_int_equal(make_clone(&f, source, &r), 0);
    assert_int_equal(missing(&f, r), 0);
    expect_content(&f, r, 10 * BLOCK, 100 * BLOCK, 7);
    expect_content(&f, r, 100 * BLOCK, SIZE, 0);
    expect_content(&f, r, 0, 10 * BLOCK, 0);
    drop(&f, r);
    assert_int_equal(pwrite(fd, "behind the end", 14, 2 * SIZE), 14);
    assert_int_equal(make_clone(&f, source, &r), 0);
    assert_int_equal(r->size, SIZE);
    assert_int_equal(ftruncate(fd, SIZE), 0);
    close(fd);
    deinit(&f);
}

static void where_nothing_is_promised_blocks_are_shared(void **state)
{
    struct spillfile_guarantee *g;
    struct region *source, *r;
    struct fixture f;
    int fd;

    (void)state;
    init(&f);
    f.ops.share = share;
    assert_int_equal(create(&f, "source", SIZE, &source), 0);
    fill(&f, source, 7);
    assert_int_equal(discard(&f, source, 100 * BLOCK, 10 * BLOCK), 0);
    g = (struct spillfile_guarantee *)store_guarantee(f.disk.store);
    g->hard = true;
    assert_int_equal(make_clone(&f, source, &r), 0);
    assert_int_equal(n_shares, 0);
    drop(&f, r);
    g->hard = false;
    g->can_share = true;
    n_writes = 0;
    fd = store_open_file(f.disk.store, OWNER, &source->record.handle, O_RDWR);
    assert_int_equal(pwrite(fd, "behind the end", 14, 2 * SIZE), 14);
    assert_int_equal(pwrite(fd, "where nothing is granted", 24, 100 * BLOCK), 24);
    assert_int_equal(make_clone(&f, source, &r), 0);
    assert_int_equal(n_shares, 1);
    assert_int_equal(n_writes, 0);
    expect_content(&f, r, 0, 100 * BLOCK, 7);
    expect_content(&f, r, 100 * BLOCK, 110 * BLOCK, 0);
    expect_content(&f, r, 110 * BLOCK, SIZE, 7);
    assert_int_equal(r->discarded.sum, 10 * BLOCK);
    assert_return_code(ftruncate(fd, SIZE), errno);
    close(fd);
    assert_int_equal(discard(&f, source, 100 * BLOCK, 10 * BLOCK), 0);
    // Content that the disk has not taken is not shared, but copied from memory.
    drop(&f, r);
    n_shares = 0;
    f.ops.write_out = failing_write_out;
    assert_int_equal(make_clone(&f, source, &r), 0);
    assert_int_equal(n_shares, 0);
    expect_content(&f, r, 110 * BLOCK, SIZE, 7);
    // A source that is stored to all the time is not written out for ever, and what was stored once is.
    f.ops.write_out = slow_write_out;
    drop(&f, r);
    slow_write_outs = 100;
    assert_int_equal(make_clone(&f, source, &r), 0);
    assert_int_equal(n_write_outs, 4);
    assert_int_equal(n_shares, 0);
    expect_content(&f, r, 110 * BLOCK, SIZE, 7);
    drop(&f, r);
    n_write_outs = 0;
    slow_write_outs = 1;
    assert_int_equal(make_clone(&f, source, &r), 0);
    assert_int_equal(n_write_outs, 2);
    assert_int_equal(n_shares, 1);
    f.ops.write_out = file_ops_system.write_out;
    // The kernel tells of an error once: the owner hears of it all the same.
    assert_int_equal(commit(&f, source, SIZE, false), 0);
    assert_int_equal(commit(&f, source, SIZE, true), -EIO);
    assert_int_equal(commit(&f, source, SIZE, true), 0);
    // A file system that can't share has them copied.
    f.ops.share = file_ops_system.share;
    drop(&f, r);
    if (make_clone(&f, source, &r) == 0)
        expect_content(&f, r, 110 * BLOCK, SIZE, 7);
    deinit(&f);
}

// The kernel shares blocks under the locks of both files, which a process that has the source can hold.
static void a_source_whose_lock_is_held_is_not_waited_for(void **state)
{
    struct spillfile_guarantee *g;
    struct region *source, *r;
    struct cloning c;
    struct fixture f;

    (void)state;
    init(&f);
    g = (struct spillfile_guarantee *)store_guarantee(f.disk.store);
    g->hard = false;
    g->can_share = true;
    assert_int_equal(create(&f, "source", SIZE, &source), 0);
    fill(&f, source, 7);
    f.ops.share = held_share;
    begin(&f, &c, source);
    await_begun();
    op_end_stuck(&f.env, &f.disk, clock_now() + 60 * 1000);
    assert_true(c.op.cancelled && source->stuck_told);
    sem_post(&go);
    turn_until(&f, &c.done);
    assert_int_equal(c.op.result, -ECANCELED);
    expect_consistent(&f, CHARGED, 1);
    // A disk that has much to write is waited for.
    f.ops.share = share;
    f.ops.write_out = held_write_out;
    begin(&f, &c, source);
    await_begun();
    op_end_stuck(&f.env, &f.disk, clock_now() + 60 * 1000);
    assert_false(c.op.cancelled);
    sem_post(&go);
    turn_until(&f, &c.done);
    assert_int_equal(c.op.result, 0);
    r = c.op.region;
    expect_content(&f, r, 0, SIZE, 7);
    deinit(&f);
}

enum { N_WORKERS_OF_LANE = 2, CLONES = 5 };

// However many copies somebody makes, and however long they take.
static void clones_hold_up_neither_the_owner_of_the_source_nor_others(void **state)
{
    struct cloning clones[CLONES], of_third;
    struct user *other, *third;
    struct region *source;
    struct fixture f;

    (void)state;
    init(&f);
    other = user_ref(f.users, OWNER + 1);
    third = user_ref(f.users, OWNER + 2);
    assert_true(other && third);
    assert_int_equal(create(&f, "source", SIZE, &source), 0);
    fill(&f, source, 7);
    holders_note_stranger(&source->holders, user_lane(other));
    held = true;
    for (int i = 0; i < CLONES; i++)
        begin_as(&f, &clones[i], source, other);
    for (int i = 0; i < N_WORKERS_OF_LANE; i++)
        await_begun();
    assert_int_equal(resize(&f, source, 100 << 20), 0); // not brief
    assert_int_equal(resize(&f, source, SIZE), 0);
    holders_note_stranger(&source->holders, user_lane(third));
    begin_as(&f, &of_third, source, third);
    await_begun();
    held = false;
    for (int i = 0; i <= N_WORKERS_OF_LANE; i++)
        sem_post(&go);
    turn_until(&f, &of_third.done);
    assert_int_equal(of_third.op.result, 0);
    for (int i = 0; i < CLONES; i++) {
        turn_until(&f, &clones[i].done);
        assert_int_equal(clones[i].op.result, 0);
    }
    user_unref(other);
    user_unref(third);
    deinit(&f);
}

static void a_source_that_was_unlinked_or_removed_is_refused(void **state)
{
    struct region *source, *r;
    struct fixture f;
    struct op op;

    (void)state;
    init(&f);
    assert_int_equal(create(&f, "source", SIZE, &source), 0);
    assert_int_equal(store_unlink(f.disk.store, OWNER, &source->record.handle), 0); // by hand
    assert_int_equal(make_clone(&f, source, &r), -ESTALE);
    op_init(&op, &f.env, &op_unlink, source);
    assert_int_equal(run_op(&f, &op), 0);
    assert_int_equal(make_clone(&f, source, &r), -ESTALE);
    deinit(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_copy_that_fails_anywhere_leaves_nothing),
        TEST(a_copy_has_blocks_of_its_own_and_the_parts_of_its_source),
        TEST(a_copy_is_refused_by_a_limit_with_its_numbers),
        TEST(others_go_on_with_the_source),
        TEST(one_that_is_given_up_leaves_nothing),
        TEST(one_that_is_held_up_is_answered),
        TEST(its_submitter_is_told_how_far_it_is),
        TEST(a_source_whose_file_was_changed_does_no_harm),
        TEST(where_nothing_is_promised_blocks_are_shared),
        TEST(a_source_whose_lock_is_held_is_not_waited_for),
        TEST(clones_hold_up_neither_the_owner_of_the_source_nor_others),
        TEST(a_source_that_was_unlinked_or_removed_is_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
