// A shrink that finds marks of others on the file: whether it asks for them, waits a moment, and is granted when they
// have gone.
#include "tests/lib/op_fixture.h"

#include <limits.h>

enum { SIZE = 1 << 20, SELF = 5, OTHER = 7 };

static unsigned n_waits;

static void count_waits(struct op *op, bool waits)
{
    (void)op;
    n_waits += waits;
}

static int marked_by(struct fixture *f, const struct region *r, uint64_t identity)
{
    int fd = store_open_file(f->disk.store, OWNER, &r->record.handle, O_RDWR);

    assert_true(fd >= 0);
    assert_int_equal(store_mark(fd, identity), 0);
    return fd;
}

static void start_shrink(struct fixture *f, struct op *op, struct region *r, uint64_t identity, bool *ended)
{
    op_init(op, &f->env, &op_shrink, r);
    op->identity = identity;
    op->size = r->size / 2;
    op->known_size = r->size;
    op->done = set_done;
    op->owner = ended;
    op->waits = count_waits;
    *ended = false;
    n_waits = 0;
    op_submit(op);
}

// Turns the loop until OP waits for the N-th time.
static void turn_until_waiting(struct fixture *f, const struct op *op, unsigned n)
{
    while (!op->is_waiting || n_waits < n)
        event_base_loop(f->base, EVLOOP_ONCE);
}

static void expect_granted_after(struct fixture *f, struct region *r, unsigned n_refusals)
{
    int other = marked_by(f, r, OTHER);
    struct op op;
    bool ended;

    start_shrink(f, &op, r, SELF, &ended);
    turn_until_waiting(f, &op, n_refusals);
    assert_false(ended);
    close(other);
    turn_until(f, &ended);
    assert_int_equal(op.result, 0);
    assert_false(r->holders.left);
    assert_int_equal(r->holders.awaited, 0);
}

static void a_shrink_waits_until_the_mark_of_another_has_gone(void **state)
{
    struct fixture f;
    struct region *r;

    (void)state;
    fixture_init(&f);
    assert_int_equal(create(&f, "", SIZE, &r), 0);
    r->record.flags |= RECORD_MARKED;
    r->holders.left = true;
    expect_granted_after(&f, r, 2);
    r->holders.awaited = 1;
    expect_granted_after(&f, r, 1);
    fixture_deinit(&f);
}

static void a_mark_that_stays_refuses_a_shrink(void **state)
{
    struct fixture f;
    struct region *r;
    struct op op;
    bool ended;
    int other;

    (void)state;
    fixture_init(&f);
    assert_int_equal(create(&f, "", SIZE, &r), 0);
    r->record.flags |= RECORD_MARKED;
    r->holders.left = true;
    other = marked_by(&f, r, OTHER);
    start_shrink(&f, &op, r, SELF, &ended);
    turn_until(&f, &ended);
    assert_int_equal(op.result, -EBUSY);
    assert_true(r->holders.left);
    close(other);
    fixture_deinit(&f);
}

// As granted as if the mark were not there.
static void expect_not_asked(struct fixture *f, struct region *r, uint64_t identity)
{
    struct op op;
    bool ended;

    start_shrink(f, &op, r, identity, &ended);
    turn_until(f, &ended);
    assert_int_equal(op.result, 0);
    assert_int_equal(n_waits, 0);
}

static void nobody_is_asked_where_nobody_can_tell(void **state)
{
    struct fixture f;
    struct region *r;
    int other;

    (void)state;
    fixture_init(&f);
    assert_int_equal(create(&f, "", SIZE, &r), 0);
    other = marked_by(&f, r, OTHER);
    r->record.flags |= RECORD_MARKED;
    expect_not_asked(&f, r, SELF); // nobody has left the region
    r->holders.left = true;
    expect_not_asked(&f, r, 0); // a process that can't be told from others
    r->record.flags &= ~(uint32_t)RECORD_MARKED;
    expect_not_asked(&f, r, SELF); // a region of an older daemon
    close(other);
    fixture_deinit(&f);
}

// By the record, descriptors of an earlier daemon's passthrough fence may be around.
static void what_was_left_to_nobody_knows_whom_is_not_cut(void **state)
{
    struct fixture f;
    struct region *r;
    struct op op;
    bool ended;

    (void)state;
    fixture_init(&f);
    assert_int_equal(create(&f, "", SIZE, &r), 0);
    r->record.flags &= ~(uint32_t)RECORD_MARKED;
    r->record.flags |= RECORD_PASSTHROUGH;
    expect_not_asked(&f, r, SELF); // nobody has left the region
    r->holders.left = true;
    start_shrink(&f, &op, r, SELF, &ended);
    turn_until(&f, &ended);
    assert_int_equal(op.result, -EBUSY);
    fixture_deinit(&f);
}

static void attach_and_lose(struct holders *h, struct region *r, const struct holder *holder)
{
    struct attachment_list list = TAILQ_HEAD_INITIALIZER(list);

    assert_int_equal(holders_attach(h, r, (struct peer *)h, holder, false, &list), 0);
    holders_lose(h, TAILQ_FIRST(&list));
    holders_detach(h, TAILQ_FIRST(&list), &list);
}

static void who_is_lost_has_left_when_it_ends_or_says_so(void **state)
{
    const struct holder self = {.uid = 1, .pid = getpid(), .pid_is_ours = true};
    const struct holder ended = {.uid = 1, .pid = INT_MAX, .pid_is_ours = true}; // no process has that number
    struct region r = {0};
    struct holders *h = &r.holders;

    (void)state;
    holders_init(h);
    attach_and_lose(h, &r, &self);
    assert_false(h->left);
    assert_true(holders_take_back(h, &self)); // it is back
    assert_false(h->left);
    attach_and_lose(h, &r, &self);
    holders_leave(h, &self);
    assert_true(h->left);
    holders_forget(h);
    attach_and_lose(h, &r, &ended);
    assert_false(h->left);
    assert_false(holders_are_lost(h));
    assert_true(h->left);
    holders_deinit(h);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_shrink_waits_until_the_mark_of_another_has_gone),
        TEST(a_mark_that_stays_refuses_a_shrink),
        TEST(nobody_is_asked_where_nobody_can_tell),
        TEST(what_was_left_to_nobody_knows_whom_is_not_cut),
        TEST(who_is_lost_has_left_when_it_ends_or_says_so),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
