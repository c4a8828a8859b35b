// Memory pressure, read from made-up trees of /proc and /sys, and from this machine's own.
#include "tests/lib/fake_proc.h"
#include "tests/lib/scratch.h"

#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "client/memory/proctext.h"
#include "proto/util/cleanup.h"

static void where_nothing_can_be_read_nothing_is_said(void **state)
{
    WITH_TREE(t);
    expect(&t, NOTHING_SAID);
    assert_false(t.s.stalling);
    expect_after_a_search(&t, NOTHING_SAID);
    tree_end(&t);
}

static void a_number_is_found_by_its_key(void **state)
{
    uint64_t n = 7;

    (void)state;
    assert_true(proctext_number("a 1\nb 2\n", "b ", &n));
    assert_int_equal(n, 2);
    assert_false(proctext_number("a 1\nb 2\n", "c ", &n));
    assert_false(proctext_number("a 1", "c ", &n));
    assert_false(proctext_number("", "c ", &n));
    assert_false(proctext_number("a max\n", "a ", &n));
}

static void garbage_says_nothing(void **state)
{
    static const char *const garbage[] = {
        "",          "\n\n\n",          "max",     "-1",      "MemFree:",    "Dirty: \nDirty: 5\n",
        "::::::///", "0::\n4:memory\n", "a b c d", "- - - -", "\xff\xfe\x01"};
    static const char *const files[] = {"/proc/self/cgroup", "/proc/self/mountinfo", "/proc/pressure/memory"};
    WITH_TREE(t);
    for (size_t i = 0; i < sizeof(garbage) / sizeof(*garbage); i++) {
        for (size_t k = 0; k < sizeof(files) / sizeof(*files); k++)
            put(&t, files[k], "%s", garbage[i]);
        expect_after_a_search(&t, NOTHING_SAID);
        assert_false(t.s.stalling);
    }
    tree_end(&t);
}

static void garbage_in_a_group_says_nothing(void **state)
{
    static const char *const garbage[] = {"", "max", "-5\n", "total_inactive_file\n", "\xff\xff"};
    static const char *const files[] = {"memory.stat", "memory.usage_in_bytes", "memory.limit_in_bytes"};
    char path[128];

    WITH_TREE(t);
    put_mounts(&t, "/", NULL);
    put_v1_group(&t, "/job");
    for (size_t k = 0; k < sizeof(files) / sizeof(*files); k++) {
        put_v1(&t, "/sys/fs/cgroup/memory/job", 512, 500, 440, 100, 50, 0);
        expect_after_a_search(&t, 302 * MIB, 452 * MIB);
        snprintf(path, sizeof(path), "/sys/fs/cgroup/memory/job/%s", files[k]);
        for (size_t i = 0; i < sizeof(garbage) / sizeof(*garbage); i++) {
            put(&t, path, "%s", garbage[i]);
            expect_after_a_search(&t, NOTHING_SAID);
        }
        take(&t, path);
        expect_after_a_search(&t, NOTHING_SAID);
    }
    tree_end(&t);
}

static void absurd_numbers_neither_wrap_nor_lie(void **state)
{
    WITH_TREE(t);
    put_mounts(&t, "/", NULL);
    put_v1_group(&t, "/job");
    put_v1(&t, "/sys/fs/cgroup/memory/job", 512, 4000000000u, 10, 4000000000u, 4000000000u, 0);
    expect_after_a_search(&t, 0, 0);
    // More cache than usage: they are not read at the same moment.
    put_v1(&t, "/sys/fs/cgroup/memory/job", 512, 10, 440, 12, 0, 0);
    expect_after_a_search(&t, 500 * MIB, 512 * MIB);
    put(&t, "/sys/fs/cgroup/memory/job/memory.limit_in_bytes", "99999999999999999999999999\n");
    expect_after_a_search(&t, NOTHING_SAID);
    put(&t, "/sys/fs/cgroup/memory/job/memory.limit_in_bytes", "0\n");
    expect_after_a_search(&t, 0, 0);
    tree_end(&t);
}

static void put_stalls(struct tree *t, const char *path, const char *average, uint64_t total)
{
    put(t, path, "some avg10=%s avg60=0.00 avg300=0.00 total=%llu\nfull avg10=0.00 avg60=0.00 avg300=0.00 total=7\n",
        average, (unsigned long long)total);
}

static bool stalls(struct tree *t)
{
    pressure_look(&t->p, &t->s);
    return t->s.stalling;
}

static void the_first_look_goes_by_the_average_of_ten_seconds(void **state)
{
    WITH_TREE(t);
    put_stalls(&t, "/proc/pressure/memory", "9.99", 1000000000);
    assert_false(stalls(&t));
    pressure_deinit(&t.p);
    put_stalls(&t, "/proc/pressure/memory", "10.00", 1000000000);
    assert_true(stalls(&t));
    tree_end(&t);
}

static void later_looks_go_by_what_was_added(void **state)
{
    WITH_TREE(t);
    put_stalls(&t, "/proc/pressure/memory", "99.00", 1000000000);
    assert_true(stalls(&t));
    assert_false(stalls(&t));
    put_stalls(&t, "/proc/pressure/memory", "0.00", 1000000000000000);
    assert_true(stalls(&t));
    assert_false(stalls(&t));
    // Another group's count.
    put_stalls(&t, "/proc/pressure/memory", "0.00", 5);
    assert_false(stalls(&t));
    tree_end(&t);
}

static void stalls_of_the_own_group_count_where_they_are_counted(void **state)
{
    WITH_TREE(t);
    put_mounts(&t, "/", "/");
    put(&t, "/proc/self/cgroup", "4:memory:/\n0::/job\n");
    put_stalls(&t, "/proc/pressure/memory", "50.00", 5);
    put_stalls(&t, "/sys/fs/cgroup/unified/job/memory.pressure", "0.00", 5);
    assert_false(stalls(&t));
    take(&t, "/sys/fs/cgroup/unified/job/memory.pressure");
    pressure_deinit(&t.p);
    assert_true(stalls(&t));
    tree_end(&t);
}

static size_t count_descriptors(void)
{
    size_t n = 0;

    for (int fd = 0; fd < 256; fd++)
        n += fcntl(fd, F_GETFD) >= 0;
    return n;
}

static void this_machine_is_looked_at_without_keeping_a_descriptor(void **state)
{
    size_t before = count_descriptors();
    struct pressure_state s;
    struct pressure p;

    (void)state;
    pressure_init(&p, NULL);
    for (int i = 0; i < 130; i++) {
        pressure_look(&p, &s);
        assert_int_equal(count_descriptors(), before);
        assert_true(s.room <= s.most);
    }
    pressure_deinit(&p);
}

// A real control group with a limit of 64 MiB.
struct group {
    char dir[128], file[160];
    bool unified;
};

static bool write_text(const char *dir, const char *name, const char *text)
{
    char path[256];
    _cleanup_close_ int fd = -1;

    snprintf(path, sizeof(path), "%s/%s", dir, name);
    fd = open(path, O_WRONLY | O_CLOEXEC);
    return fd >= 0 && write(fd, text, strlen(text)) == (ssize_t)strlen(text);
}

static bool group_make(struct group *g)
{
    static const char *const mounts[] = {"/sys/fs/cgroup/memory", "/sys/fs/cgroup"};
    static const char *const limits[] = {"memory.limit_in_bytes", "memory.max"};

    for (int i = 0; i < 2; i++) {
        g->unified = i == 1;
        snprintf(g->dir, sizeof(g->dir), "%s/diskalloc-test-%d", mounts[i], (int)getpid());
        if (mkdir(g->dir, 0755) < 0)
            continue;
        if (write_text(g->dir, limits[i], "67108864"))
            return true;
        rmdir(g->dir);
    }
    return false;
}

static void dirty(const char *path, size_t n)
{
    _cleanup_close_ int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    _cleanup_free_ char *junk = malloc(n);

    assert_return_code(fd, errno);
    assert_non_null(junk);
    memset(junk, 'j', n);
    assert_int_equal(write(fd, junk, n), n);
}

static void look_from_inside(void *data)
{
    struct group *g = data;
    struct pressure_state before, after;
    struct pressure p;

    pressure_init(&p, NULL);
    assert_true(write_text(g->dir, "cgroup.procs", "0"));
    pressure_look(&p, &before);
    assert_string_equal(p.group, g->dir);
    assert_in_range(before.most, 1, 64 * MIB);
    assert_in_range(before.room, 1, 64 * MIB);
    // Somebody's sync may write it before we look.
    for (int i = 0; i < 20; i++) {
        dirty(g->file, 4 * MIB);
        pressure_look(&p, &after);
        if (after.room < before.room - 3 * MIB)
            break;
    }
    print_message("room %llu of %llu KiB, with 4 MiB dirty %llu\n", (unsigned long long)before.room >> 10,
                  (unsigned long long)before.most >> 10, (unsigned long long)after.room >> 10);
    assert_true(after.room < before.room - 3 * MIB);
    pressure_deinit(&p);
}

static void a_real_limit_and_what_is_dirtied_under_it_are_seen(void **state)
{
    struct group g;
    char dir[128];
    int status;

    (void)state;
    if (!group_make(&g)) {
        print_message("no memory control group can be made here\n");
        skip();
    }
    scratch_make_dir(dir, sizeof(dir));
    snprintf(g.file, sizeof(g.file), "%s/junk", dir);
    status = test_in_child(look_from_inside, &g, (uid_t)-1);
    scratch_remove_tree(dir);
    assert_return_code(rmdir(g.dir), errno);
    assert_int_equal(status, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_number_is_found_by_its_key),
        TEST(where_nothing_can_be_read_nothing_is_said),
        TEST(garbage_says_nothing),
        TEST(garbage_in_a_group_says_nothing),
        TEST(absurd_numbers_neither_wrap_nor_lie),
        TEST(the_first_look_goes_by_the_average_of_ten_seconds),
        TEST(later_looks_go_by_what_was_added),
        TEST(stalls_of_the_own_group_count_where_they_are_counted),
        TEST(this_machine_is_looked_at_without_keeping_a_descriptor),
        TEST(a_real_limit_and_what_is_dirtied_under_it_are_seen),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
