// A disk that frees blocks, fails, and does not give the blocks back: what has none is no granted byte any more.
#include "daemon/quota/charge.h"
#include "tests/lib/op_fixture.h"

enum { BLOCK = 4096 };

// Of the disk: how many more calls succeed.
static _Atomic int allocations_left, punches_left, truncates_left;
static _Atomic bool cuts_before_it_fails, keeps_records;
static const char *needs; // freeing takes the room of this file, first; NULL: it does not

static bool is_full_to_the_last(void)
{
    return needs && access(needs, F_OK) == 0;
}

static int allocate(int fd, int mode, uint64_t offset, uint64_t length)
{
    bool punches = mode & FALLOC_FL_PUNCH_HOLE;

    if (punches && is_full_to_the_last())
        return -ENOSPC;
    if (--*(punches ? &punches_left : &allocations_left) >= 0)
        return file_ops_system.allocate(fd, mode, offset, length);
    if (punches) // as a real one may: a part is done
        file_ops_system.allocate(fd, mode, offset, length / 2 / BLOCK * BLOCK);
    return punches ? -EIO : -ENOSPC;
}

static int truncate_to(int fd, uint64_t size)
{
    bool fails = --truncates_left < 0;

    if (is_full_to_the_last())
        return -EDQUOT;
    if (!fails || cuts_before_it_fails)
        assert_int_equal(file_ops_system.truncate(fd, size), 0);
    return fails ? -EIO : 0;
}

static int set_xattr(int fd, const char *name, const void *value, size_t size)
{
    return keeps_records ? -EIO : file_ops_system.set_xattr(fd, name, value, size);
}

static void all_is_well(void)
{
    allocations_left = punches_left = truncates_left = INT_MAX;
    cuts_before_it_fails = keeps_records = false;
}

static void begin(struct fixture *f, uint64_t size, struct region **ret)
{
    all_is_well();
    fixture_init(f);
    f->ops.allocate = allocate;
    f->ops.truncate = truncate_to;
    f->ops.set_xattr = set_xattr;
    assert_int_equal(create(f, "", size, ret), 0);
    assert_int_equal(commit(f, *ret, size, false), 0);
}

static int change(struct fixture *f, const struct op_type *type, struct region *r, uint64_t offset, uint64_t length)
{
    struct op op;

    op_init(&op, &f->env, type, r);
    op.offset = offset;
    op.length = length;
    return run_op(f, &op);
}

static int found(void *data, struct store_found *region)
{
    uint64_t *sum = data;

    if (region->needs_repair)
        return -EIO;
    *sum += region->size - region->discarded.sum;
    return 0;
}

// Each granted byte has a block, the charge is what is granted, and a daemon that starts now finds the same.
static void expect_granted(struct fixture *f, const struct region *r, uint64_t bytes)
{
    const struct store_grant grant = {.size = r->size, .discarded = &r->discarded};
    struct store_deviation d;
    struct store_left left;
    uint64_t sum = 0;
    int fd = store_open_file(f->disk.store, OWNER, &r->record.handle, O_RDONLY);

    all_is_well();
    assert_int_equal(store_compare(f->disk.store, fd, &grant, true, &d), 0);
    close(fd);
    assert_int_equal(d.missing, 0);
    assert_int_equal(d.shorter, 0);
    assert_int_equal(r->size - r->discarded.sum, bytes);
    assert_int_equal(charged(f), bytes);
    assert_int_equal(store_scan(f->disk.store, found, &sum, &left), 0);
    assert_int_equal(sum, bytes);
}

static void a_discard_that_cannot_be_undone_is_done_as_far_as_blocks_are_lost(void **state)
{
    struct fixture f;
    struct region *r;

    (void)state;
    begin(&f, 64 * BLOCK, &r);
    assert_int_equal(change(&f, &op_discard, r, 18 * BLOCK, 2 * BLOCK), 0);
    punches_left = 0;
    allocations_left = 1; // what lies before the part that was discarded already
    assert_int_equal(change(&f, &op_discard, r, 16 * BLOCK, 16 * BLOCK), -EIO);
    assert_int_equal(ranges_overlap(&r->discarded, 18 * BLOCK, 6 * BLOCK), 6 * BLOCK);
    assert_int_equal(r->discarded.sum, 6 * BLOCK);
    expect_granted(&f, r, 58 * BLOCK);
    assert_int_equal(change(&f, &op_restore, r, 0, 64 * BLOCK), 0);
    expect_granted(&f, r, 64 * BLOCK);
    fixture_deinit(&f);
}

static void a_discard_of_several_pieces_keeps_the_piece_that_is_lost(void **state)
{
    struct fixture f;
    struct region *r;

    (void)state;
    begin(&f, 3 * GIB, &r);
    punches_left = 1;
    allocations_left = 1;
    assert_int_equal(change(&f, &op_discard, r, 0, 3 * GIB), -EIO);
    assert_int_equal(ranges_overlap(&r->discarded, GIB, GIB / 2), GIB / 2);
    expect_granted(&f, r, 3 * GIB - GIB / 2);
    fixture_deinit(&f);
}

static void a_discard_that_was_refused_before_it_began_changes_nothing(void **state)
{
    struct fixture f;
    struct region *r;

    (void)state;
    begin(&f, 64 * BLOCK, &r);
    keeps_records = true;
    assert_int_equal(change(&f, &op_discard, r, 0, 16 * BLOCK), -EIO);
    expect_granted(&f, r, 64 * BLOCK);
    fixture_deinit(&f);
}

static void a_shrink_that_cannot_be_undone_ends_where_the_blocks_end(void **state)
{
    struct fixture f;
    struct region *r;

    (void)state;
    begin(&f, 3 * GIB, &r);
    truncates_left = 1;
    allocations_left = 0;
    assert_int_equal(resize(&f, r, BLOCK), -EIO);
    assert_int_equal(r->size, 2 * GIB);
    assert_int_equal(r->record.granted, 2 * GIB);
    assert_int_equal(r->record.used, 2 * GIB);
    expect_granted(&f, r, 2 * GIB);
    // With blocks to be had, everything is granted again.
    truncates_left = 1;
    assert_int_equal(resize(&f, r, BLOCK), -EIO);
    assert_int_equal(r->size, 2 * GIB);
    assert_int_equal(r->record.used, 2 * GIB);
    expect_granted(&f, r, 2 * GIB);
    assert_int_equal(resize(&f, r, BLOCK), 0);
    expect_granted(&f, r, BLOCK);
    fixture_deinit(&f);
}

static void a_truncate_that_fails_and_cuts_is_seen(void **state)
{
    struct fixture f;
    struct region *r;

    (void)state;
    begin(&f, 64 * BLOCK, &r);
    truncates_left = 0;
    cuts_before_it_fails = true;
    assert_int_equal(resize(&f, r, 8 * BLOCK), -EIO);
    assert_int_equal(r->size, 64 * BLOCK); // the blocks could be had again
    expect_granted(&f, r, 64 * BLOCK);
    truncates_left = allocations_left = 0;
    cuts_before_it_fails = true;
    assert_int_equal(resize(&f, r, 8 * BLOCK), -EIO);
    assert_int_equal(r->size, 8 * BLOCK);
    expect_granted(&f, r, 8 * BLOCK);
    fixture_deinit(&f);
}

// As btrfs at the limit of a quota.
static void what_frees_blocks_may_need_the_reserve(void **state)
{
    struct fixture f;
    struct region *r;
    struct op op;
    char reserve[200];

    (void)state;
    begin(&f, 64 * BLOCK, &r);
    snprintf(reserve, sizeof reserve, "%s/.reserve", f.dir);
    needs = reserve;
    assert_true(is_full_to_the_last());
    assert_int_equal(resize(&f, r, 32 * BLOCK), 0);
    assert_true(is_full_to_the_last()); // made again
    assert_int_equal(change(&f, &op_discard, r, 0, 16 * BLOCK), 0);
    assert_true(is_full_to_the_last());
    expect_granted(&f, r, 16 * BLOCK);
    peer_detach(&f.peer, holders_find(&r->holders, &f.peer));
    op_init(&op, &f.env, &op_reap, r);
    assert_int_equal(run_op(&f, &op), 0);
    needs = NULL;
    fixture_deinit(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_discard_that_cannot_be_undone_is_done_as_far_as_blocks_are_lost),
        TEST(a_discard_of_several_pieces_keeps_the_piece_that_is_lost),
        TEST(a_discard_that_was_refused_before_it_began_changes_nothing),
        TEST(a_shrink_that_cannot_be_undone_ends_where_the_blocks_end),
        TEST(a_truncate_that_fails_and_cuts_is_seen),
        TEST(what_frees_blocks_may_need_the_reserve),
    };

    return cmocka_run_group_tests_name("op-lost", tests, NULL, NULL);
}
