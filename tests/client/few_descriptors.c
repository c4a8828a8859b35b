// A process that has few descriptors left, any number of them: a call succeeds, or it is refused with EMFILE and leaves
// nothing behind, and no list looks complete that is not.
#include "tests/lib/test_backend.h"

#include <diskalloc/strvec.h>
#include <fcntl.h>
#include <sys/resource.h>

enum { MOST_FREE = 8, TOP = 100, LISTED = 5 };

static struct rlimit limit_before;
static int taken[TOP];
static int n_taken;

// Leaves the process N descriptors.
static void leave(int n)
{
    struct rlimit few;
    int fd;

    n_taken = 0;
    while ((fd = open("/dev/null", O_RDONLY | O_CLOEXEC)) < TOP) {
        assert_return_code(fd, errno);
        taken[n_taken++] = fd;
    }
    close(fd);
    assert_return_code(getrlimit(RLIMIT_NOFILE, &limit_before), errno);
    few = limit_before;
    few.rlim_cur = TOP;
    assert_return_code(setrlimit(RLIMIT_NOFILE, &few), errno);
    while (n-- > 0)
        assert_return_code(close(taken[--n_taken]), errno);
}

static void have_enough(void)
{
    assert_return_code(setrlimit(RLIMIT_NOFILE, &limit_before), errno);
    while (n_taken > 0)
        assert_return_code(close(taken[--n_taken]), errno);
}

struct makes {
    struct diskalloc_region *source, *made;
    struct diskalloc_strvec strings;
    bool has_strings;
};

static int by_name(struct test_backend *b, struct makes *m, uint32_t flags, uint32_t mode, uint64_t size)
{
    struct diskalloc_region_options o = DISKALLOC_REGION_OPTIONS_INIT;

    o.flags = flags;
    o.mode = mode;
    o.size = size;
    return diskalloc_region_open(b->da, "new", &o, &m->made);
}

static int create(struct test_backend *b, struct makes *m)
{
    return by_name(b, m, DISKALLOC_REGION_CREATE, 0600, 4096);
}

static int create_exclusive(struct test_backend *b, struct makes *m)
{
    return by_name(b, m, DISKALLOC_REGION_CREATE | DISKALLOC_REGION_EXCLUSIVE, 0600, 0);
}

// In a directory, a file beside the region keeps those away who may only read.
static int create_to_be_read(struct test_backend *b, struct makes *m)
{
    return by_name(b, m, DISKALLOC_REGION_CREATE | DISKALLOC_REGION_EXCLUSIVE, 0644, 4096);
}

static int create_alone(struct test_backend *b, struct makes *m)
{
    return by_name(b, m, DISKALLOC_REGION_CREATE | DISKALLOC_REGION_SOLE_WRITER, 0640, 4096);
}

static int make_copy(struct test_backend *b, struct makes *m)
{
    (void)b;
    return diskalloc_region_clone(m->source, "new", NULL, &m->made);
}

static int make_copy_to_read(struct test_backend *b, struct makes *m)
{
    struct diskalloc_region_options o = DISKALLOC_REGION_OPTIONS_INIT;

    (void)b;
    o.flags = DISKALLOC_REGION_READ_ONLY;
    o.mode = 0644;
    return diskalloc_region_clone(m->source, "new", &o, &m->made);
}

static int make_strings(struct test_backend *b, struct makes *m)
{
    int r = diskalloc_strvec_open(&m->strings, b->da, "new", DISKALLOC_REGION_CREATE);

    m->has_strings = r == 0;
    return r;
}

static int (*const calls[])(struct test_backend *b, struct makes *m) = {
    create, create_exclusive, create_to_be_read, create_alone, make_copy, make_copy_to_read, make_strings,
};
enum { CALLS = sizeof calls / sizeof *calls };

static bool exists(struct test_backend *b, const char *name)
{
    struct diskalloc_region *r = NULL;
    int e = diskalloc_region_open(b->da, name, NULL, &r);

    diskalloc_region_close(r);
    assert_true(e == 0 || e == -ENOENT);
    return e == 0;
}

static void remove_made(struct test_backend *b, struct makes *m)
{
    diskalloc_region_close(m->made);
    m->made = NULL;
    if (m->has_strings) {
        diskalloc_strvec_deinit(&m->strings);
        assert_int_equal(diskalloc_region_unlink(b->da, "new.bytes"), 0);
    }
    m->has_strings = false;
    assert_int_equal(diskalloc_region_unlink(b->da, "new"), 0);
}

static void a_refused_call_leaves_no_region_behind(struct test_backend *b)
{
    struct makes m = {.source = make_region(b->da, 10000)};
    int refused = 0, done = 0;

    for (int call = 0; call < CALLS; call++)
        for (int n = 0; n <= MOST_FREE; n++) {
            int r;

            leave(n);
            r = calls[call](b, &m);
            have_enough();
            if (r != 0)
                assert_int_equal(r, -EMFILE);
            else
                remove_made(b, &m);
            refused += r < 0;
            done += r == 0;
            assert_false(exists(b, "new"));
            assert_false(exists(b, "new.bytes"));
        }
    assert_true(refused >= CALLS);
    assert_true(done >= CALLS);
    diskalloc_region_close(m.source);
    if (b->remote)
        test_wait_until(nothing_is_charged, b->da, 30, "nothing is charged");
    assert_int_equal(usage_of(b->da).regions, 0);
}
FOR_EACH_BACKEND(a_refused_call_leaves_no_region_behind)

// The number of regions that the list has, or a negative errno.
static int count_listed(struct diskalloc *da)
{
    struct diskalloc_region_info info;
    uint64_t cursor = 0;
    int n = 0, r;

    while ((r = diskalloc_next_region(da, &cursor, &info, sizeof info)) > 0)
        n++;
    return r < 0 ? r : n;
}

static void a_list_is_whole_or_refused(struct test_backend *b)
{
    int refused = 0;

    for (int i = 0; i < LISTED; i++) {
        struct diskalloc_region *r = NULL;
        char name[16];

        snprintf(name, sizeof name, "r%d", i);
        assert_int_equal(open_named(b->da, name, 4096, DISKALLOC_REGION_CREATE, &r), 0);
        diskalloc_region_close(r);
    }
    for (int n = 0; n <= MOST_FREE; n++) {
        struct diskalloc *da = NULL;
        int listed;

        assert_int_equal(diskalloc_open(b->address, NULL, &da), 0);
        leave(n);
        listed = count_listed(da);
        have_enough();
        assert_true(listed == LISTED || listed == -EMFILE);
        refused += listed < 0;
        diskalloc_close(da);
    }
    assert_true(b->remote || refused > 1);
    for (int i = 0; i < LISTED; i++) {
        char name[16];

        snprintf(name, sizeof name, "r%d", i);
        assert_int_equal(diskalloc_region_unlink(b->da, name), 0);
    }
}
FOR_EACH_BACKEND(a_list_is_whole_or_refused)

static void a_region_that_is_there_is_found_by_its_handle_or_the_search_is_refused(struct test_backend *b)
{
    struct diskalloc_region *r = NULL;
    char handle[33];

    assert_int_equal(open_named(b->da, "old", 4096, DISKALLOC_REGION_CREATE, &r), 0);
    snprintf(handle, sizeof handle, "%s", diskalloc_region_handle(r));
    diskalloc_region_close(r);
    for (int n = 0; n <= MOST_FREE; n++) {
        int e;

        r = NULL;
        leave(n);
        e = diskalloc_region_attach(b->da, handle, NULL, &r);
        have_enough();
        assert_true(e == 0 || e == -EMFILE);
        diskalloc_region_close(r);
    }
    assert_int_equal(diskalloc_region_unlink(b->da, "old"), 0);
}
FOR_EACH_BACKEND(a_region_that_is_there_is_found_by_its_handle_or_the_search_is_refused)

int main(void)
{
    const struct CMUnitTest tests[] = {
        EACH_BACKEND(a_refused_call_leaves_no_region_behind),
        EACH_BACKEND(a_list_is_whole_or_refused),
        EACH_BACKEND(a_region_that_is_there_is_found_by_its_handle_or_the_search_is_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
