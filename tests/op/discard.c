// Discard and restore on a disk that fails; and a property test of all operations: the charges are what a model and
// the files say.
#include "daemon/quota/charge.h"
#include "tests/lib/op_fixture.h"

static int discard_or_restore(struct fixture *f, const struct op_type *type, struct region *r, uint64_t offset,
                              uint64_t length)
{
    struct op op;

    op_init(&op, &f->env, type, r);
    op.offset = offset;
    op.length = length;
    return run_op(f, &op);
}

static uint64_t blocks_on_disk(struct fixture *f, const struct region *r)
{
    struct stat st;
    int fd = store_open_file(f->disk.store, OWNER, &r->record.handle, O_RDONLY);

    assert_int_equal(fstat(fd, &st), 0);
    close(fd);
    return (uint64_t)st.st_blocks * 512;
}

static void a_discard_gives_blocks_and_charge_back_and_a_restore_takes_them_again(void **state)
{
    struct fixture f;
    struct region *r;

    (void)state;
    fixture_init(&f);
    assert_int_equal(create(&f, "kept", 10 << 20, &r), 0);
    assert_int_equal(discard_or_restore(&f, &op_discard, r, 1 << 20, 4 << 20), 0);
    assert_int_equal(charged(&f), 6 << 20);
    assert_int_equal(r->size, 10 << 20);
    assert_true(blocks_on_disk(&f, r) < 7 << 20);
    assert_int_equal(discard_or_restore(&f, &op_discard, r, 2 << 20, 1 << 20), 0); // is already
    assert_int_equal(charged(&f), 6 << 20);
    assert_int_equal(discard_or_restore(&f, &op_restore, r, 0, 3 << 20), 0);
    assert_int_equal(charged(&f), 8 << 20);
    assert_true(blocks_on_disk(&f, r) >= 8 << 20);
    // A part that was cut off is not discarded any more.
    assert_int_equal(resize(&f, r, 4 << 20), 0);
    assert_int_equal(charged(&f), 3 << 20);
    assert_int_equal(resize(&f, r, 6 << 20), 0);
    assert_int_equal(charged(&f), 5 << 20);
    fixture_deinit(&f);
}

static void a_discard_or_restore_that_makes_no_sense_is_refused(void **state)
{
    static const uint64_t ranges[][2] = {
        {1, 4096}, {4096, 1}, {0, 2 << 20}, {2 << 20, 4096}, {UINT64_MAX - 4095, 4096}};
    struct fixture f;
    struct region *r;

    (void)state;
    fixture_init(&f);
    assert_int_equal(create(&f, "", 1 << 20, &r), 0);
    for (size_t i = 0; i < sizeof ranges / sizeof *ranges; i++) {
        assert_int_equal(discard_or_restore(&f, &op_discard, r, ranges[i][0], ranges[i][1]), -EINVAL);
        assert_int_equal(discard_or_restore(&f, &op_restore, r, ranges[i][0], ranges[i][1]), -EINVAL);
    }
    expect_consistent(&f, 1 << 20, 1);
    fixture_deinit(&f);
}

static void a_region_in_too_many_pieces_is_refused_and_says_so(void **state)
{
    struct fixture f;
    struct region *r;
    struct op op;

    (void)state;
    fixture_init(&f);
    assert_int_equal(create(&f, "", (2 * RANGES_MAX + 4) * 4096ull, &r), 0);
    for (uint64_t i = 0; i < RANGES_MAX; i++)
        assert_int_equal(ranges_add(&r->discarded, i * 8192, 4096), 0);
    quota_charge_sub(&r->charge, QUOTA_BYTES, RANGES_MAX * 4096ull);
    op_init(&op, &f.env, &op_discard, r);
    op.offset = (2 * RANGES_MAX + 2) * 4096ull;
    op.length = 4096;
    assert_int_equal(run_op(&f, &op), -EUSERS);
    assert_string_equal(op.refusal.limit_name, "discarded ranges");
    assert_int_equal(op.refusal.limit, RANGES_MAX);
    fixture_deinit(&f);
}

static void a_discard_or_restore_that_fails_anywhere_changes_nothing(void **state)
{
    struct fixture f;
    struct region *r;

    (void)state;
    fixture_init(&f);
    assert_int_equal(create(&f, "kept", 4 << 20, &r), 0);
    for (int nth = 1; nth <= 2; nth++)
        FOR_EACH_FAULT(kind, error)
        {
            bool is_tried_again = kind == ALLOCATE && (error == ENOSPC || error == EDQUOT); // with the reserve's room
            int result;

            r->record.flags = 0; // as if it were the first time
            inject(kind, nth, error);
            result = discard_or_restore(&f, &op_discard, r, 1 << 20, 1 << 20);
            fault_kind = NO_FAULT;
            assert_int_equal(result, n_faults && !is_tried_again ? told(error) : 0);
            assert_int_equal(charged(&f), result == 0 ? 3 << 20 : 4 << 20);
            if (result < 0)
                assert_int_equal(discard_or_restore(&f, &op_discard, r, 1 << 20, 1 << 20), 0);

            inject(kind, nth, error);
            result = discard_or_restore(&f, &op_restore, r, 0, 4 << 20);
            fault_kind = NO_FAULT;
            assert_int_equal(result, n_faults ? told(error) : 0);
            assert_int_equal(charged(&f), result == 0 ? 4 << 20 : 3 << 20);
            if (result < 0)
                assert_int_equal(discard_or_restore(&f, &op_restore, r, 0, 4 << 20), 0);
        }
    fixture_deinit(&f);
}

enum {
    N = 12,
    STEPS = 4000,
    BLOCK = 4096,
    MODEL_BLOCKS = 1024,
};

struct model {
    struct region *region;
    bool granted[MODEL_BLOCKS + 1];
};

static void model_set(struct model *m, uint64_t from, uint64_t to, bool granted)
{
    for (uint64_t block = from / BLOCK; block < (to + BLOCK - 1) / BLOCK; block++)
        m->granted[block] = granted;
}

static void random_step(struct fixture *f, struct model *m, unsigned *seed)
{
    uint64_t size = (uint64_t)rand_r(seed) % (MODEL_BLOCKS * BLOCK), before, a, b;
    struct op op;

    if (!m->region) {
        if (create(f, "", size, &m->region) < 0)
            m->region = NULL;
        else
            model_set(m, 0, size, true);
        return;
    }
    before = m->region->size;
    a = (uint64_t)rand_r(seed) % (before / BLOCK + 1);
    b = (uint64_t)rand_r(seed) % (before / BLOCK + 1);
    switch (rand_r(seed) % 6) {
    case 0:
        peer_detach(&f->peer, holders_find(&m->region->holders, &f->peer));
        op_init(&op, &f->env, &op_reap, m->region);
        if (run_op(f, &op) == 0) {
            memset(m, 0, sizeof *m);
            break;
        }
        if (m->region->record.flags & RECORD_UNLINKED) { // its file was cut: the next try removes it
            fault_kind = NO_FAULT;
            op_init(&op, &f->env, &op_reap, m->region);
            assert_int_equal(run_op(f, &op), 0);
            memset(m, 0, sizeof *m);
            break;
        }
        assert_int_equal(peer_attach(&f->peer, m->region, false, HOLDER_IS_NEW), 0);
        orphans_consider(f->env.orphans, m->region);
        break;
    case 1:
        if (a < b && discard_or_restore(f, &op_discard, m->region, a * BLOCK, (b - a) * BLOCK) == 0)
            model_set(m, a * BLOCK, b * BLOCK, false);
        break;
    case 2:
        if (a < b && discard_or_restore(f, &op_restore, m->region, a * BLOCK, (b - a) * BLOCK) == 0)
            model_set(m, a * BLOCK, b * BLOCK, true);
        break;
    default:
        if (resize(f, m->region, size) < 0)
            break;
        if (size > before) // a last block that is not whole is granted again
            model_set(m, before / BLOCK * BLOCK, size, true);
        else
            model_set(m, (size + BLOCK - 1) / BLOCK * BLOCK, before, false);
    }
}

struct granted {
    struct store *store;
    uint64_t sum;
};

static int sum_granted(void *data, struct store_found *region)
{
    struct granted *granted = data;

    if (region->needs_repair)
        assert_int_equal(store_repair(granted->store, region), 0);
    granted->sum += ((region->size + BLOCK - 1) & ~(uint64_t)(BLOCK - 1)) - region->discarded.sum;
    return 0;
}

// The charges, the model's granted bytes, and the bytes that a daemon that starts now would find are equal, after
// each of many random operations with random failures.
static void charges_equal_model_and_files_after_any_sequence(void **state)
{
    static struct model models[N];
    struct fixture f;
    unsigned seed = 20240229;

    (void)state;
    memset(models, 0, sizeof models);
    fixture_init(&f);
    for (int step = 0; step < STEPS; step++) {
        struct granted found = {.store = f.disk.store};
        uint64_t expected = 0;
        struct store_left left;

        if (rand_r(&seed) % 3 == 0)
            inject(OPEN + (enum fault_kind)(rand_r(&seed) % (FAULT_KIND_N - OPEN)), 1 + rand_r(&seed) % 2,
                   errors[rand_r(&seed) % N_ERRORS]);
        random_step(&f, &models[rand_r(&seed) % N], &seed);
        fault_kind = NO_FAULT;
        for (int k = 0; k < N; k++)
            for (int block = 0; block <= MODEL_BLOCKS; block++)
                expected += models[k].granted[block] ? BLOCK : 0;
        assert_int_equal(charged(&f), expected);
        if (step % 50 != 0)
            continue;
        assert_int_equal(store_scan(f.disk.store, sum_granted, &found, &left), 0);
        assert_int_equal(found.sum, expected);
        assert_int_equal(left.foreign, 0);
    }
    fixture_deinit(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_discard_gives_blocks_and_charge_back_and_a_restore_takes_them_again),
        TEST(a_discard_or_restore_that_makes_no_sense_is_refused),
        TEST(a_region_in_too_many_pieces_is_refused_and_says_so),
        TEST(a_discard_or_restore_that_fails_anywhere_changes_nothing),
        TEST(charges_equal_model_and_files_after_any_sequence),
    };

    return cmocka_run_group_tests_name("op-discard", tests, NULL, NULL);
}
