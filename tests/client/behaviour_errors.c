// Wrong use and refusals, with both backends: code, text and numbers are right, and nothing has changed.
#include "tests/lib/test_backend.h"

#include <sys/resource.h>

DISKALLOC_VEC_DEFINE(u64s, uint64_t)
DISKALLOC_VEC_DEFINE(u32s, uint32_t)

#define NOT_WRITTEN ((void *)0x1)

static void wrong_options_are_invalid(struct test_backend *b)
{
    struct diskalloc_options o = DISKALLOC_OPTIONS_INIT;
    struct diskalloc_region_options ro = DISKALLOC_REGION_OPTIONS_INIT;
    struct diskalloc_region *r = NOT_WRITTEN;
    struct diskalloc *da = NOT_WRITTEN;

    o.struct_size = 0;
    EXPECT_FAILURE(-EINVAL, "diskalloc_open", diskalloc_open(b->address, &o, &da));
    o = (struct diskalloc_options)DISKALLOC_OPTIONS_INIT;
    o.flags = 0x80000000;
    EXPECT_FAILURE(-EINVAL, "diskalloc_open", diskalloc_open(b->address, &o, &da));
    assert_ptr_equal(da, NOT_WRITTEN);
    ro.struct_size = 0;
    EXPECT_FAILURE(-EINVAL, "diskalloc_region_create", diskalloc_region_create(b->da, &ro, &r));
    EXPECT_FAILURE(-EINVAL, "diskalloc_region_open", diskalloc_region_open(b->da, "name", &ro, &r));
    ro = (struct diskalloc_region_options)DISKALLOC_REGION_OPTIONS_INIT;
    ro.flags = 0x40000000;
    EXPECT_FAILURE(-EINVAL, "diskalloc_region_create", diskalloc_region_create(b->da, &ro, &r));
    ro.flags |= DISKALLOC_REGION_CREATE;
    EXPECT_FAILURE(-EINVAL, "diskalloc_region_open", diskalloc_region_open(b->da, "name", &ro, &r));
    assert_ptr_equal(r, NOT_WRITTEN);
}
FOR_EACH_BACKEND(wrong_options_are_invalid)

static void wrong_addresses_are_invalid(void **state)
{
    static const char *const wrong[] = {
        "nonsense", "nonsense:/var/tmp", "tcp:127.0.0.1:80", "unix:", "dir:", "/var/tmp"};
    struct diskalloc *da = NOT_WRITTEN;

    (void)state;
    for (size_t i = 0; i < sizeof(wrong) / sizeof(*wrong); i++) {
        print_message("%s\n", wrong[i]);
        EXPECT_FAILURE(-EINVAL, "diskalloc_open", diskalloc_open(wrong[i], NULL, &da));
    }
    EXPECT_FAILURE(-ENOENT, "diskalloc_open", diskalloc_open("dir:/nonexistent/for/sure", NULL, &da));
    // Others than root are refused before the file system is asked.
    EXPECT_FAILURE(geteuid() == 0 ? -EOPNOTSUPP : -EACCES, "diskalloc_open", diskalloc_open("dir:/proc", NULL, &da));
    assert_ptr_equal(da, NOT_WRITTEN);
}

static void wrong_names_are_invalid(struct test_backend *b)
{
    static const char *const wrong[] = {"",
                                        ".",
                                        "..",
                                        ".hidden",
                                        "two words",
                                        "new\nline",
                                        "gr\xc3\xbc\xc3\x9f",
                                        "/absolute",
                                        "a/b/c",
                                        "star*",
                                        "a\\b",
                                        "0123456789abcdef0123456789abcdef",
                                        "0123456789ABCDEF0123456789ABCDEF"};
    struct diskalloc_region *r = NOT_WRITTEN;

    for (size_t i = 0; i < sizeof(wrong) / sizeof(*wrong); i++) {
        print_message("\"%s\"\n", wrong[i]);
        EXPECT_FAILURE(-EINVAL, "diskalloc_region_open", open_named(b->da, wrong[i], 1, DISKALLOC_REGION_CREATE, &r));
        EXPECT_FAILURE(-EINVAL, "diskalloc_region_unlink", diskalloc_region_unlink(b->da, wrong[i]));
    }
    assert_ptr_equal(r, NOT_WRITTEN);
}
FOR_EACH_BACKEND(wrong_names_are_invalid)

static void names_of_up_to_128_letters_are_right(struct test_backend *b)
{
    static const char *const right[] = {"a",
                                        "-",
                                        "_",
                                        "A.b-c_9",
                                        "0123456789abcdef",
                                        "0123456789abcdef0123456789abcdeg",
                                        "0123456789abcdef0123456789abcdef0"};
    struct diskalloc_region *r = NULL;
    char name[130];

    memset(name, 'n', sizeof(name));
    name[129] = '\0';
    EXPECT_FAILURE(-ENAMETOOLONG, "diskalloc_region_open", open_named(b->da, name, 1, DISKALLOC_REGION_CREATE, &r));
    EXPECT_FAILURE(-ENAMETOOLONG, "diskalloc_region_unlink", diskalloc_region_unlink(b->da, name));
    assert_null(r);
    name[128] = '\0';
    assert_int_equal(open_named(b->da, name, 1, DISKALLOC_REGION_CREATE, &r), 0);
    diskalloc_region_close(r);
    assert_int_equal(diskalloc_region_unlink(b->da, name), 0);
    for (size_t i = 0; i < sizeof(right) / sizeof(*right); i++) {
        assert_int_equal(open_named(b->da, right[i], 1, DISKALLOC_REGION_CREATE | DISKALLOC_REGION_EXCLUSIVE, &r), 0);
        diskalloc_region_close(r);
        assert_int_equal(diskalloc_region_unlink(b->da, right[i]), 0);
    }
}
FOR_EACH_BACKEND(names_of_up_to_128_letters_are_right)

static void wrong_handles_are_invalid_and_unknown_ones_not_found(struct test_backend *b)
{
    static const char *const wrong[] = {"", "xyz", "0123456789abcdef0123456789abcde",
                                        "0123456789abcdef0123456789abcdef0", "0123456789abcdef0123456789abcdeg"};
    struct diskalloc_region *r = NOT_WRITTEN;

    for (size_t i = 0; i < sizeof(wrong) / sizeof(*wrong); i++)
        EXPECT_FAILURE(-EINVAL, "diskalloc_region_attach", diskalloc_region_attach(b->da, wrong[i], NULL, &r));
    EXPECT_FAILURE(-ENOENT, "diskalloc_region_attach",
                   diskalloc_region_attach(b->da, "0123456789abcdef0123456789abcdef", NULL, &r));
    assert_ptr_equal(r, NOT_WRITTEN);
}
FOR_EACH_BACKEND(wrong_handles_are_invalid_and_unknown_ones_not_found)

static void what_is_not_there_is_not_found_and_what_is_there_exists(struct test_backend *b)
{
    struct diskalloc_region *r = NULL, *other = NOT_WRITTEN;

    EXPECT_FAILURE(-ENOENT, "diskalloc_region_open", open_named(b->da, "thing", 100, 0, &other));
    EXPECT_FAILURE(-ENOENT, "diskalloc_region_unlink", diskalloc_region_unlink(b->da, "thing"));
    assert_int_equal(open_named(b->da, "thing", 100, DISKALLOC_REGION_CREATE | DISKALLOC_REGION_EXCLUSIVE, &r), 0);
    assert_string_equal(diskalloc_last_error(), "");
    memset(diskalloc_region_data(r), 9, 100);
    EXPECT_FAILURE(-EEXIST, "diskalloc_region_open",
                   open_named(b->da, "thing", 7, DISKALLOC_REGION_CREATE | DISKALLOC_REGION_EXCLUSIVE, &other));
    assert_ptr_equal(other, NOT_WRITTEN);
    assert_int_equal(file_size(r), 100);
    assert_int_equal(((uint8_t *)diskalloc_region_data(r))[99], 9);
    diskalloc_region_close(r);
    assert_int_equal(diskalloc_region_unlink(b->da, "thing"), 0);
    EXPECT_FAILURE(-ENOENT, "diskalloc_region_open", open_named(b->da, "thing", 0, 0, &other));
}
FOR_EACH_BACKEND(what_is_not_there_is_not_found_and_what_is_there_exists)

static void sizes_that_no_file_can_have_overflow(struct test_backend *b)
{
    static const uint64_t sizes[] = {(uint64_t)1 << 63, UINT64_MAX, UINT64_MAX - 4095};
    struct diskalloc_region_options o = DISKALLOC_REGION_OPTIONS_INIT;
    struct diskalloc_region *r = make_region(b->da, 5000), *other = NOT_WRITTEN;
    struct u64s v = {0};
    uint64_t *more = NOT_WRITTEN;
    volatile size_t too_many = SIZE_MAX / 3; // the compiler would rightly warn of a constant

    memset(diskalloc_region_data(r), 3, 5000);
    for (size_t i = 0; i < sizeof(sizes) / sizeof(*sizes); i++) {
        EXPECT_FAILURE(-EOVERFLOW, "diskalloc_region_resize", diskalloc_region_resize(r, sizes[i]));
        o.size = sizes[i];
        EXPECT_FAILURE(-EOVERFLOW, "diskalloc_region_create", diskalloc_region_create(b->da, &o, &other));
    }
    assert_ptr_equal(other, NOT_WRITTEN);
    assert_int_equal(diskalloc_region_size(r), 5000);
    assert_int_equal(file_size(r), 5000);
    assert_int_equal(u64s_init_region(&v, r), 0);
    assert_int_equal(v.len, 625);
    assert_int_equal(u64s_reserve(&v, SIZE_MAX), -EOVERFLOW);
    assert_true(diskalloc_last_error()[0] != '\0');
    assert_int_equal(u64s_reserve(&v, SIZE_MAX / 8), -EOVERFLOW);
    assert_int_equal(u64s_resize(&v, SIZE_MAX / 4), -EOVERFLOW);
    assert_int_equal(u64s_append_uninit(&v, SIZE_MAX / 2, &more), -EOVERFLOW);
    assert_ptr_equal(more, NOT_WRITTEN);
    assert_int_equal(u64s_extend(&v, v.data, too_many), -EOVERFLOW);
    assert_int_equal(v.len, 625);
    assert_int_equal(v.data[624], 0x0303030303030303);
    assert_int_equal(u64s_push(&v, 1), 0);
    u64s_deinit(&v);
}
FOR_EACH_BACKEND(sizes_that_no_file_can_have_overflow)

static void a_region_that_outgrows_its_reservation_is_refused_with_both_numbers(struct test_backend *b)
{
    struct diskalloc_region_options o = DISKALLOC_REGION_OPTIONS_INIT;
    struct diskalloc_region *r = NULL, *other = NOT_WRITTEN;
    struct diskalloc_error_info info;
    uint64_t reserve;

    o.size = MIB;
    o.reserve = 8 * MIB;
    assert_int_equal(diskalloc_region_create(b->da, &o, &r), 0);
    reserve = diskalloc_region_reserve(r);
    assert_true(reserve >= 8 * MIB && reserve < 64 * MIB);
    memset(diskalloc_region_data(r), 8, MIB);
    info = EXPECT_FAILURE(-ENOMEM, "diskalloc_region_resize", diskalloc_region_resize(r, 64 * MIB));
    assert_int_equal(info.limit, reserve);
    assert_true(info.used + info.asked > info.limit);
    assert_non_null(strpbrk(diskalloc_last_error(), "0123456789"));
    assert_int_equal(diskalloc_region_size(r), MIB);
    assert_int_equal(file_size(r), MIB);
    assert_int_equal(diskalloc_region_resize(r, reserve), 0);
    memset(diskalloc_region_data(r), 9, reserve);
    EXPECT_FAILURE(-ENOMEM, "diskalloc_region_resize", diskalloc_region_resize(r, reserve + 1));
    diskalloc_region_close(r);

    o.reserve = (uint64_t)1 << 60;
    EXPECT_FAILURE(-ENOMEM, "diskalloc_region_create", diskalloc_region_create(b->da, &o, &other));
    assert_ptr_equal(other, NOT_WRITTEN);
    if (b->remote)
        test_wait_until(nothing_is_charged, b->da, 30, "a region that could not be mapped has been given back");
}
FOR_EACH_BACKEND(a_region_that_outgrows_its_reservation_is_refused_with_both_numbers)

static void a_commit_beyond_the_size_is_invalid(struct test_backend *b)
{
    struct diskalloc_region *r = NULL;

    assert_int_equal(open_named(b->da, "committed", 800, DISKALLOC_REGION_CREATE, &r), 0);
    assert_int_equal(diskalloc_region_commit(r, 400, 8, 0), 0);
    EXPECT_FAILURE(-EINVAL, "diskalloc_region_commit", diskalloc_region_commit(r, 801, 8, 0));
    EXPECT_FAILURE(-EINVAL, "diskalloc_region_commit", diskalloc_region_commit(r, 8, 8, 0x40000000));
    assert_int_equal(diskalloc_region_used(r), 400);
    diskalloc_region_close(r);
    assert_int_equal(diskalloc_region_unlink(b->da, "committed"), 0);
}
FOR_EACH_BACKEND(a_commit_beyond_the_size_is_invalid)

static void a_vector_of_other_elements_is_refused_and_the_caller_keeps_the_region(struct test_backend *b)
{
    struct diskalloc_region *r = NULL;
    struct u32s narrow = {0};
    struct u64s wide = {0};

    assert_int_equal(open_named(b->da, "elements", 804, DISKALLOC_REGION_CREATE, &r), 0);
    assert_int_equal(u64s_init_region(&wide, r), -EINVAL);
    assert_int_equal(diskalloc_region_resize(r, 800), 0);
    assert_int_equal(diskalloc_region_commit(r, 400, 8, 0), 0);
    assert_int_equal(u32s_init_region(&narrow, r), -EPROTOTYPE);
    assert_true(diskalloc_last_error()[0] != '\0');
    assert_int_equal(u64s_init_region(&wide, r), 0);
    assert_int_equal(wide.len, 50);
    u64s_deinit(&wide);
    assert_int_equal(open_named(b->da, "elements", 0, 0, &r), 0);
    assert_int_equal(u32s_init_region(&narrow, r), -EPROTOTYPE);
    diskalloc_region_close(r);
    assert_int_equal(diskalloc_region_unlink(b->da, "elements"), 0);
}
FOR_EACH_BACKEND(a_vector_of_other_elements_is_refused_and_the_caller_keeps_the_region)

static void a_process_out_of_descriptors_is_told_so_and_recovers(struct test_backend *b)
{
    struct rlimit none, before;
    struct diskalloc_region *r = make_region(b->da, 10000);
    struct diskalloc *da = NOT_WRITTEN;
    int opened, fd, lowest_free = dup(0);

    assert_return_code(lowest_free, errno);
    close(lowest_free);
    assert_return_code(getrlimit(RLIMIT_NOFILE, &before), errno);
    none = before;
    none.rlim_cur = (rlim_t)lowest_free;
    assert_return_code(setrlimit(RLIMIT_NOFILE, &none), errno);
    opened = diskalloc_open(b->address, NULL, &da);
    fd = diskalloc_region_fd(r);
    assert_return_code(setrlimit(RLIMIT_NOFILE, &before), errno);
    assert_int_equal(opened, -EMFILE);
    assert_ptr_equal(da, NOT_WRITTEN);
    assert_true(fd >= 0 || fd == -EMFILE);
    assert_true(diskalloc_region_fd(r) >= 0);
    assert_int_equal(diskalloc_region_resize(r, 20000), 0);
    assert_int_equal(file_size(r), 20000);
    diskalloc_region_close(r);
}
FOR_EACH_BACKEND(a_process_out_of_descriptors_is_told_so_and_recovers)

int main(void)
{
    const struct CMUnitTest tests[] = {
        EACH_BACKEND(wrong_options_are_invalid),
        TEST(wrong_addresses_are_invalid),
        EACH_BACKEND(wrong_names_are_invalid),
        EACH_BACKEND(names_of_up_to_128_letters_are_right),
        EACH_BACKEND(wrong_handles_are_invalid_and_unknown_ones_not_found),
        EACH_BACKEND(what_is_not_there_is_not_found_and_what_is_there_exists),
        EACH_BACKEND(sizes_that_no_file_can_have_overflow),
        EACH_BACKEND(a_region_that_outgrows_its_reservation_is_refused_with_both_numbers),
        EACH_BACKEND(a_commit_beyond_the_size_is_invalid),
        EACH_BACKEND(a_vector_of_other_elements_is_refused_and_the_caller_keeps_the_region),
        EACH_BACKEND(a_process_out_of_descriptors_is_told_so_and_recovers),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
