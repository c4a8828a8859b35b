// Each configured limit refuses with its name and numbers, changes nothing, and allows everything below it.
#include "tests/lib/test_backend.h"

#include <grp.h>
#include <pwd.h>

DISKALLOC_VEC_DEFINE(u64s, uint64_t)

static void check_numbers(const struct diskalloc_error_info *info, const char *account, const char *resource,
                          uint64_t limit)
{
    if (strncmp(info->limit_name, account, strlen(account)) != 0 || !strstr(info->limit_name, resource))
        fail_msg("limit_name is \"%s\", expected %s… %s", info->limit_name, account, resource);
    assert_int_equal(info->limit, limit);
    assert_true(info->used <= limit);
    assert_true(info->asked > limit - info->used);
}

// The sentence carries the numbers in whatever unit.
static void check_sentence(void)
{
    const char *text = diskalloc_last_error();
    size_t n = 0;

    for (const char *p = text; *p; p++)
        n += *p >= '0' && *p <= '9' && (p == text || p[-1] < '0' || p[-1] > '9');
    if (n < 3)
        fail_msg("limit, used and asked are not all in \"%s\"", text);
}

static void check_that_bytes_are_limited(const char *config, const char *account, uint64_t limit)
{
    struct diskalloc_error_info info;
    struct diskalloc_region *r;
    struct test_backend b;
    uint8_t *data;

    backend_start(&b, true, config, NULL);
    r = make_region(b.da, 614400);
    data = diskalloc_region_data(r);
    memset(data, 0x42, 614400);
    info = EXPECT_FAILURE(-EDQUOT, "diskalloc_region_resize", diskalloc_region_resize(r, 2 * limit));
    check_numbers(&info, account, "bytes", limit);
    assert_int_equal(info.used, 614400);
    assert_int_equal(info.asked, 2 * limit - 614400);
    check_sentence();
    assert_int_equal(diskalloc_region_size(r), 614400);
    assert_int_equal(file_size(r), 614400);
    assert_int_equal(usage_of(b.da).bytes, 614400);
    assert_int_equal(usage_of(b.da).grantable_bytes, limit - 614400);
    assert_int_equal(data[614399], 0x42);
    assert_int_equal(diskalloc_region_resize(r, limit), 0);
    assert_string_equal(diskalloc_last_error(), "");
    memset(data, 0x43, limit);
    EXPECT_FAILURE(-EDQUOT, "diskalloc_region_resize", diskalloc_region_resize(r, limit + 1));
    assert_int_equal(diskalloc_region_resize(r, 4096), 0);
    assert_int_equal(usage_of(b.da).bytes, 4096);
    diskalloc_region_close(r);
    backend_stop(&b);
}

static void the_users_bytes_are_limited(void **state)
{
    (void)state;
    check_that_bytes_are_limited("[daemon]\nkeep_free = 0\n[quota default]\nbytes = 1M\n", "user:", MIB);
}

static void the_total_bytes_are_limited(void **state)
{
    (void)state;
    check_that_bytes_are_limited("[daemon]\nkeep_free = 0\n[quota total]\nbytes = 1M\n", "total", MIB);
}

static void a_groups_bytes_are_limited(void **state)
{
    const struct passwd *pw = getpwuid(geteuid());
    const struct group *gr = pw ? getgrgid(pw->pw_gid) : NULL;
    char config[200];

    (void)state;
    if (!gr) {
        print_message("skipped: this user or its group is not in the user database\n");
        skip();
        return;
    }
    snprintf(config, sizeof(config), "[daemon]\nkeep_free = 0\n[quota group:%s]\nbytes = 1M\n", gr->gr_name);
    check_that_bytes_are_limited(config, "group:", MIB);
}

static void a_first_size_beyond_the_limit_leaves_no_region(void **state)
{
    struct diskalloc_region_options o = DISKALLOC_REGION_OPTIONS_INIT;
    struct diskalloc_region *r = (struct diskalloc_region *)0x1;
    struct diskalloc_error_info info;
    struct test_backend b;

    (void)state;
    backend_start(&b, true, "[daemon]\nkeep_free = 0\n[quota default]\nbytes = 1M\n", NULL);
    o.size = MIB + 1;
    info = EXPECT_FAILURE(-EDQUOT, "diskalloc_region_create", diskalloc_region_create(b.da, &o, &r));
    check_numbers(&info, "user:", "bytes", MIB);
    assert_ptr_equal(r, (struct diskalloc_region *)0x1);
    o.flags = DISKALLOC_REGION_CREATE;
    info = EXPECT_FAILURE(-EDQUOT, "diskalloc_region_open", diskalloc_region_open(b.da, "too-large", &o, &r));
    check_numbers(&info, "user:", "bytes", MIB);
    assert_ptr_equal(r, (struct diskalloc_region *)0x1);
    EXPECT_FAILURE(-ENOENT, "diskalloc_region_open", open_named(b.da, "too-large", 0, 0, &r));
    assert_int_equal(usage_of(b.da).bytes, 0);
    assert_int_equal(usage_of(b.da).regions, 0);
    backend_stop(&b);
}

static void the_number_of_regions_is_limited(void **state)
{
    struct diskalloc_region *r[3] = {NULL, NULL, (struct diskalloc_region *)0x1};
    struct diskalloc_error_info info;
    struct test_backend b;

    (void)state;
    backend_start(&b, true, "[daemon]\nkeep_free = 0\n[quota default]\nregions = 2\n", NULL);
    r[0] = make_region(b.da, 1);
    r[1] = make_region(b.da, 0);
    info = EXPECT_FAILURE(-EDQUOT, "diskalloc_region_create", diskalloc_region_create(b.da, NULL, &r[2]));
    check_numbers(&info, "user:", "regions", 2);
    assert_int_equal(info.used, 2);
    assert_int_equal(info.asked, 1);
    check_sentence();
    assert_ptr_equal(r[2], (struct diskalloc_region *)0x1);
    assert_int_equal(usage_of(b.da).regions, 2);
    // Close then create must not fail by chance, however often.
    for (int i = 0; i < 50; i++) {
        diskalloc_region_close(r[1]);
        r[1] = make_region(b.da, 4096);
    }
    diskalloc_region_close(r[0]);
    diskalloc_region_close(r[1]);
    backend_stop(&b);
}

static void the_total_number_of_regions_is_limited(void **state)
{
    struct diskalloc_region *r, *none = NULL;
    struct diskalloc_error_info info;
    struct test_backend b;

    (void)state;
    backend_start(&b, true, "[daemon]\nkeep_free = 0\n[quota total]\nregions = 1\n", NULL);
    r = make_region(b.da, 1);
    info = EXPECT_FAILURE(-EDQUOT, "diskalloc_region_create", diskalloc_region_create(b.da, NULL, &none));
    check_numbers(&info, "total", "regions", 1);
    diskalloc_region_close(r);
    backend_stop(&b);
}

static void the_bytes_of_one_region_are_limited(void **state)
{
    struct diskalloc_region *r, *other;
    struct diskalloc_error_info info;
    struct test_backend b;

    (void)state;
    backend_start(&b, true, "[daemon]\nkeep_free = 0\n[quota default]\nregion_bytes = 1M\n", NULL);
    r = make_region(b.da, 4096);
    info = EXPECT_FAILURE(-EDQUOT, "diskalloc_region_resize", diskalloc_region_resize(r, MIB + 1));
    check_numbers(&info, "user:", "region_bytes", MIB);
    check_sentence();
    assert_int_equal(diskalloc_region_size(r), 4096);
    assert_int_equal(usage_of(b.da).bytes, 4096);
    assert_int_equal(diskalloc_region_resize(r, MIB), 0);
    other = make_region(b.da, MIB);
    assert_int_equal(usage_of(b.da).bytes, 2 * MIB);
    diskalloc_region_close(r);
    diskalloc_region_close(other);
    backend_stop(&b);
}

static void connections_are_limited(void **state)
{
    struct diskalloc *second = NULL, *third = (struct diskalloc *)0x1;
    struct diskalloc_error_info info;
    struct test_backend b;

    (void)state;
    backend_start(&b, true, "[daemon]\nkeep_free = 0\n[quota default]\nconnections = 2\n", NULL);
    assert_int_equal(diskalloc_open(b.address, NULL, &second), 0);
    info = EXPECT_FAILURE(-EDQUOT, "diskalloc_open", diskalloc_open(b.address, NULL, &third));
    check_numbers(&info, "user:", "connections", 2);
    assert_ptr_equal(third, (struct diskalloc *)0x1);
    assert_int_equal(usage_of(b.da).connections, 2);
    assert_int_equal(usage_of(second).connections_limit, 2);
    diskalloc_close(second);
    backend_stop(&b);
}

static void a_limit_of_zero_allows_nothing(void **state)
{
    struct diskalloc_region *r;
    struct diskalloc_error_info info;
    struct test_backend b;

    (void)state;
    backend_start(&b, true, "[daemon]\nkeep_free = 0\n[quota default]\nbytes = 0\n", NULL);
    r = make_region(b.da, 0);
    info = EXPECT_FAILURE(-EDQUOT, "diskalloc_region_resize", diskalloc_region_resize(r, 1));
    check_numbers(&info, "user:", "bytes", 0);
    diskalloc_region_close(r);
    backend_stop(&b);
}

static void keep_free_is_never_granted(void **state)
{
    struct diskalloc_error_info info;
    struct diskalloc_region *r;
    struct test_backend b;

    (void)state;
    backend_start(&b, true, "[daemon]\nkeep_free = 100%\n[quota total]\nbytes = unlimited\n", NULL);
    r = make_region(b.da, 0);
    info = EXPECT_FAILURE(-ENOSPC, "diskalloc_region_resize", diskalloc_region_resize(r, MIB));
    if (!strstr(info.limit_name, "keep_free"))
        fail_msg("limit_name is \"%s\"", info.limit_name);
    assert_int_equal(info.asked, MIB);
    check_sentence();
    assert_int_equal(usage_of(b.da).bytes, 0);
    assert_int_equal(usage_of(b.da).grantable_bytes, 0);
    assert_int_equal(diskalloc_region_size(r), 0);
    diskalloc_region_close(r);
    backend_stop(&b);
}

static void a_vector_at_its_limit_takes_what_is_left_and_goes_on(void **state)
{
    struct u64s v = {0};
    struct test_backend b;
    uint64_t i = 0;
    int code;

    (void)state;
    backend_start(&b, true, "[daemon]\nkeep_free = 0\n[quota default]\nbytes = 10M\n", NULL);
    assert_int_equal(u64s_init(&v, b.da), 0);
    while ((code = u64s_push(&v, i)) == 0)
        i++;
    assert_int_equal(code, -EDQUOT);
    assert_true(strlen(diskalloc_last_error()) > 0);
    assert_int_equal(v.len, 10 * MIB / sizeof(uint64_t));
    assert_int_equal(usage_of(b.da).bytes, 10 * MIB);
    for (i = 0; i < v.len; i++)
        assert_int_equal(v.data[i], i);
    assert_int_equal(u64s_truncate(&v, 100), 0);
    assert_int_equal(u64s_shrink_to_fit(&v), 0);
    assert_int_equal(usage_of(b.da).bytes, 4096);
    assert_int_equal(u64s_push(&v, 100), 0);
    assert_int_equal(v.data[100], 100);
    u64s_deinit(&v);
    backend_stop(&b);
}

static void a_realloc_that_is_refused_leaves_the_block(void **state)
{
    struct test_backend b;
    char *block;

    (void)state;
    backend_start(&b, true, "[daemon]\nkeep_free = 0\n[quota default]\nbytes = 1M\n", NULL);
    block = diskalloc_malloc(b.da, 100 * KIB);
    assert_non_null(block);
    memset(block, 'x', 100 * KIB);
    errno = 0;
    assert_null(diskalloc_realloc(b.da, block, 2 * MIB));
    assert_int_equal(errno, EDQUOT);
    errno = 0;
    assert_null(diskalloc_malloc(b.da, MIB));
    assert_int_equal(errno, EDQUOT);
    assert_true(diskalloc_owns(block));
    assert_true(diskalloc_usable_size(block) >= 100 * KIB);
    assert_int_equal(block[100 * KIB - 1], 'x');
    assert_ptr_equal(diskalloc_realloc(b.da, block, 10), block);
    assert_int_equal(block[9], 'x');
    diskalloc_free(block);
    diskalloc_free(NULL);
    backend_stop(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(the_users_bytes_are_limited),
        TEST(the_total_bytes_are_limited),
        TEST(a_groups_bytes_are_limited),
        TEST(a_first_size_beyond_the_limit_leaves_no_region),
        TEST(the_number_of_regions_is_limited),
        TEST(the_total_number_of_regions_is_limited),
        TEST(the_bytes_of_one_region_are_limited),
        TEST(connections_are_limited),
        TEST(a_limit_of_zero_allows_nothing),
        TEST(keep_free_is_never_granted),
        TEST(a_vector_at_its_limit_takes_what_is_left_and_goes_on),
        TEST(a_realloc_that_is_refused_leaves_the_block),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
