// A committed vector whose region its own program cuts, and which is filled again: the cut changes the record of the
// region, and is no commit of others.  With a daemon and embedded.
#include "tests/lib/u64vec.h"

enum { MANY = 3000, FEW = 1000 };

static void cut_by_shrink(struct u64vec *v)
{
    assert_int_equal(u64vec_shrink_to_fit(v), 0);
}

static void cut_by_resize(struct u64vec *v)
{
    assert_int_equal(diskalloc_region_resize(v->region, FEW * sizeof(uint64_t)), 0);
    v->cap = FEW;
}

static void (*const cuts[])(struct u64vec *v) = {cut_by_shrink, cut_by_resize};
enum { CUTS = sizeof cuts / sizeof *cuts };

// A vector of FEW elements, whose region was cut to that since MANY were committed.
static void make_cut(struct test_backend *b, struct u64vec *v, unsigned how)
{
    open_vec(b, v, "cut");
    assert_int_equal(u64vec_resize(v, MANY), 0);
    assert_int_equal(u64vec_commit(v, 0), 0);
    assert_int_equal(u64vec_truncate(v, FEW), 0);
    cuts[how](v);
}

static void push(struct u64vec *v, size_t n)
{
    for (size_t i = 0; i < n; i++)
        assert_int_equal(u64vec_push(v, 7), 0);
}

static void expect_and_remove(struct test_backend *b, size_t n)
{
    struct u64vec v;

    assert_int_equal(u64vec_open(&v, b->da, "cut", NULL), 0);
    assert_int_equal(v.len, n);
    if (n > FEW)
        assert_int_equal(v.data[n - 1], 7);
    u64vec_deinit(&v);
    assert_int_equal(diskalloc_region_unlink(b->da, "cut"), 0);
}

static void as_many_elements_as_before_the_cut_are_committed_at_the_end(struct test_backend *b)
{
    for (unsigned how = 0; how < CUTS; how++)
        for (size_t n = MANY - 1; n <= MANY + 1; n++) {
            struct u64vec v;

            make_cut(b, &v, how);
            push(&v, n - FEW);
            u64vec_deinit(&v);
            expect_and_remove(b, n);
        }
}

static void a_refresh_keeps_what_was_pushed_since_the_cut(struct test_backend *b)
{
    static const size_t pushed[] = {0, 50, MANY - FEW, MANY};

    for (unsigned how = 0; how < CUTS; how++)
        for (size_t i = 0; i < sizeof pushed / sizeof *pushed; i++) {
            struct u64vec v;

            make_cut(b, &v, how);
            push(&v, pushed[i]);
            assert_int_equal(u64vec_refresh(&v), 0);
            assert_int_equal(v.len, FEW + pushed[i]);
            u64vec_deinit(&v);
            expect_and_remove(b, FEW + pushed[i]);
        }
}

static void a_refresh_keeps_what_was_dropped_since_the_cut(struct test_backend *b)
{
    for (unsigned how = 0; how < CUTS; how++) {
        struct u64vec v;

        make_cut(b, &v, how);
        assert_int_equal(u64vec_truncate(&v, FEW / 2), 0);
        assert_int_equal(u64vec_refresh(&v), 0);
        assert_int_equal(v.len, FEW / 2);
        u64vec_deinit(&v);
        expect_and_remove(b, FEW / 2);
    }
}

static void a_commit_of_others_since_the_cut_is_not_dropped(struct test_backend *b)
{
    for (unsigned how = 0; how < CUTS; how++) {
        struct u64vec v, other;

        make_cut(b, &v, how);
        assert_int_equal(u64vec_open(&other, b->da, "cut", NULL), 0);
        assert_int_equal(other.len, FEW);
        push(&other, MANY / 2);
        assert_int_equal(u64vec_commit(&other, 0), 0);
        assert_int_equal(u64vec_push(&v, 8), 0);
        assert_int_equal(u64vec_commit(&v, 0), -ESTALE);
        u64vec_deinit(&other);
        u64vec_deinit(&v);
        expect_and_remove(b, FEW + MANY / 2);
    }
}

FOR_EACH_BACKEND(as_many_elements_as_before_the_cut_are_committed_at_the_end)
FOR_EACH_BACKEND(a_refresh_keeps_what_was_pushed_since_the_cut)
FOR_EACH_BACKEND(a_refresh_keeps_what_was_dropped_since_the_cut)
FOR_EACH_BACKEND(a_commit_of_others_since_the_cut_is_not_dropped)

int main(void)
{
    const struct CMUnitTest tests[] = {
        EACH_BACKEND(as_many_elements_as_before_the_cut_are_committed_at_the_end),
        EACH_BACKEND(a_refresh_keeps_what_was_pushed_since_the_cut),
        EACH_BACKEND(a_refresh_keeps_what_was_dropped_since_the_cut),
        EACH_BACKEND(a_commit_of_others_since_the_cut_is_not_dropped),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
