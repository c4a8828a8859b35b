// Vectors that persist: what a later open finds after a commit, after an end without a commit, and after a kill.  With
// a daemon and embedded.
#include "tests/lib/u64vec.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/wait.h>

DISKALLOC_VEC_DEFINE(u32vec, uint32_t)

struct wide {
    char bytes[200];
};
DISKALLOC_VEC_DEFINE(widevec, struct wide)

struct crash {
    struct test_backend *b;
    const char *name;
    size_t n;
};

// The parent's client is forked: its first request opens a connection of its own.
static void push_and_die(void *data)
{
    struct crash *c = data;
    struct u64vec v;

    open_vec(c->b, &v, c->name);
    for (size_t i = 0; i < c->n; i++)
        assert_int_equal(u64vec_push(&v, i), 0);
    raise(SIGKILL);
}

static void push_wide_and_die(void *data)
{
    struct crash *c = data;
    struct diskalloc_region_options o = with_flags(DISKALLOC_REGION_CREATE);
    struct widevec v;

    assert_int_equal(widevec_open(&v, c->b->da, c->name, &o), 0);
    for (size_t i = 0; i < c->n; i++)
        assert_int_equal(widevec_push(&v, (struct wide){"word"}), 0);
    raise(SIGKILL);
}

// Whether the mapping that ADDRESS lies in has MADV_RANDOM.
static bool page_is_random(const void *address)
{
    char line[4096];
    bool here = false, random = false;
    FILE *f = fopen("/proc/self/smaps", "re");

    assert_non_null(f);
    while (fgets(line, sizeof line, f)) {
        unsigned long from, to;

        if (sscanf(line, "%lx-%lx ", &from, &to) == 2)
            here = from <= (unsigned long)address && (unsigned long)address < to;
        else if (here && strncmp(line, "VmFlags:", 8) == 0)
            random = strstr(line, " rr") != NULL;
    }
    fclose(f);
    return random;
}

static void a_crash_before_the_first_commit_leaves_an_empty_vector(struct test_backend *b)
{
    struct crash c = {b, "crashed", 1000};
    struct u64vec v;
    struct u32vec other;

    assert_true(WIFSIGNALED(test_in_child(push_and_die, &c, (uid_t)-1)));
    assert_int_equal(u32vec_open(&other, b->da, "crashed", NULL), -EPROTOTYPE);
    assert_null(other.region);
    assert_int_equal(u64vec_open(&v, b->da, "crashed", NULL), 0);
    assert_int_equal(v.len, 0);
    assert_int_equal(u64vec_push(&v, 7), 0);
    assert_int_equal(v.data[0], 7);
    u64vec_deinit(&v);
    assert_int_equal(diskalloc_region_unlink(b->da, "crashed"), 0);
}

static void so_does_one_with_elements_that_do_not_divide_the_size(struct test_backend *b)
{
    struct crash c = {b, "wide", 1000};
    struct widevec v;

    assert_true(WIFSIGNALED(test_in_child(push_wide_and_die, &c, (uid_t)-1)));
    assert_int_equal(widevec_open(&v, b->da, "wide", NULL), 0);
    assert_int_equal(v.len, 0);
    widevec_deinit(&v);
    assert_int_equal(diskalloc_region_unlink(b->da, "wide"), 0);
}

static void a_crash_after_adopting_raw_bytes_leaves_these_bytes(struct test_backend *b)
{
    struct crash c = {b, "raw", 5000};
    struct diskalloc_region *r = NULL;
    struct u64vec v;

    assert_int_equal(open_named(b->da, "raw", 8000, DISKALLOC_REGION_CREATE, &r), 0);
    diskalloc_region_close(r);
    assert_true(WIFSIGNALED(test_in_child(push_and_die, &c, (uid_t)-1)));
    assert_int_equal(u64vec_open(&v, b->da, "raw", NULL), 0);
    assert_int_equal(v.len, 1000);
    u64vec_deinit(&v);
    assert_int_equal(diskalloc_region_unlink(b->da, "raw"), 0);
}

static void a_crash_loses_what_came_after_the_last_commit(struct test_backend *b)
{
    struct crash c = {b, "later", 5000};
    struct u64vec v;

    open_vec(b, &v, "later");
    assert_int_equal(u64vec_push(&v, 42), 0);
    assert_int_equal(u64vec_commit(&v, 0), 0);
    u64vec_deinit(&v);
    assert_true(WIFSIGNALED(test_in_child(push_and_die, &c, (uid_t)-1)));
    assert_int_equal(u64vec_open(&v, b->da, "later", NULL), 0);
    assert_int_equal(v.len, 1);
    assert_int_equal(v.data[0], 42);
    u64vec_deinit(&v);
    assert_int_equal(diskalloc_region_unlink(b->da, "later"), 0);
}

static void deinit_commits_whatever_was_committed_before(struct test_backend *b)
{
    struct u64vec v;

    open_vec(b, &v, "ended");
    for (uint64_t i = 0; i < 100; i++)
        assert_int_equal(u64vec_push(&v, i), 0);
    u64vec_deinit(&v);
    open_vec(b, &v, "ended");
    assert_int_equal(v.len, 100);
    for (uint64_t i = 0; i < 100; i++)
        assert_int_equal(u64vec_push(&v, i), 0);
    assert_int_equal(u64vec_commit(&v, 0), 0);
    for (uint64_t i = 0; i < 100; i++)
        assert_int_equal(u64vec_push(&v, i), 0);
    u64vec_deinit(&v);
    open_vec(b, &v, "ended");
    assert_int_equal(v.len, 300);
    assert_int_equal(u64vec_truncate(&v, 10), 0);
    u64vec_deinit(&v);
    open_vec(b, &v, "ended");
    assert_int_equal(v.len, 10);
    u64vec_deinit(&v);
    assert_int_equal(diskalloc_region_unlink(b->da, "ended"), 0);
}

static void an_empty_region_keeps_its_element_size_once_a_vector_had_it(struct test_backend *b)
{
    struct diskalloc_region *r = NULL;
    struct u64vec v;
    struct u32vec other;

    assert_int_equal(open_named(b->da, "typed", 0, DISKALLOC_REGION_CREATE, &r), 0);
    assert_int_equal(u64vec_init_region(&v, r), 0);
    u64vec_deinit(&v);
    assert_int_equal(open_named(b->da, "typed", 0, 0, &r), 0);
    assert_int_equal(u32vec_init_region(&other, r), -EPROTOTYPE);
    assert_non_null(strstr(diskalloc_last_error(), ": The region holds something else"));
    assert_int_equal(u64vec_init_region(&v, r), 0);
    u64vec_deinit(&v);
    assert_int_equal(diskalloc_region_unlink(b->da, "typed"), 0);
}

// LEN above CAP once made a reserve of a billion elements succeed.
static void a_vector_whose_len_is_above_its_cap_is_refused_everywhere(struct test_backend *b)
{
    struct u64vec v, copy;
    uint64_t out = 0, *more = NULL;

    open_vec(b, &v, "damaged");
    for (uint64_t i = 0; i < 100; i++)
        assert_int_equal(u64vec_push(&v, i), 0);
    assert_int_equal(u64vec_commit(&v, 0), 0);
    copy = v;
    v.len = v.cap + 1;
    EXPECT_FAILURE(-EINVAL, "u64vec_push", u64vec_push(&v, 1));
    assert_non_null(strstr(diskalloc_last_error(), "cap"));
    EXPECT_FAILURE(-EINVAL, "u64vec_pop", u64vec_pop(&v, &out));
    EXPECT_FAILURE(-EINVAL, "u64vec_reserve", u64vec_reserve(&v, 1000000000));
    EXPECT_FAILURE(-EINVAL, "u64vec_reserve", u64vec_reserve(&v, 0));
    EXPECT_FAILURE(-EINVAL, "u64vec_reserve_wait", u64vec_reserve_wait(&v, 1000000000, 0));
    EXPECT_FAILURE(-EINVAL, "u64vec_resize", u64vec_resize(&v, 1));
    EXPECT_FAILURE(-EINVAL, "u64vec_append_uninit", u64vec_append_uninit(&v, 1, &more));
    EXPECT_FAILURE(-EINVAL, "u64vec_extend", u64vec_extend(&v, &out, 1));
    EXPECT_FAILURE(-EINVAL, "u64vec_truncate", u64vec_truncate(&v, 1));
    EXPECT_FAILURE(-EINVAL, "u64vec_shrink_to_fit", u64vec_shrink_to_fit(&v));
    EXPECT_FAILURE(-EINVAL, "u64vec_insert", u64vec_insert(&v, 0, 1));
    EXPECT_FAILURE(-EINVAL, "u64vec_remove", u64vec_remove(&v, 0, &out));
    EXPECT_FAILURE(-EINVAL, "u64vec_swap_remove", u64vec_swap_remove(&v, 0, &out));
    EXPECT_FAILURE(-EINVAL, "u64vec_commit", u64vec_commit(&v, 0));
    EXPECT_FAILURE(-EINVAL, "u64vec_refresh", u64vec_refresh(&v));
    assert_int_equal(v.cap, copy.cap);
    u64vec_deinit(&v);
    open_vec(b, &v, "damaged");
    assert_int_equal(v.len, 100);
    u64vec_deinit(&v);
    assert_int_equal(diskalloc_region_unlink(b->da, "damaged"), 0);
}

static void a_vector_with_options_begins_with_the_room_asked_for(struct test_backend *b)
{
    struct diskalloc_region_options o = DISKALLOC_REGION_OPTIONS_INIT;
    struct u64vec v;

    o.size = 80000;
    o.reserve = 64 * MIB;
    assert_int_equal(u64vec_init_with(&v, b->da, &o), 0);
    assert_int_equal(v.len, 0);
    assert_int_equal(v.cap, 10000);
    assert_int_equal(diskalloc_region_reserve(v.region), 64 * MIB);
    assert_int_equal(u64vec_reserve(&v, 64 * MIB), -ENOMEM);
    u64vec_deinit(&v);
    assert_int_equal(u64vec_init_with(&v, b->da, NULL), 0);
    assert_int_equal(u64vec_push(&v, 1), 0);
    u64vec_deinit(&v);
    o.flags = DISKALLOC_REGION_READ_ONLY;
    assert_int_equal(u64vec_init_with(&v, b->da, &o), -EINVAL);
    assert_null(v.region);
}

static void a_failed_open_leaves_a_zeroed_vector_and_nothing_attached(struct test_backend *b)
{
    struct diskalloc_region *r = NULL;
    struct u64vec v;

    EXPECT_FAILURE(-ENOENT, "u64vec_open", u64vec_open(&v, b->da, "nowhere", NULL));
    assert_null(v.region);
    assert_int_equal(open_named(b->da, "odd", 801, DISKALLOC_REGION_CREATE, &r), 0);
    EXPECT_FAILURE(-EINVAL, "u64vec_open", u64vec_open(&v, b->da, "odd", NULL));
    assert_null(v.region);
    // Nobody else has it attached.
    assert_int_equal(diskalloc_region_resize(r, 8), 0);
    diskalloc_region_close(r);
    assert_int_equal(diskalloc_region_unlink(b->da, "odd"), 0);
}

static void advice_counts_for_what_a_vector_grows_by_later(struct test_backend *b)
{
    struct u64vec v = {0};

    EXPECT_FAILURE(-EINVAL, "u64vec_advise", u64vec_advise(&v, DISKALLOC_ADVICE_RANDOM));
    assert_int_equal(u64vec_init(&v, b->da), 0);
    assert_int_equal(u64vec_advise(&v, DISKALLOC_ADVICE_RANDOM), 0);
    EXPECT_FAILURE(-EINVAL, "u64vec_advise", u64vec_advise(&v, 77));
    assert_int_equal(u64vec_resize(&v, MIB), 0);
    assert_true(page_is_random(v.data + MIB - 1));
    for (int advice = 0; advice <= DISKALLOC_ADVICE_COLD; advice++)
        assert_int_equal(u64vec_advise(&v, advice), 0);
    assert_int_equal(u64vec_advise(&v, DISKALLOC_ADVICE_NORMAL), 0);
    assert_false(page_is_random(v.data + MIB - 1));
    v.len = v.cap + 1;
    EXPECT_FAILURE(-EINVAL, "u64vec_advise", u64vec_advise(&v, DISKALLOC_ADVICE_NORMAL));
    u64vec_deinit(&v);
}

// The macro does not let such a type through; a program that calls the functions behind it finds no division by zero.
static void elements_of_no_bytes_are_refused(struct test_backend *b)
{
    struct diskalloc_region_options o = with_flags(DISKALLOC_REGION_CREATE);
    struct diskalloc_region *r = make_region(b->da, 8192);
    struct diskalloc_vec_state v = {.region = r};
    uint64_t base_size = 0;

    assert_int_equal(diskalloc_vec_init_with(b->da, NULL, 0, "f").result, -EINVAL);
    assert_int_equal(diskalloc_vec_init_with(b->da, &o, 0, "f").result, -EINVAL);
    assert_int_equal(diskalloc_vec_init_region(r, 0, "f").result, -EINVAL);
    assert_int_equal(diskalloc_vec_open(b->da, "nothing", &o, 0, "f").result, -EINVAL);
    assert_int_equal(diskalloc_vec_refresh(v, 0, "f").result, -EINVAL);
    assert_int_equal(diskalloc_vec_commit(r, 0, 0, 0, &base_size, 0, "f").result, -EINVAL);
    assert_int_equal(diskalloc_vec_shrink(r, 0, 0, 0, &base_size, "f").result, -EINVAL);
    assert_int_equal(diskalloc_vec_grow(r, 0, 0, 1, 0, "f").result, -EINVAL);
    assert_int_equal(diskalloc_vec_grow_zeroed(r, 0, 0, 1, 0, "f").result, -EINVAL);
    assert_int_equal(diskalloc_vec_grow_wait(r, 0, 0, 1, 0, 0, "f").result, -EINVAL);
    assert_int_equal(diskalloc_vec_grow_wait(r, 0, 0, 1, 0, 10, "f").result, -EINVAL);
    assert_int_equal(diskalloc_vec_advise(r, 0, 0, 0, 0, "f"), -EINVAL);
    assert_int_equal(diskalloc_region_size(r), 8192);
    diskalloc_region_close(r);
    assert_int_equal(diskalloc_region_unlink(b->da, "nothing"), -ENOENT);
}

FOR_EACH_BACKEND(a_crash_before_the_first_commit_leaves_an_empty_vector)
FOR_EACH_BACKEND(so_does_one_with_elements_that_do_not_divide_the_size)
FOR_EACH_BACKEND(a_crash_after_adopting_raw_bytes_leaves_these_bytes)
FOR_EACH_BACKEND(a_crash_loses_what_came_after_the_last_commit)
FOR_EACH_BACKEND(deinit_commits_whatever_was_committed_before)
FOR_EACH_BACKEND(an_empty_region_keeps_its_element_size_once_a_vector_had_it)
FOR_EACH_BACKEND(a_vector_whose_len_is_above_its_cap_is_refused_everywhere)
FOR_EACH_BACKEND(a_vector_with_options_begins_with_the_room_asked_for)
FOR_EACH_BACKEND(a_failed_open_leaves_a_zeroed_vector_and_nothing_attached)
FOR_EACH_BACKEND(advice_counts_for_what_a_vector_grows_by_later)
FOR_EACH_BACKEND(elements_of_no_bytes_are_refused)

int main(void)
{
    const struct CMUnitTest tests[] = {
        EACH_BACKEND(a_crash_before_the_first_commit_leaves_an_empty_vector),
        EACH_BACKEND(so_does_one_with_elements_that_do_not_divide_the_size),
        EACH_BACKEND(a_crash_after_adopting_raw_bytes_leaves_these_bytes),
        EACH_BACKEND(a_crash_loses_what_came_after_the_last_commit),
        EACH_BACKEND(deinit_commits_whatever_was_committed_before),
        EACH_BACKEND(an_empty_region_keeps_its_element_size_once_a_vector_had_it),
        EACH_BACKEND(a_vector_whose_len_is_above_its_cap_is_refused_everywhere),
        EACH_BACKEND(a_vector_with_options_begins_with_the_room_asked_for),
        EACH_BACKEND(a_failed_open_leaves_a_zeroed_vector_and_nothing_attached),
        EACH_BACKEND(advice_counts_for_what_a_vector_grows_by_later),
        EACH_BACKEND(elements_of_no_bytes_are_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
