// Vectors that persist, and others that change them: what a vector takes over, and what it must not drop.  With a
// daemon and embedded.
#include "tests/lib/u64vec.h"

#include <fcntl.h>

static void a_vector_follows_what_another_commits(struct test_backend *b)
{
    struct diskalloc_region_options o = with_flags(DISKALLOC_REGION_READ_ONLY);
    struct u64vec writer, reader;
    uint64_t *data;

    open_vec(b, &writer, "followed");
    assert_int_equal(u64vec_open(&reader, b->da, "followed", &o), 0);
    data = reader.data;
    for (uint64_t i = 0; i < 100000; i++)
        assert_int_equal(u64vec_push(&writer, i), 0);
    assert_int_equal(u64vec_commit(&writer, 0), 0);
    assert_int_equal(u64vec_refresh(&reader), 1);
    assert_int_equal(reader.len, 100000);
    assert_true(reader.len <= reader.cap);
    assert_ptr_equal(reader.data, data);
    assert_int_equal(reader.data[99999], 99999);
    assert_int_equal(u64vec_refresh(&reader), 0);
    assert_int_equal(u64vec_truncate(&writer, 10), 0);
    assert_int_equal(u64vec_commit(&writer, 0), 0);
    assert_int_equal(u64vec_refresh(&reader), 1);
    assert_int_equal(reader.len, 10);
    u64vec_deinit(&reader);
    u64vec_deinit(&writer);
    assert_int_equal(diskalloc_region_unlink(b->da, "followed"), 0);
}

static void a_refresh_never_drops_elements_of_ones_own(struct test_backend *b)
{
    struct u64vec one, two;

    open_vec(b, &one, "mine");
    for (uint64_t i = 0; i < 100; i++)
        assert_int_equal(u64vec_push(&one, i), 0);
    assert_int_equal(u64vec_refresh(&one), 0);
    assert_int_equal(one.len, 100);
    open_vec(b, &two, "mine");
    assert_int_equal(u64vec_resize(&two, 50), 0);
    assert_int_equal(u64vec_commit(&two, 0), 0);
    EXPECT_FAILURE(-ESTALE, "u64vec_refresh", u64vec_refresh(&one));
    assert_int_equal(one.len, 100);
    assert_int_equal(u64vec_truncate(&one, 50), 0);
    assert_int_equal(u64vec_refresh(&one) >= 0, 1);
    assert_int_equal(one.len, 50);
    u64vec_deinit(&one);
    u64vec_deinit(&two);
    assert_int_equal(diskalloc_region_unlink(b->da, "mine"), 0);
}

static void a_vector_that_changed_nothing_replaces_no_commit(struct test_backend *b)
{
    struct u64vec idle, writer;

    open_vec(b, &idle, "idle");
    open_vec(b, &writer, "idle");
    assert_int_equal(u64vec_push(&writer, 1), 0);
    u64vec_deinit(&writer);
    u64vec_deinit(&idle);
    open_vec(b, &idle, "idle");
    assert_int_equal(idle.len, 1);
    u64vec_deinit(&idle);
    assert_int_equal(diskalloc_region_unlink(b->da, "idle"), 0);
}

static void expect_committed(struct test_backend *b, const char *name, size_t len)
{
    struct diskalloc_region_options o = with_flags(DISKALLOC_REGION_READ_ONLY);
    struct u64vec v;

    assert_int_equal(u64vec_open(&v, b->da, name, &o), 0);
    assert_int_equal(v.len, len);
    u64vec_deinit(&v);
}

static void a_commit_drops_no_elements_that_others_have_committed_meanwhile(struct test_backend *b)
{
    struct u64vec one, two;

    open_vec(b, &one, "both");
    open_vec(b, &two, "both");
    assert_int_equal(u64vec_resize(&two, 100), 0);
    assert_int_equal(u64vec_push(&one, 1), 0);
    assert_int_equal(u64vec_commit(&two, 0), 0);
    EXPECT_FAILURE(-ESTALE, "u64vec_commit", u64vec_commit(&one, 0));
    EXPECT_FAILURE(-ESTALE, "u64vec_commit", u64vec_commit(&one, DISKALLOC_DURABLE));
    assert_int_equal(one.len, 1);
    u64vec_deinit(&one);
    expect_committed(b, "both", 100);
    // After a refresh the vector knows of these elements, and may drop them.
    open_vec(b, &one, "both");
    assert_int_equal(u64vec_push(&two, 2), 0);
    assert_int_equal(u64vec_commit(&two, 0), 0);
    assert_int_equal(u64vec_truncate(&one, 5), 0);
    EXPECT_FAILURE(-ESTALE, "u64vec_commit", u64vec_commit(&one, 0));
    assert_int_equal(u64vec_refresh(&one), 1);
    assert_int_equal(one.len, 101);
    assert_int_equal(u64vec_truncate(&one, 5), 0);
    assert_int_equal(u64vec_commit(&one, 0), 0);
    expect_committed(b, "both", 5);
    // More elements than the others have committed drop none.
    assert_int_equal(u64vec_refresh(&two), 1);
    assert_int_equal(u64vec_push(&two, 3), 0);
    assert_int_equal(u64vec_commit(&two, 0), 0);
    assert_int_equal(u64vec_resize(&one, 8), 0);
    u64vec_deinit(&one);
    u64vec_deinit(&two);
    expect_committed(b, "both", 8);
    assert_int_equal(diskalloc_region_unlink(b->da, "both"), 0);
}

static void a_file_that_was_cut_below_the_elements_makes_the_vector_stale(struct test_backend *b)
{
    struct diskalloc_region *r = NULL;
    struct u64vec v;
    int fd = open(test_base_dir(), O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);

    (void)b;
    assert_return_code(fd, errno);
    assert_return_code(ftruncate(fd, 80000), errno);
    assert_int_equal(diskalloc_region_from_fd(fd, NULL, &r), 0);
    assert_int_equal(u64vec_init_region(&v, r), 0);
    assert_return_code(ftruncate(fd, 400), errno);
    EXPECT_FAILURE(-ESTALE, "u64vec_refresh", u64vec_refresh(&v));
    assert_true(v.len == 10000 && v.len <= v.cap);
    assert_int_equal(u64vec_truncate(&v, 50), 0);
    assert_true(u64vec_refresh(&v) >= 0);
    assert_true(v.len == 50 && v.len <= v.cap);
    assert_return_code(ftruncate(fd, 800), errno);
    assert_int_equal(u64vec_refresh(&v), 1);
    assert_int_equal(v.len, 100);
    assert_return_code(ftruncate(fd, 400), errno);
    assert_int_equal(diskalloc_region_refresh(r), 1);
    EXPECT_FAILURE(-ESTALE, "u64vec_reserve", u64vec_reserve(&v, 1000));
    EXPECT_FAILURE(-ESTALE, "u64vec_commit", u64vec_commit(&v, 0));
    u64vec_deinit(&v);
    close(fd);
}

static void a_refusal_of_refresh_leaves_no_room_that_is_gone(struct test_backend *b)
{
    struct diskalloc_region *r = NULL;
    struct u64vec v;
    int fd = open(test_base_dir(), O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);

    (void)b;
    assert_return_code(fd, errno);
    assert_return_code(ftruncate(fd, 80000), errno);
    assert_int_equal(diskalloc_region_from_fd(fd, NULL, &r), 0);
    assert_int_equal(u64vec_init_region(&v, r), 0);
    assert_int_equal(u64vec_truncate(&v, 10), 0);
    assert_int_equal(diskalloc_region_commit(r, 80, 4, 0), 0);
    assert_return_code(ftruncate(fd, 400), errno);
    EXPECT_FAILURE(-EPROTOTYPE, "u64vec_refresh", u64vec_refresh(&v));
    assert_int_equal(v.len, 10);
    assert_int_equal(v.cap, 50);
    u64vec_deinit(&v);
    close(fd);
}

FOR_EACH_BACKEND(a_vector_follows_what_another_commits)
FOR_EACH_BACKEND(a_refresh_never_drops_elements_of_ones_own)
FOR_EACH_BACKEND(a_vector_that_changed_nothing_replaces_no_commit)
FOR_EACH_BACKEND(a_commit_drops_no_elements_that_others_have_committed_meanwhile)
FOR_EACH_BACKEND(a_file_that_was_cut_below_the_elements_makes_the_vector_stale)
FOR_EACH_BACKEND(a_refusal_of_refresh_leaves_no_room_that_is_gone)

int main(void)
{
    const struct CMUnitTest tests[] = {
        EACH_BACKEND(a_vector_follows_what_another_commits),
        EACH_BACKEND(a_refresh_never_drops_elements_of_ones_own),
        EACH_BACKEND(a_vector_that_changed_nothing_replaces_no_commit),
        EACH_BACKEND(a_commit_drops_no_elements_that_others_have_committed_meanwhile),
        EACH_BACKEND(a_file_that_was_cut_below_the_elements_makes_the_vector_stale),
        EACH_BACKEND(a_refusal_of_refresh_leaves_no_room_that_is_gone),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
