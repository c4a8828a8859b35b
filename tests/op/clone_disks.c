// Clones whose source is on another disk, and where blocks cannot be shared.
#include "tests/lib/two_disks.h"

#include <semaphore.h>

#include "daemon/op/op_internal.h"
#include "daemon/store/store_internal.h"

enum { SIZE = 1 << 20, MINUTE = 60 * 1000 };

static sem_t begun, go;
static atomic_int n_write_outs;
static atomic_bool holds_read;

static int count_write_out(int fd)
{
    n_write_outs++;
    return file_ops_system.write_out(fd);
}

static ssize_t held_read(int fd, void *ret, size_t size, uint64_t offset)
{
    if (holds_read) {
        sem_post(&begun);
        while (sem_wait(&go) < 0)
            assert_int_equal(errno, EINTR);
    }
    return file_ops_system.read(fd, ret, size, offset);
}

static void init(struct two_disks *t)
{
    two_disks_init(t);
    t->f.ops.write_out = count_write_out;
    t->f.ops.read = held_read;
    n_write_outs = 0;
    holds_read = false;
    assert_int_equal(sem_init(&begun, 0, 0), 0);
    assert_int_equal(sem_init(&go, 0, 0), 0);
}

static void deinit(struct two_disks *t)
{
    sem_destroy(&begun);
    sem_destroy(&go);
    two_disks_deinit(t);
}

static void promise_nothing(struct disk *disk, bool can_share)
{
    disk->store->guarantee.hard = false;
    disk->store->guarantee.can_share = can_share;
}

struct cloning {
    struct op op;
    bool done;
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

static void begin(struct two_disks *t, struct cloning *c, struct region *source)
{
    struct record record = {.owner_uid = OWNER, .mode = 0600};
    struct region *r;

    assert_int_equal(handle_random(&record.handle), 0);
    *c = (struct cloning){0};
    r = region_add(&t->f.regions, &record, t->f.owner);
    assert_non_null(r);
    op_init(&c->op, &t->f.env, &op_clone, r);
    c->op.source = source;
    c->op.done = clone_done;
    c->op.owner = c;
    source->n_readers++;
    op_submit(&c->op);
}

static void expect_clone_without_write_out(struct two_disks *t, struct region *source, struct disk *on)
{
    struct cloning c;

    n_write_outs = 0;
    begin(t, &c, source);
    turn_until(&t->f, &c.done);
    assert_int_equal(c.op.result, 0);
    assert_ptr_equal(c.op.region->disk, on);
    assert_int_equal(n_write_outs, 0);
}

static void fill(struct two_disks *t, const struct region *r)
{
    int fd = store_open_file(r->disk->store, OWNER, &r->record.handle, O_RDWR);

    (void)t;
    assert_true(fd >= 0);
    assert_int_equal(pwrite(fd, "content", 7, 0), 7);
    close(fd);
}

// The new regions go to the second disk.
static struct region *make_source(struct two_disks *t)
{
    struct region *source = NULL;

    assert_int_equal(create(&t->f, "source", SIZE, &source), 0);
    assert_ptr_equal(source->disk, &t->f.disk);
    fill(t, source);
    t->f.disk.is_leaving = true;
    return source;
}

static void a_source_is_not_written_out_where_no_blocks_can_be_shared(void **state)
{
    struct region *source;
    struct two_disks t;

    (void)state;
    init(&t);
    promise_nothing(&t.f.disk, false);
    promise_nothing(&t.second, true);
    t.second.is_leaving = true;
    assert_int_equal(create(&t.f, "source", SIZE, &source), 0);
    fill(&t, source);
    expect_clone_without_write_out(&t, source, &t.f.disk); // as on ext4
    // On another file system.
    promise_nothing(&t.f.disk, true);
    t.second.store->device++;
    t.second.is_leaving = false;
    t.f.disk.is_leaving = true;
    expect_clone_without_write_out(&t, source, &t.second);
    deinit(&t);
}

static void await_begun(void)
{
    while (sem_wait(&begun) < 0)
        assert_int_equal(errno, EINTR);
}

static void a_disk_of_the_source_that_hangs_is_not_blamed_on_those_who_have_the_file(void **state)
{
    struct region *source;
    struct cloning c;
    struct two_disks t;

    (void)state;
    init(&t);
    source = make_source(&t);
    holds_read = true;
    begin(&t, &c, source);
    await_begun();
    assert_ptr_equal(c.op.region->disk, &t.second);
    assert_true(op_seem_stuck(&t.f.env, &t.second, clock_now() + MINUTE));
    assert_true(op_seem_stuck(&t.f.env, &t.f.disk, clock_now() + MINUTE));
    op_end_stuck(&t.f.env, &t.second, clock_now() + MINUTE);
    assert_false(c.op.cancelled || source->stuck_told);
    // When both have answered, it is not the disks.
    op_end_stuck(&t.f.env, &t.f.disk, clock_now() + MINUTE);
    assert_true(c.op.cancelled && source->stuck_told);
    holds_read = false;
    sem_post(&go);
    turn_until(&t.f, &c.done);
    assert_int_equal(c.op.result, -ECANCELED);
    deinit(&t);
}

static void what_its_owner_does_on_the_other_disk_goes_on_meanwhile(void **state)
{
    enum { MANY = 6 };
    struct cloning c[MANY];
    struct region *source, *r;
    struct two_disks t;

    (void)state;
    init(&t);
    source = make_source(&t);
    assert_int_equal(create(&t.f, "there", SIZE, &r), 0);
    assert_ptr_equal(r->disk, &t.second);
    holds_read = true;
    for (int i = 0; i < MANY; i++)
        begin(&t, &c[i], source);
    await_begun();
    assert_int_equal(resize(&t.f, r, 200 * SIZE), 0); // which is not brief
    holds_read = false;
    for (int i = 0; i < MANY; i++)
        sem_post(&go);
    for (int i = 0; i < MANY; i++) {
        turn_until(&t.f, &c[i].done);
        assert_int_equal(c[i].op.result, 0);
    }
    deinit(&t);
}

// Begins a clone, ends it, and returns the number of its share of the workers.
static unsigned share_of_clone(struct two_disks *t, struct region *source)
{
    struct cloning c;
    unsigned share;

    begin(t, &c, source);
    share = c.op.work.disk;
    turn_until(&t->f, &c.done);
    assert_int_equal(c.op.result, 0);
    assert_ptr_equal(c.op.region->disk, &t->second);
    return share;
}

static void clones_from_a_disk_have_one_share_of_the_workers_wherever_they_go(void **state)
{
    struct region *source;
    struct two_disks t;
    unsigned share;

    (void)state;
    init(&t);
    source = make_source(&t);
    share = share_of_clone(&t, source);
    t.second.number += 7; // as if it was another disk
    assert_int_equal(share_of_clone(&t, source), share);
    t.f.disk.number += 5;
    assert_int_not_equal(share_of_clone(&t, source), share);
    deinit(&t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_source_is_not_written_out_where_no_blocks_can_be_shared),
        TEST(a_disk_of_the_source_that_hangs_is_not_blamed_on_those_who_have_the_file),
        TEST(clones_from_a_disk_have_one_share_of_the_workers_wherever_they_go),
        TEST(what_its_owner_does_on_the_other_disk_goes_on_meanwhile),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
