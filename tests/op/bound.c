// The limit of a region's project follows what is granted: it is never lower when blocks are taken, and never much
// higher afterwards.
#include "daemon/fence/projects.h"
#include "tests/lib/fake_projects.h"
#include "tests/lib/op_fixture.h"

enum { MIB_ = 1 << 20, ROUNDS = 400, N_REGIONS = 4 };

static void begin(struct fixture *f)
{
    const char *why;

    fake_projects_reset();
    fixture_init(f);
    f->ops.allocate = fake_allocate;
    assert_int_equal(projects_new(&fake_projects, store_dir_fd(f->disk.store), &f->disk.projects, &why), 0);
}

static void settle(struct fixture *f, struct region *r)
{
    while (!TAILQ_EMPTY(&r->ops))
        assert_true(event_base_loop(f->base, EVLOOP_ONCE) >= 0);
}

static void end(struct fixture *f)
{
    struct projects *p = f->disk.projects;

    for (struct region *r = NULL; (r = region_next(&f->regions, r ? &r->record.handle : NULL));)
        settle(f, r);
    fixture_deinit(f);
    projects_free(p);
}

// What is allowed beyond the granted bytes.
static uint64_t beyond(struct fixture *f, struct region *r)
{
    uint64_t bytes = r->charge.amount[QUOTA_BYTES], limit;

    settle(f, r);
    limit = fake_limit(r->project.id);
    assert_int_equal(limit, r->project.limit);
    assert_true(limit >= bytes);
    return limit - bytes;
}

static bool is_tight(struct fixture *f, struct region *r)
{
    return beyond(f, r) == r->charge.amount[QUOTA_BYTES] / 64 + 256 * 1024;
}

static int change(struct fixture *f, struct region *r, const struct op_type *type, uint64_t offset, uint64_t length)
{
    struct op op;

    op_init(&op, &f->env, type, r);
    op.offset = offset;
    op.length = length;
    return run_op(f, &op);
}

static void remove_region(struct fixture *f, struct region *r)
{
    struct op op;

    settle(f, r);
    peer_detach(&f->peer, holders_find(&r->holders, &f->peer));
    op_init(&op, &f->env, &op_reap, r);
    assert_int_equal(run_op(f, &op), 0);
}

static void a_region_is_bounded_from_its_first_block_to_its_end(void **state)
{
    struct fixture f;
    struct region *r, *other;
    uint32_t id;

    (void)state;
    begin(&f);
    assert_int_equal(create(&f, "", 4 * MIB_, &r), 0);
    assert_int_equal(create(&f, "b", 0, &other), 0);
    id = r->project.id;
    assert_int_not_equal(id, 0);
    assert_int_not_equal(id, other->project.id);
    assert_true(beyond(&f, r) <= 4 * MIB_ / 8 + MIB_);
    assert_int_equal(resize(&f, r, 64 * MIB_), 0);
    assert_true(is_tight(&f, r)); // a large grow is no sign of further ones
    assert_int_equal(resize(&f, r, 8 * MIB_), 0);
    assert_true(is_tight(&f, r));
    assert_int_equal(change(&f, r, &op_discard, MIB_, 4 * MIB_), 0);
    assert_int_equal(r->charge.amount[QUOTA_BYTES], 4 * MIB_);
    assert_true(is_tight(&f, r));
    assert_int_equal(change(&f, r, &op_restore, 2 * MIB_, MIB_), 0);
    assert_true(is_tight(&f, r));
    remove_region(&f, r);
    assert_int_equal(fake_limit(id), 0);
    assert_int_equal(n_fake_refusals, 0);
    end(&f);
}

static void small_grows_set_the_limit_now_and_then_and_rest_makes_it_tight(void **state)
{
    struct fixture f;
    struct region *r;

    (void)state;
    begin(&f);
    assert_int_equal(create(&f, "a", 64 * MIB_, &r), 0);
    n_fake_limits = 0;
    for (uint64_t size = 65; size <= 128; size++)
        assert_int_equal(resize(&f, r, size * MIB_), 0);
    assert_true(n_fake_limits <= 10);
    op_close_unused_files(&f.env);
    op_close_unused_files(&f.env);
    assert_true(is_tight(&f, r));
    // An operation that needs the file for itself closes it: then the limit is not ahead any more.
    assert_int_equal(resize(&f, r, 129 * MIB_), 0);
    assert_false(is_tight(&f, r));
    assert_int_equal(commit(&f, r, MIB_, false), 0);
    assert_true(is_tight(&f, r));
    assert_int_equal(n_fake_refusals, 0);
    end(&f);
}

static void a_failed_or_cancelled_grow_leaves_no_wider_limit(void **state)
{
    struct fixture f;
    struct region *r;
    struct op op;
    bool done = false;

    (void)state;
    begin(&f);
    assert_int_equal(create(&f, "a", MIB_, &r), 0);
    inject(TRUNCATE, 1, EIO);
    f.ops.allocate = file_ops_system.allocate;
    inject(SET_XATTR, 1, EIO);
    assert_true(resize(&f, r, 100 * MIB_) < 0);
    inject(NO_FAULT, 1, 0);
    assert_true(beyond(&f, r) <= 2 * MIB_);
    op_init(&op, &f.env, &op_grow, r);
    op.size = 100 * MIB_;
    op.done = set_done;
    op.owner = &done;
    op_submit(&op);
    op_cancel(&op);
    turn_until(&f, &done);
    assert_true(beyond(&f, r) <= (op.result < 0 ? 2 : 3) * MIB_);
    end(&f);
}

static void what_a_client_has_taken_is_cut_off_before_a_grow_is_refused(void **state)
{
    struct fixture f;
    struct region *r;
    int fd;

    (void)state;
    begin(&f);
    assert_int_equal(create(&f, "a", 32 * MIB_, &r), 0);
    settle(&f, r);
    fd = store_open_file(f.disk.store, OWNER, &r->record.handle, O_RDWR);
    assert_int_equal(fallocate(fd, FALLOC_FL_KEEP_SIZE, 60 * MIB_, 16 * MIB_), 0);
    assert_int_equal(resize(&f, r, 36 * MIB_), 0);
    assert_int_equal(n_fake_refusals, 1);
    // In the part that is discarded it is not cut off: the limit is named.
    assert_int_equal(change(&f, r, &op_discard, 0, 16 * MIB_), 0);
    settle(&f, r);
    assert_int_equal(fallocate(fd, 0, 0, 16 * MIB_), 0);
    {
        struct op op;

        op_init(&op, &f.env, &op_grow, r);
        op.size = 40 * MIB_;
        assert_int_equal(run_op(&f, &op), -ENOSPC);
        assert_string_equal(op.refusal.limit_name, "project quota of the region");
        assert_true(op.refusal.limit >= 24 * MIB_ && op.refusal.limit < 30 * MIB_);
        assert_true(op.refusal.used >= 36 * MIB_);
        assert_int_equal(op.refusal.asked, 4 * MIB_);
    }
    assert_int_equal(r->size, 36 * MIB_);
    close(fd);
    end(&f);
}

static void a_region_without_a_project_gets_one_before_it_is_handed_out(void **state)
{
    struct fixture f;
    struct region *r;

    (void)state;
    begin(&f);
    fake_failing = FAKE_SET;
    fake_failure = -EROFS;
    assert_int_equal(create(&f, "a", MIB_, &r), 0); // the fence is no reason to refuse
    assert_int_equal(r->project.id, 0);
    fake_failing = FAKE_NONE;
    assert_int_equal(open_it(&f, r), 0);
    assert_int_not_equal(r->project.id, 0);
    assert_true(is_tight(&f, r));
    end(&f);
}

static void a_create_that_fails_gives_its_project_back(void **state)
{
    struct fixture f;
    struct region *r;

    (void)state;
    begin(&f);
    for (int i = 0; i < 3000; i++) { // more than there are ids in a window
        inject(LINK, 1, EIO);
        assert_true(create(&f, "a", 0, &r) < 0);
    }
    inject(NO_FAULT, 1, 0);
    assert_int_equal(create(&f, "a", 0, &r), 0);
    assert_int_not_equal(r->project.id, 0);
    end(&f);
}

static uint64_t some(uint64_t n)
{
    return (uint64_t)random() % n;
}

static void do_something(struct fixture *f, struct region *r)
{
    uint64_t blocks = r->size / 4096, at = blocks ? some(blocks) : 0;

    switch (some(5)) {
    case 0:
        resize(f, r, r->size + some(3 * MIB_));
        break;
    case 1:
        resize(f, r, some(r->size + 1));
        break;
    case 2:
        change(f, r, &op_discard, at * 4096, some(blocks - at + 1) * 4096);
        break;
    case 3:
        change(f, r, &op_restore, at * 4096, some(blocks - at + 1) * 4096);
        break;
    default:
        commit(f, r, 0, false);
    }
}

static void no_operation_is_refused_by_the_limits(void **state)
{
    struct region *regions[N_REGIONS];
    struct fixture f;
    char name[] = "a";

    (void)state;
    begin(&f);
    srandom(1);
    for (unsigned i = 0; i < N_REGIONS; i++, name[0]++)
        assert_int_equal(create(&f, name, some(MIB_), &regions[i]), 0);
    for (unsigned i = 0; i < ROUNDS; i++) {
        struct region *r = regions[some(N_REGIONS)];

        if (some(4) == 0)
            inject((enum fault_kind)(OPEN + some(FAULT_KIND_N - OPEN)), (int)some(3) + 1, EIO);
        do_something(&f, r);
        inject(NO_FAULT, 1, 0);
        assert_true(beyond(&f, r) <= r->charge.amount[QUOTA_BYTES] / 8 + MIB_);
        if (some(20) == 0)
            op_close_unused_files(&f.env);
    }
    assert_int_equal(n_fake_refusals, 0);
    end(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_region_is_bounded_from_its_first_block_to_its_end),
        TEST(small_grows_set_the_limit_now_and_then_and_rest_makes_it_tight),
        TEST(a_failed_or_cancelled_grow_leaves_no_wider_limit),
        TEST(what_a_client_has_taken_is_cut_off_before_a_grow_is_refused),
        TEST(a_region_without_a_project_gets_one_before_it_is_handed_out),
        TEST(a_create_that_fails_gives_its_project_back),
        TEST(no_operation_is_refused_by_the_limits),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
