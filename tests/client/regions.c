// diskalloc_next_region: the list of regions, with a daemon and embedded.
#include "client/backend.h"
#include "client/region_list.h"
#include "tests/lib/strings.h"
#include "tests/lib/u64vec.h"

#include <time.h>

enum { N_NAMED = 150, N_ANONYMOUS = 70 };

static void name_of(char ret[static 32], size_t i)
{
    snprintf(ret, 32, "region-%zu", i);
}

static void make_named(struct test_backend *b)
{
    for (size_t i = 0; i < N_NAMED; i++) {
        struct diskalloc_region *r = NULL;
        char name[32];

        name_of(name, i);
        assert_int_equal(open_named(b->da, name, i, DISKALLOC_REGION_CREATE, &r), 0);
        diskalloc_region_close(r);
    }
}

static void unlink_named(struct test_backend *b)
{
    for (size_t i = 0; i < N_NAMED; i++) {
        char name[32];

        name_of(name, i);
        assert_int_equal(diskalloc_region_unlink(b->da, name), 0);
    }
}

static int next(struct test_backend *b, uint64_t *cursor, struct diskalloc_region_info *ret)
{
    int r = diskalloc_next_region(b->da, cursor, ret, sizeof *ret);

    assert_true(r == 0 || r == 1);
    assert_string_equal(diskalloc_last_error(), "");
    return r;
}

static bool find(struct test_backend *b, const char *handle, const char *name, struct diskalloc_region_info *ret)
{
    uint64_t cursor = 0;

    while (next(b, &cursor, ret) == 1)
        if (handle ? strcmp(ret->handle, handle) == 0 : strcmp(ret->name, name) == 0)
            return true;
    return false;
}

static void each_region_comes_once(struct test_backend *b)
{
    struct diskalloc_region *anonymous[N_ANONYMOUS];
    bool seen[N_NAMED] = {false}, seen_anonymous[N_ANONYMOUS] = {false};
    struct diskalloc_region_info info, other;
    uint64_t cursor = 0, cursor2 = 0;
    size_t n = 0;

    assert_int_equal(next(b, &cursor, &info), 0);
    assert_int_equal(cursor, 0);
    make_named(b);
    for (size_t i = 0; i < N_ANONYMOUS; i++)
        anonymous[i] = make_region(b->da, 4096 * i);
    while (next(b, &cursor, &info) == 1) {
        n++;
        if (info.name[0]) {
            size_t i = strtoul(info.name + 7, NULL, 10);

            assert_true(i < N_NAMED && !seen[i]);
            seen[i] = true;
            assert_int_equal(info.size, i);
            assert_int_equal(info.granted, i ? 4096 : 0);
            assert_int_equal(info.attached, 0);
            assert_in_range(info.created_s, (uint64_t)time(NULL) - 600, (uint64_t)time(NULL) + 600);
        }
        for (size_t i = 0; i < N_ANONYMOUS; i++)
            if (strcmp(info.handle, diskalloc_region_handle(anonymous[i])) == 0) {
                assert_false(seen_anonymous[i]);
                seen_anonymous[i] = true;
                assert_int_equal(info.size, 4096 * i);
                assert_int_equal(info.attached, 1);
            }
        assert_int_equal(info.owner, geteuid());
        assert_int_equal(info.mode, 0600);
        assert_int_equal(info.expires_s, 0);
        // Another reading, which goes its own way.
        if (n % 3 == 0 && next(b, &cursor2, &other) == 0)
            cursor2 = 0;
    }
    assert_int_equal(n, N_NAMED + N_ANONYMOUS);
    for (size_t i = 0; i < N_ANONYMOUS; i++)
        diskalloc_region_close(anonymous[i]);
    unlink_named(b);
}

static void a_region_is_described(struct test_backend *b)
{
    struct diskalloc_region_options o = with_flags(DISKALLOC_REGION_CREATE | DISKALLOC_REGION_SPARSE);
    struct diskalloc_region *r = NULL, *again = NULL;
    struct diskalloc_region_info info;
    struct diskalloc_strvec strings;

    o.mode = 0640;
    o.size = 1000000;
    assert_int_equal(diskalloc_region_open(b->da, "described", &o, &r), 0);
    assert_int_equal(open_named(b->da, "described", 0, 0, &again), 0);
    assert_int_equal(diskalloc_region_commit(r, 800, 8, 0), 0);
    assert_true(find(b, NULL, "described", &info));
    assert_string_equal(info.handle, diskalloc_region_handle(r));
    assert_int_equal(info.mode, 0640);
    assert_int_equal(info.flags, DISKALLOC_REGION_SPARSE);
    assert_int_equal(info.size, 1000000);
    assert_int_equal(info.used, 800);
    assert_int_equal(info.element_size, 8);
    assert_in_range(info.attached, 1, 2);
    diskalloc_region_close(again);
    assert_int_equal(diskalloc_region_unlink(b->da, "described"), 0);
    assert_false(find(b, NULL, "described", &info));
    diskalloc_region_close(r);

    open_strings(b, &strings, "strings");
    assert_true(find(b, NULL, "strings", &info));
    assert_true(find(b, NULL, "strings.bytes", &info));
    diskalloc_strvec_deinit(&strings);
    unlink_strings(b, "strings");
}

static void regions_that_come_and_go_do_not_disturb(struct test_backend *b)
{
    struct diskalloc_region_info info;
    uint64_t cursor = 0;
    size_t n = 0;

    make_named(b);
    while (next(b, &cursor, &info) == 1) {
        assert_int_equal(diskalloc_region_unlink(b->da, info.name), 0);
        n++;
    }
    assert_int_equal(n, N_NAMED);
}

static void wrong_arguments_are_refused(struct test_backend *b)
{
    struct diskalloc_region *r = make_region(b->da, 77);
    struct diskalloc_region_info info;
    char short_info[40];
    uint64_t cursor = 0;

    EXPECT_FAILURE(-EINVAL, "diskalloc_next_region", diskalloc_next_region(NULL, &cursor, &info, sizeof info));
    EXPECT_FAILURE(-EINVAL, "diskalloc_next_region", diskalloc_next_region(b->da, NULL, &info, sizeof info));
    EXPECT_FAILURE(-EINVAL, "diskalloc_next_region", diskalloc_next_region(b->da, &cursor, NULL, sizeof info));
    EXPECT_FAILURE(-EINVAL, "diskalloc_next_region", diskalloc_next_region(b->da, &cursor, &info, 0));
    assert_int_equal(cursor, 0);
    memset(short_info, 0x55, sizeof short_info);
    // A program that was compiled with a shorter struct.
    assert_int_equal(diskalloc_next_region(b->da, &cursor, (void *)short_info, 33), 1);
    assert_string_equal(short_info, diskalloc_region_handle(r));
    assert_int_equal(short_info[33], 0x55);
    // And with a longer one.
    struct {
        struct diskalloc_region_info info;
        uint64_t more;
    } longer;

    memset(&longer, 0x55, sizeof longer);
    cursor = 0;
    assert_int_equal(diskalloc_next_region(b->da, &cursor, &longer.info, sizeof longer), 1);
    assert_int_equal(longer.more, 0);
    cursor = UINT64_MAX;
    assert_int_equal(diskalloc_next_region(b->da, &cursor, &info, sizeof info), 0);
    diskalloc_region_close(r);
}

FOR_EACH_BACKEND(each_region_comes_once)
FOR_EACH_BACKEND(a_region_is_described)
FOR_EACH_BACKEND(regions_that_come_and_go_do_not_disturb)
FOR_EACH_BACKEND(wrong_arguments_are_refused)

static struct handle handle_with(uint8_t first, uint8_t last)
{
    struct handle h = {{0}};

    h.bytes[0] = first;
    h.bytes[15] = last;
    return h;
}

// A backend whose pages are empty now and then, whose handles begin with zeros, and which fails once.
static int list_oddly(struct backend *backend, const struct handle *after, struct region_page *ret)
{
    const struct handle all[] = {handle_with(0, 1), handle_with(2, 0), handle_with(255, 255)};
    static int calls;

    (void)backend;
    if (++calls == 2)
        return -ECONNRESET;
    for (size_t i = 0; i < 3; i++) {
        if (after && memcmp(all[i].bytes, after->bytes, sizeof after->bytes) <= 0)
            continue;
        ret->more = i < 2;
        ret->last = all[i];
        if (i != 1 || calls % 2 == 0)
            ret->handles[ret->n++] = all[i];
        return 0;
    }
    return 0;
}

static void odd_pages_are_read_to_the_end(void **state)
{
    const struct backend_ops ops = {.list = list_oddly};
    struct backend backend = {&ops};
    struct diskalloc_region_info info;
    struct region_list l;
    uint64_t cursor = 0;

    (void)state;
    region_list_init(&l);
    assert_int_equal(region_list_next(&l, &backend, &cursor, &info), 1);
    assert_int_equal(cursor, 1);
    assert_int_equal(region_list_next(&l, &backend, &cursor, &info), -ECONNRESET);
    assert_int_equal(cursor, 1);
    assert_int_equal(region_list_next(&l, &backend, &cursor, &info), 1);
    assert_true(cursor == (uint64_t)2 << 56 || cursor == (uint64_t)255 << 56);
    while (cursor < (uint64_t)255 << 56)
        assert_int_equal(region_list_next(&l, &backend, &cursor, &info), 1);
    assert_int_equal(region_list_next(&l, &backend, &cursor, &info), 0);
    region_list_deinit(&l);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        EACH_BACKEND(each_region_comes_once),
        EACH_BACKEND(a_region_is_described),
        EACH_BACKEND(regions_that_come_and_go_do_not_disturb),
        EACH_BACKEND(wrong_arguments_are_refused),
        TEST(odd_pages_are_read_to_the_end),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
