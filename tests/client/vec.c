// Each function of a vector keeps its promises.
#include "tests/lib/scratch.h"
#include "tests/lib/test_backend.h"

#include <fcntl.h>

#include "client/diskalloc.h"

DISKALLOC_VEC_DEFINE(u64vec, uint64_t)

struct record {
    char text[60];
    uint32_t count;
};
DISKALLOC_VEC_DEFINE(recvec, struct record)

static struct diskalloc *da;
static char directory[150];

static int open_directory(void **state)
{
    char address[176];

    (void)state;
    scratch_make_dir(directory, sizeof directory);
    snprintf(address, sizeof address, "dir:%s", directory);
    return diskalloc_open(address, NULL, &da);
}

static int close_directory(void **state)
{
    (void)state;
    diskalloc_close(da);
    scratch_remove_tree(directory);
    return 0;
}

// The client outlives the tests: it may have the region of a next vector still.
static int teardown(void **state)
{
    client_drop_spare(da);
    return test_teardown(state);
}

#define VEC_TEST(f) cmocka_unit_test_setup_teardown(f, test_setup, teardown)

static void fill(struct u64vec *v, size_t n)
{
    assert_int_equal(u64vec_init(v, da), 0);
    for (size_t i = 0; i < n; i++)
        assert_int_equal(u64vec_push(v, i), 0);
}

static void a_new_vector_is_empty_and_a_zeroed_one_may_be_deinitialised(void **state)
{
    struct u64vec v, zeroed = {0};

    (void)state;
    fill(&v, 0);
    assert_int_equal(v.len, 0);
    assert_int_equal(v.cap, 0);
    assert_non_null(v.region);
    u64vec_deinit(&v);
    assert_null(v.data);
    u64vec_deinit(&v);
    u64vec_deinit(&zeroed);
}

static void a_vector_that_was_not_initialised_refuses(void **state)
{
    struct u64vec v = {0};

    (void)state;
    assert_int_equal(u64vec_push(&v, 1), -EINVAL);
    assert_non_null(strstr(diskalloc_last_error(), "u64vec_push: "));
    assert_int_equal(u64vec_reserve(&v, 1), -EINVAL);
    assert_int_equal(u64vec_commit(&v, 0), -EINVAL);
    assert_int_equal(u64vec_shrink_to_fit(&v), -EINVAL);
    assert_int_equal(u64vec_init_region(&v, NULL), -EINVAL);
    assert_int_equal(u64vec_init(&v, NULL), -EINVAL);
}

static void push_and_pop_are_a_stack(void **state)
{
    struct u64vec v;
    uint64_t last = 0;

    (void)state;
    fill(&v, 100000);
    assert_int_equal(v.data[99999], 99999);
    assert_int_equal(u64vec_pop(&v, &last), 0);
    assert_int_equal(last, 99999);
    assert_int_equal(u64vec_pop(&v, NULL), 0);
    assert_int_equal(v.len, 99998);
    assert_int_equal(u64vec_truncate(&v, 0), 0);
    assert_int_equal(u64vec_pop(&v, &last), -ENODATA);
    assert_non_null(strstr(diskalloc_last_error(), "u64vec_pop: "));
    assert_int_equal(last, 99999);
    u64vec_deinit(&v);
}

static void reserve_is_for_that_many_more(void **state)
{
    struct u64vec v;
    size_t cap;

    (void)state;
    fill(&v, 10);
    cap = v.cap;
    assert_int_equal(u64vec_reserve(&v, 0), 0);
    assert_int_equal(u64vec_reserve(&v, cap - 10), 0);
    assert_int_equal(v.cap, cap);
    assert_int_equal(u64vec_reserve(&v, cap), 0);
    assert_true(v.cap >= cap + 10);
    assert_int_equal(v.len, 10);
    v.data[v.cap - 1] = 1;
    v.len = v.cap;
    u64vec_deinit(&v);
}

static void a_resize_gives_zeros_even_where_there_was_something(void **state)
{
    struct u64vec v;

    (void)state;
    fill(&v, 1000);
    assert_int_equal(u64vec_truncate(&v, 10), 0);
    assert_int_equal(u64vec_resize(&v, 20000), 0);
    assert_int_equal(v.len, 20000);
    assert_int_equal(v.data[9], 9);
    for (size_t i = 10; i < v.len; i++)
        assert_int_equal(v.data[i], 0);
    assert_int_equal(u64vec_resize(&v, 5), 0);
    assert_int_equal(v.len, 5);
    u64vec_deinit(&v);
}

static void appending_nothing_gives_the_end(void **state)
{
    struct u64vec v, zeroed = {0};
    uint64_t *at = NULL;

    (void)state;
    fill(&v, 10);
    assert_int_equal(u64vec_append_uninit(&v, 0, &at), 0);
    assert_ptr_equal(at, v.data + 10);
    assert_int_equal(v.len, 10);
    assert_int_equal(u64vec_append_uninit(&zeroed, 0, &at), 0);
    assert_null(at);
    u64vec_deinit(&v);
}

static void truncate_never_lengthens_and_keeps_capacity(void **state)
{
    struct u64vec v;
    size_t cap;

    (void)state;
    fill(&v, 1000);
    cap = v.cap;
    assert_int_equal(u64vec_truncate(&v, 2000), 0);
    assert_int_equal(v.len, 1000);
    assert_int_equal(u64vec_truncate(&v, 0), 0);
    assert_int_equal(v.cap, cap);
    assert_int_equal(u64vec_shrink_to_fit(&v), 0);
    assert_int_equal(v.cap, 0);
    assert_int_equal(diskalloc_region_size(v.region), 0);
    assert_int_equal(u64vec_push(&v, 7), 0);
    assert_int_equal(v.data[0], 7);
    u64vec_deinit(&v);
}

static void a_vector_may_be_extended_by_itself(void **state)
{
    struct u64vec v;
    uint64_t *more = NULL;
    size_t n;

    (void)state;
    fill(&v, 8192);
    while (v.len < v.cap) // exactly what is allocated, so that it grows meanwhile
        assert_int_equal(u64vec_push(&v, v.len), 0);
    n = v.len;
    assert_int_equal(u64vec_extend(&v, v.data, v.len), 0);
    assert_int_equal(v.len, 2 * n);
    for (size_t i = 0; i < v.len; i++)
        assert_int_equal(v.data[i], i % n);
    assert_int_equal(u64vec_extend(&v, NULL, 0), 0);
    assert_int_equal(u64vec_append_uninit(&v, 3, &more), 0);
    assert_ptr_equal(more, v.data + 2 * n);
    assert_int_equal(v.len, 2 * n + 3);
    u64vec_deinit(&v);
}

static void insert_and_remove_keep_order_and_swap_remove_does_not(void **state)
{
    static const uint64_t inserted[] = {9, 0, 1, 8, 2, 3, 7}, removed[] = {0, 1, 8, 3, 7}, swapped[] = {0, 7, 8, 3};
    struct u64vec v;
    uint64_t out = 0;

    (void)state;
    fill(&v, 4);
    assert_int_equal(u64vec_insert(&v, 4, 7), 0);
    assert_int_equal(u64vec_insert(&v, 2, 8), 0);
    assert_int_equal(u64vec_insert(&v, 0, 9), 0);
    assert_memory_equal(v.data, inserted, sizeof inserted);
    assert_int_equal(u64vec_insert(&v, 8, 1), -EINVAL);
    assert_int_equal(u64vec_remove(&v, 4, &out), 0);
    assert_int_equal(out, 2);
    assert_int_equal(u64vec_remove(&v, 0, NULL), 0);
    assert_memory_equal(v.data, removed, sizeof removed);
    assert_int_equal(u64vec_swap_remove(&v, 1, &out), 0);
    assert_int_equal(out, 1);
    assert_memory_equal(v.data, swapped, sizeof swapped);
    assert_int_equal(u64vec_swap_remove(&v, 3, NULL), 0);
    assert_int_equal(u64vec_remove(&v, 3, &out), -EINVAL);
    assert_int_equal(u64vec_swap_remove(&v, 3, &out), -EINVAL);
    assert_non_null(strstr(diskalloc_last_error(), "u64vec_swap_remove: "));
    assert_int_equal(v.len, 3);
    u64vec_deinit(&v);
}

static void elements_of_any_size_fit(void **state)
{
    struct recvec v;
    struct record r = {"word", 1};

    (void)state;
    assert_int_equal(recvec_init(&v, da), 0);
    for (uint32_t i = 0; i < 50000; i++) {
        r.count = i;
        assert_int_equal(recvec_push(&v, r), 0);
    }
    assert_int_equal(v.data[49999].count, 49999);
    assert_string_equal(v.data[49999].text, "word");
    recvec_deinit(&v);
}

static void a_vector_may_be_moved(void **state)
{
    struct u64vec v, moved;

    (void)state;
    fill(&v, 10);
    memcpy(&moved, &v, sizeof v);
    memset(&v, 0xff, sizeof v);
    for (uint64_t i = 10; i < 100000; i++)
        assert_int_equal(u64vec_push(&moved, i), 0);
    assert_int_equal(moved.data[5], 5);
    u64vec_deinit(&moved);
}

static void a_committed_length_is_what_a_later_open_sees(void **state)
{
    struct diskalloc_region *r = NULL;
    struct u64vec v;

    (void)state;
    assert_int_equal(open_named(da, "committed", 800, DISKALLOC_REGION_CREATE, &r), 0);
    assert_int_equal(u64vec_init_region(&v, r), 0);
    assert_int_equal(v.len, 100); // nothing was committed: all of it
    assert_int_equal(u64vec_push(&v, 1), 0);
    assert_int_equal(u64vec_commit(&v, DISKALLOC_DURABLE), 0);
    assert_int_equal(u64vec_commit(&v, 1u << 20), -EINVAL);
    assert_int_equal(u64vec_push(&v, 2), 0);
    u64vec_deinit(&v); // commits
    assert_int_equal(open_named(da, "committed", 0, 0, &r), 0);
    assert_int_equal(diskalloc_region_used(r), 102 * 8);
    assert_int_equal(u64vec_init_region(&v, r), 0);
    assert_int_equal(v.len, 102);
    u64vec_deinit(&v);
    assert_int_equal(diskalloc_region_unlink(da, "committed"), 0);
}

static void deinit_gives_back_only_what_the_vector_added(void **state)
{
    struct diskalloc_region *r = NULL;
    struct u64vec v;

    (void)state;
    assert_int_equal(open_named(da, "kept", 8000, DISKALLOC_REGION_CREATE, &r), 0);
    assert_int_equal(u64vec_init_region(&v, r), 0);
    assert_int_equal(u64vec_truncate(&v, 3), 0);
    assert_int_equal(u64vec_reserve(&v, 100000), 0);
    u64vec_deinit(&v);
    assert_int_equal(open_named(da, "kept", 0, 0, &r), 0);
    assert_int_equal(diskalloc_region_size(r), 8000);
    assert_int_equal(u64vec_init_region(&v, r), 0);
    assert_int_equal(v.len, 3);
    assert_int_equal(u64vec_resize(&v, 1001), 0);
    u64vec_deinit(&v);
    assert_int_equal(open_named(da, "kept", 0, 0, &r), 0);
    assert_int_equal(diskalloc_region_size(r), 8008);
    diskalloc_region_close(r);
    assert_int_equal(diskalloc_region_unlink(da, "kept"), 0);
}

static void deinit_does_not_take_back_what_others_added(void **state)
{
    struct diskalloc_region *r = NULL, *other = NULL;
    struct u64vec v;

    (void)state;
    assert_int_equal(open_named(da, "grown", 8000, DISKALLOC_REGION_CREATE, &r), 0);
    assert_int_equal(u64vec_init_region(&v, r), 0);
    assert_int_equal(open_named(da, "grown", 0, 0, &other), 0);
    assert_int_equal(diskalloc_region_resize(other, 800000), 0);
    diskalloc_region_close(other);
    assert_int_equal(u64vec_push(&v, 1), 0);
    u64vec_deinit(&v);
    assert_int_equal(open_named(da, "grown", 0, 0, &r), 0);
    assert_int_equal(diskalloc_region_size(r), 800000);
    diskalloc_region_close(r);
    assert_int_equal(diskalloc_region_unlink(da, "grown"), 0);
}

static void deinit_leaves_the_last_error_alone(void **state)
{
    struct diskalloc_error_info info;
    struct diskalloc_region *r = NULL;
    struct u64vec v;

    (void)state;
    assert_int_equal(open_named(da, "quiet", 8000, DISKALLOC_REGION_CREATE, &r), 0);
    assert_int_equal(u64vec_init_region(&v, r), 0);
    assert_int_equal(u64vec_reserve(&v, 100000), 0);
    u64vec_deinit(&v);
    assert_int_equal(diskalloc_last_error_info(&info, sizeof info), 0);
    assert_string_equal(info.handle, "");
    assert_int_equal(diskalloc_region_unlink(da, "quiet"), 0);
}

static void a_read_only_vector_changes_nothing_at_all(void **state)
{
    struct diskalloc_region *r = NULL;
    struct u64vec v;
    uint64_t out = 77, *more = NULL;

    (void)state;
    assert_int_equal(open_named(da, "fixed", 80, DISKALLOC_REGION_CREATE, &r), 0);
    diskalloc_region_close(r);
    assert_int_equal(open_named(da, "fixed", 0, DISKALLOC_REGION_READ_ONLY, &r), 0);
    assert_int_equal(u64vec_init_region(&v, r), 0);
    assert_int_equal(v.len, 10);
    assert_int_equal(u64vec_push(&v, 1), -EROFS);
    assert_int_equal(u64vec_pop(&v, &out), -EROFS);
    assert_int_equal(u64vec_reserve(&v, 1), -EROFS);
    assert_int_equal(u64vec_resize(&v, 11), -EROFS);
    assert_int_equal(u64vec_resize(&v, 9), -EROFS);
    assert_int_equal(u64vec_truncate(&v, 9), -EROFS);
    assert_int_equal(u64vec_append_uninit(&v, 1, &more), -EROFS);
    assert_int_equal(u64vec_extend(&v, v.data, 1), -EROFS);
    assert_int_equal(u64vec_insert(&v, 0, 1), -EROFS);
    assert_int_equal(u64vec_remove(&v, 0, &out), -EROFS);
    assert_int_equal(u64vec_swap_remove(&v, 0, &out), -EROFS);
    assert_int_equal(u64vec_shrink_to_fit(&v), -EROFS);
    assert_int_equal(u64vec_commit(&v, 0), -EROFS);
    assert_int_equal(v.len, 10);
    assert_int_equal(out, 77);
    u64vec_deinit(&v);
    assert_int_equal(diskalloc_region_unlink(da, "fixed"), 0);
}

static void a_vector_stays_within_its_regions_reserve(void **state)
{
    struct diskalloc_region_options o = DISKALLOC_REGION_OPTIONS_INIT;
    struct diskalloc_region *r = NULL;
    struct u64vec v;
    int result;

    (void)state;
    o.reserve = 6 * MIB;
    assert_int_equal(diskalloc_region_create(da, &o, &r), 0);
    assert_int_equal(u64vec_init_region(&v, r), 0);
    while ((result = u64vec_push(&v, v.len)) == 0)
        ;
    assert_int_equal(result, -ENOMEM);
    assert_int_equal(v.len, 6 * MIB / 8);
    assert_non_null(strstr(diskalloc_last_error(), "6.0M"));
    u64vec_deinit(&v);
}

static void a_file_is_as_long_as_its_vector_was_committed(void **state)
{
    struct diskalloc_region *r = NULL;
    struct u64vec v;
    struct stat st;
    int fd = open(directory, O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);

    (void)state;
    assert_return_code(fd, errno);
    assert_return_code(ftruncate(fd, 800), errno);
    assert_int_equal(diskalloc_region_from_fd(fd, NULL, &r), 0);
    assert_int_equal(u64vec_init_region(&v, r), 0);
    assert_int_equal(v.len, 100);
    assert_int_equal(u64vec_truncate(&v, 50), 0);
    assert_int_equal(u64vec_commit(&v, 0), 0);
    assert_int_equal(v.cap, 50);
    assert_return_code(fstat(fd, &st), errno);
    assert_int_equal(st.st_size, 400);
    assert_int_equal(u64vec_push(&v, 1), 0);
    u64vec_deinit(&v);
    assert_return_code(fstat(fd, &st), errno);
    assert_int_equal(st.st_size, 408);
    close(fd);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        VEC_TEST(a_new_vector_is_empty_and_a_zeroed_one_may_be_deinitialised),
        VEC_TEST(a_vector_that_was_not_initialised_refuses),
        VEC_TEST(push_and_pop_are_a_stack),
        VEC_TEST(reserve_is_for_that_many_more),
        VEC_TEST(a_resize_gives_zeros_even_where_there_was_something),
        VEC_TEST(appending_nothing_gives_the_end),
        VEC_TEST(truncate_never_lengthens_and_keeps_capacity),
        VEC_TEST(a_vector_may_be_extended_by_itself),
        VEC_TEST(insert_and_remove_keep_order_and_swap_remove_does_not),
        VEC_TEST(elements_of_any_size_fit),
        VEC_TEST(a_vector_may_be_moved),
        VEC_TEST(a_committed_length_is_what_a_later_open_sees),
        VEC_TEST(deinit_gives_back_only_what_the_vector_added),
        VEC_TEST(deinit_does_not_take_back_what_others_added),
        VEC_TEST(deinit_leaves_the_last_error_alone),
        VEC_TEST(a_read_only_vector_changes_nothing_at_all),
        VEC_TEST(a_vector_stays_within_its_regions_reserve),
        VEC_TEST(a_file_is_as_long_as_its_vector_was_committed),
    };

    return cmocka_run_group_tests(tests, open_directory, close_directory);
}
