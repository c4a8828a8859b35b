// Looking at files that were changed behind the daemon's back: when the disk fails meanwhile, and how often.
#include "tests/lib/op_fixture.h"

#include <linux/falloc.h>

#include "daemon/store/deviation.h"
#include "daemon/store/store.h"
#include "daemon/suspects.h"

enum { SIZE = 1 << 20 };

static uint64_t woken_at;

static void note_wake(void *data, uint64_t at)
{
    (void)data;
    woken_at = at < woken_at ? at : woken_at;
}

static void init(struct fixture *f)
{
    fixture_init(f);
    woken_at = UINT64_MAX;
    assert_int_equal(suspects_new(&f->regions, note_wake, NULL, &f->env.suspects), 0);
}

static void deinit(struct fixture *f)
{
    for (struct region *r = region_next(&f->regions, NULL); r; r = region_next(&f->regions, &r->record.handle))
        suspects_forget(f->env.suspects, r);
    fixture_deinit(f);
    suspects_free(f->env.suspects);
}

static int open_plain(struct fixture *f, const struct region *r)
{
    int fd = store_open_file(f->disk.store, OWNER, &r->record.handle, O_RDWR);

    assert_true(fd >= 0);
    return fd;
}

static bool queue_is_empty(struct region *r)
{
    return TAILQ_EMPTY(&r->ops);
}

// Looks at what is due MS from now, until nothing is at work on R.
static void look(struct fixture *f, struct region *r, uint64_t ms)
{
    op_verify_suspects(&f->env, clock_now() + ms);
    while (!queue_is_empty(r))
        event_base_loop(f->base, EVLOOP_ONCE);
}

static void expect_mended(struct fixture *f, int fd, uint64_t n_mended)
{
    struct ranges none = {0};
    const struct store_grant grant = {.size = SIZE, .discarded = &none};
    struct store_deviation d;

    assert_int_equal(store_compare(f->disk.store, fd, &grant, true, &d), 0);
    assert_int_equal(d.longer | d.shorter | d.extra | d.missing, 0);
    assert_int_equal(f->env.n_mended, n_mended);
}

static void each_failure_is_tried_again(void **state)
{
    static const enum fault_kind kinds[] = {OPEN, TRUNCATE, ALLOCATE};
    struct fixture f;
    struct region *r = NULL;

    (void)state;
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++)
        for (size_t j = 0; j < N_ERRORS; j++) {
            int fd;

            init(&f);
            assert_int_equal(create(&f, "", SIZE, &r), 0);
            r->changed_at = 0;
            fd = open_plain(&f, r);
            assert_int_equal(fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, 64 * KIB), 0);
            assert_int_equal(ftruncate(fd, 3 * SIZE), 0);
            suspects_note(f.env.suspects, r);
            inject(kinds[i], 1, errors[j]);
            look(&f, r, 0);
            assert_true(n_faults > 0);
            assert_int_equal(f.env.n_mended, 0);
            inject(NO_FAULT, 0, 0);
            look(&f, r, 9000); // too early
            assert_int_equal(f.env.n_mended, 0);
            look(&f, r, 11000);
            expect_mended(&f, fd, 1);
            assert_int_equal(charged(&f), SIZE);
            assert_false(suspects_is_frozen(r, clock_now())); // the same change, found twice
            close(fd);
            deinit(&f);
        }
}

// As the kernel does it: an fallocate that fails raises no event, and keeps the blocks that it has got.
static void a_full_disk_has_all_regions_looked_at(void **state)
{
    struct fixture f;
    struct region *hoarder = NULL, *victim = NULL;
    int fd;

    (void)state;
    for (int waits = 0; waits < 2; waits++) {
        struct op op;

        init(&f);
        assert_int_equal(create(&f, "", SIZE, &hoarder), 0);
        assert_int_equal(create(&f, "", SIZE, &victim), 0);
        fd = open_plain(&f, hoarder);
        assert_int_equal(fallocate(fd, FALLOC_FL_KEEP_SIZE, SIZE, 8 * SIZE), 0);
        look(&f, hoarder, 11000);
        assert_int_equal(f.env.n_mended, 0); // nobody knows
        op_init(&op, &f.env, &op_grow, victim);
        op.size = 2 * SIZE;
        op.wait_deadline = waits ? clock_now() + 50 : 0;
        inject(ALLOCATE, 1, ENOSPC);
        assert_int_equal(run_op(&f, &op), waits ? -ETIMEDOUT : -ENOSPC);
        inject(NO_FAULT, 0, 0);
        for (int i = 0; i < 3; i++) { // the audit's regions
            look(&f, hoarder, 0);
            look(&f, victim, 0);
        }
        expect_mended(&f, fd, 1);
        assert_int_equal(resize(&f, victim, 2 * SIZE), 0);
        // No more often than every few seconds.
        inject(ALLOCATE, 1, ENOSPC);
        assert_int_equal(resize(&f, victim, 3 * SIZE), -ENOSPC);
        inject(NO_FAULT, 0, 0);
        assert_int_equal(fallocate(fd, FALLOC_FL_KEEP_SIZE, SIZE, 8 * SIZE), 0);
        look(&f, hoarder, 5000);
        assert_int_equal(f.env.n_mended, 1);
        f.env.full_audited = 1;
        inject(ALLOCATE, 1, ENOSPC);
        assert_int_equal(resize(&f, victim, 3 * SIZE), -ENOSPC);
        inject(NO_FAULT, 0, 0);
        for (int i = 0; i < 3; i++) {
            look(&f, hoarder, 11000);
            look(&f, victim, 11000);
        }
        expect_mended(&f, fd, 2);
        close(fd);
        deinit(&f);
    }
}

static void many_events_cause_few_looks(void **state)
{
    struct fixture f;
    struct region *r = NULL;
    bool noted;

    (void)state;
    init(&f);
    assert_int_equal(create(&f, "", SIZE, &r), 0);
    for (int i = 0; i < 1000; i++)
        suspects_note(f.env.suspects, r);
    assert_true(woken_at <= clock_now());
    assert_ptr_equal(suspects_take_due(f.env.suspects, clock_now(), &noted), r);
    assert_true(noted);
    assert_null(suspects_take_due(f.env.suspects, clock_now() + 100000, &noted));
    for (int i = 0; i < 1000; i++)
        suspects_note(f.env.suspects, r);
    suspects_looked_at(f.env.suspects, r, false, false);
    assert_null(suspects_take_due(f.env.suspects, clock_now(), &noted));
    assert_ptr_equal(suspects_take_due(f.env.suspects, clock_now() + 400, &noted), r);
    suspects_looked_at(f.env.suspects, r, false, false);
    // Nothing is remembered of a region that was found well.
    assert_null(suspects_take_due(f.env.suspects, clock_now() + 500, &noted));
    assert_null(r->suspicion);
    deinit(&f);
}

static void an_audit_looks_at_each_region_once_and_not_at_all_together(void **state)
{
    enum { N = 100 };
    struct fixture f;
    struct region *r = NULL;
    struct region *taken[N];
    unsigned n = 0, most = 0;
    bool noted;

    (void)state;
    init(&f);
    for (int i = 0; i < N; i++)
        assert_int_equal(create(&f, "", 4096, &r), 0);
    suspects_note_all(f.env.suspects);
    while ((r = suspects_take_due(f.env.suspects, clock_now(), &noted)))
        taken[n++] = r;
    most = n;
    assert_true(most > 0 && most < N);
    for (unsigned i = 0; i < n; i++) {
        suspects_looked_at(f.env.suspects, taken[i], false, false);
        r = suspects_take_due(f.env.suspects, clock_now(), &noted);
        if (r)
            taken[n++] = r;
    }
    assert_int_equal(n, N);
    // The next one begins a second after this one began.
    suspects_note_all(f.env.suspects);
    assert_null(suspects_take_due(f.env.suspects, clock_now() + 300, &noted));
    r = suspects_take_due(f.env.suspects, clock_now() + 60000, &noted);
    assert_non_null(r);
    suspects_looked_at(f.env.suspects, r, false, false);
    deinit(&f);
}

// A region without a file.
static struct region *add(struct fixture *f, uid_t uid)
{
    struct record record = {.owner_uid = uid, .mode = 0600};
    struct user *owner = user_ref(f->users, uid);
    struct region *r;

    assert_int_equal(handle_random(&record.handle), 0);
    r = region_add(&f->regions, &record, owner);
    user_unref(owner);
    return r;
}

// Owners whose files are held: as many looks of each are under way as there may be, and none of them ends.
static void owners_whose_looks_never_end_hold_up_no_others(void **state)
{
    enum { OWNERS = 20, N = 30, OTHER = OWNER + OWNERS };
    struct region *held[OWNERS * N], *r = NULL, *of_other;
    struct fixture f;
    unsigned n = 0;
    bool noted;

    (void)state;
    init(&f);
    for (uid_t i = 0; i < OWNERS * N; i++)
        suspects_note(f.env.suspects, add(&f, OWNER + i / N));
    of_other = add(&f, OTHER);
    for (int i = 0; i < OWNERS; i++)
        while ((r = suspects_take_due(f.env.suspects, clock_now() + 2000 * (uint64_t)i, &noted)))
            held[n++] = r;
    assert_true(n >= OWNERS && n < OWNERS * N / 2);
    suspects_note(f.env.suspects, of_other);
    assert_ptr_equal(suspects_take_due(f.env.suspects, clock_now() + 100000, &noted), of_other);
    suspects_looked_at(f.env.suspects, of_other, false, false);
    // The same when nobody knows which regions were changed.
    assert_null(suspects_take_due(f.env.suspects, clock_now() + 200000, &noted));
    suspects_note_all(f.env.suspects);
    for (int i = 0; i < 1000 && r != of_other; i++)
        r = suspects_take_due(f.env.suspects, clock_now() + 300000, &noted);
    assert_ptr_equal(r, of_other);
    suspects_looked_at(f.env.suspects, of_other, false, false);
    for (unsigned i = 0; i < n; i++)
        suspects_looked_at(f.env.suspects, held[i], false, false);
    deinit(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(each_failure_is_tried_again),
        TEST(a_full_disk_has_all_regions_looked_at),
        TEST(many_events_cause_few_looks),
        TEST(an_audit_looks_at_each_region_once_and_not_at_all_together),
        TEST(owners_whose_looks_never_end_hold_up_no_others),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
