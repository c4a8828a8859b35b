// Children that were forked share the memory of their parent's regions: the parent takes no part of it away while one
// lives.
#include "tests/lib/actor.h"
#include "tests/lib/test_backend.h"

#include <fcntl.h>
#include <sys/resource.h>

enum { SIZE = 1 << 20, MANY = 40 };

// A child that ends when its parent writes to the pipe.
struct child {
    pid_t pid;
    int to;
};

enum does {
    STAYS,
    CLOSES_ALL, // descriptors that it does not know, as daemons do
    RUNS,       // another program
};

static bool is_filled(const struct diskalloc_region *r, uint64_t size)
{
    const char *data = diskalloc_region_data(r);

    for (uint64_t i = 0; i < size; i += 512)
        if (data[i] != 'c')
            return false;
    return true;
}

static void wait_for_parent(int from)
{
    char c;

    while (read(from, &c, 1) < 0 && errno == EINTR)
        continue;
}

// Until the other end, which is closed when its process runs another program or closes all, is gone.
static void wait_for_end(int from)
{
    char c;

    assert_int_equal(read(from, &c, 1), 0);
    close(from);
}

static void close_all_but(int fd)
{
    for (int i = STDERR_FILENO + 1; i < 1024; i++)
        if (i != fd)
            close(i);
}

// The child does it at the latest when this returns.  If it runs no program, it looks at the region at last.
static struct child start_child(struct diskalloc_region *r, enum does does)
{
    struct child c;
    int ends[2], doing[2] = {-1, -1};

    assert_int_equal(pipe(ends), 0);
    if (does != STAYS)
        assert_int_equal(pipe2(doing, O_CLOEXEC), 0);
    fflush(NULL);
    c.pid = fork();
    if (c.pid == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        close(ends[1]);
        if (does == RUNS) {
            dup2(ends[0], STDIN_FILENO);
            execlp("cat", "cat", (char *)NULL);
            _exit(127);
        }
        if (does == CLOSES_ALL)
            close_all_but(ends[0]);
        wait_for_parent(ends[0]);
        _exit(r && !is_filled(r, SIZE));
    }
    assert_true(c.pid > 0);
    close(ends[0]);
    if (does != STAYS) {
        close(doing[1]);
        wait_for_end(doing[0]);
    }
    c.to = ends[1];
    return c;
}

static void end_child(struct child *c)
{
    int status;

    assert_int_equal(write(c->to, "", 1), 1);
    close(c->to);
    assert_int_equal(waitpid(c->pid, &status, 0), c->pid);
    assert_int_equal(status, 0);
}

static struct diskalloc_region *make_filled(struct diskalloc *da)
{
    struct diskalloc_region *r = make_region(da, SIZE);

    memset(diskalloc_region_data(r), 'c', SIZE);
    return r;
}

static void expect_refused(struct diskalloc_region *r)
{
    EXPECT_FAILURE(-EBUSY, "diskalloc_region_resize", diskalloc_region_resize(r, 4096));
    EXPECT_FAILURE(-EBUSY, "diskalloc_region_discard", diskalloc_region_discard(r, 0, SIZE / 2));
    assert_int_equal(diskalloc_region_size(r), SIZE);
    assert_true(is_filled(r, SIZE));
}

static void expect_granted(struct diskalloc_region *r)
{
    assert_int_equal(diskalloc_region_discard(r, 0, 65536), 0);
    assert_int_equal(diskalloc_region_resize(r, 4096), 0);
}

static void nothing_is_taken_from_a_child(struct test_backend *b)
{
    struct diskalloc_region *r = make_filled(b->da);
    struct child c = start_child(r, STAYS);

    expect_refused(r);
    assert_int_equal(diskalloc_region_resize(r, 2 * SIZE), 0);
    assert_int_equal(diskalloc_region_resize(r, 2 * SIZE), 0);
    EXPECT_FAILURE(-EBUSY, "diskalloc_region_resize", diskalloc_region_resize(r, SIZE));
    end_child(&c);
    expect_granted(r);
    diskalloc_region_close(r);
}
FOR_EACH_BACKEND(nothing_is_taken_from_a_child)

static void a_child_that_runs_another_program_has_no_memory(struct test_backend *b)
{
    struct diskalloc_region *r = make_filled(b->da);
    struct child c = start_child(NULL, RUNS);

    expect_granted(r);
    assert_int_equal(kill(c.pid, 0), 0);
    end_child(&c);
    diskalloc_region_close(r);
}
FOR_EACH_BACKEND(a_child_that_runs_another_program_has_no_memory)

static void a_child_that_closes_all_descriptors_has_its_memory(struct test_backend *b)
{
    struct diskalloc_region *r = make_filled(b->da);
    struct child children[2] = {start_child(r, CLOSES_ALL), start_child(r, CLOSES_ALL)};

    for (int i = 0; i < 2; i++) {
        expect_refused(r);
        end_child(&children[i]);
    }
    expect_granted(r);
    diskalloc_region_close(r);
}
FOR_EACH_BACKEND(a_child_that_closes_all_descriptors_has_its_memory)

static void a_child_has_no_part_of_what_was_made_after_it(struct test_backend *b)
{
    struct diskalloc_region *before = make_filled(b->da), *after;
    struct child c = start_child(before, STAYS);

    after = make_filled(b->da);
    expect_granted(after);
    expect_refused(before);
    end_child(&c);
    expect_granted(before);
    diskalloc_region_close(before);
    diskalloc_region_close(after);
}
FOR_EACH_BACKEND(a_child_has_no_part_of_what_was_made_after_it)

// The same region in another object of this process: attached again, and the first one closed, also with the client.
static void a_child_keeps_its_part_when_the_region_is_opened_again(struct test_backend *b)
{
    struct diskalloc_region *r, *again;
    struct child c;
    char handle[40];

    assert_int_equal(open_named(b->da, "again", SIZE, DISKALLOC_REGION_CREATE, &r), 0);
    memset(diskalloc_region_data(r), 'c', SIZE);
    strcpy(handle, diskalloc_region_handle(r));
    c = start_child(r, STAYS);
    assert_int_equal(diskalloc_region_attach(b->da, handle, NULL, &again), 0);
    diskalloc_region_close(r);
    expect_refused(again);
    diskalloc_region_close(again);
    assert_int_equal(open_named(b->da, "again", 0, 0, &again), 0);
    expect_refused(again);
    end_child(&c);
    expect_granted(again);
    diskalloc_region_close(again);
    assert_int_equal(diskalloc_region_unlink(b->da, "again"), 0);
}
FOR_EACH_BACKEND(a_child_keeps_its_part_when_the_region_is_opened_again)

static bool is_granted(void *data)
{
    int e = diskalloc_region_resize(data, 4096);

    assert_true(e == 0 || e == -EBUSY);
    return e == 0;
}

static void a_child_of_a_child_counts(struct test_backend *b)
{
    struct diskalloc_region *r = make_filled(b->da);
    int ends[2], status;
    pid_t pid;

    assert_int_equal(pipe(ends), 0);
    pid = fork();
    if (pid == 0) {
        close(ends[1]);
        if (fork() == 0) {
            wait_for_parent(ends[0]);
            _exit(0);
        }
        _exit(0);
    }
    close(ends[0]);
    assert_int_equal(waitpid(pid, &status, 0), pid);
    expect_refused(r);
    close(ends[1]); // now it ends
    test_wait_until(is_granted, r, 60, "the end of the child's child");
    assert_int_equal(diskalloc_region_size(r), 4096);
    diskalloc_region_close(r);
}
FOR_EACH_BACKEND(a_child_of_a_child_counts)

static void any_number_of_children_count(struct test_backend *b)
{
    struct diskalloc_region *r = make_filled(b->da);
    struct child c[MANY];

    for (int i = 0; i < MANY; i++)
        c[i] = start_child(r, STAYS);
    for (int i = 0; i < MANY; i++) {
        if (i % 8 == 0)
            expect_refused(r);
        end_child(&c[i * 7 % MANY]); // 7 and MANY have no common divisor
    }
    expect_granted(r);
    diskalloc_region_close(r);
}
FOR_EACH_BACKEND(any_number_of_children_count)

// A child without descriptors to spare can't be watched: it counts for ever.
static void a_child_that_cannot_be_watched_counts(struct test_backend *b)
{
    struct diskalloc_region *r = make_filled(b->da);
    struct child c;
    struct rlimit before, few = {256, 256};
    int fds[256], n = 0;

    assert_int_equal(getrlimit(RLIMIT_NOFILE, &before), 0);
    few.rlim_max = before.rlim_max;
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &few), 0);
    // all but the two that start_child needs
    while (n < 256 && (fds[n] = open("/dev/null", O_RDONLY | O_CLOEXEC)) >= 0)
        n++;
    close(fds[--n]);
    close(fds[--n]);
    c = start_child(r, STAYS);
    while (n > 0)
        close(fds[--n]);
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &before), 0);
    expect_refused(r);
    end_child(&c);
    expect_refused(r);
    diskalloc_region_close(r);
}
FOR_EACH_BACKEND(a_child_that_cannot_be_watched_counts)

static void a_callers_file_is_not_cut_under_a_child(void **state)
{
    struct diskalloc_region *r;
    struct child c;
    char dir[128];
    int fd;

    (void)state;
    scratch_make_dir(dir, sizeof dir);
    fd = open(dir, O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
    assert_true(fd >= 0);
    assert_int_equal(diskalloc_region_from_fd(fd, NULL, &r), 0);
    assert_int_equal(diskalloc_region_resize(r, SIZE), 0);
    memset(diskalloc_region_data(r), 'c', SIZE);
    c = start_child(r, STAYS);
    expect_refused(r);
    end_child(&c);
    expect_granted(r);
    diskalloc_region_close(r);
    close(fd);
    scratch_remove_tree(dir);
}

// The descriptor would be the parent's too, with its locks.
static void a_child_has_no_descriptor_of_its_parents_region(struct test_backend *b)
{
    struct diskalloc_region *r = make_filled(b->da);
    int status;
    pid_t pid;

    for (int had = 0; had < 2; had++) {
        if (had)
            assert_true(diskalloc_region_fd(r) >= 0);
        pid = fork();
        if (pid == 0) {
            NEED(diskalloc_region_fd(r) == -EBUSY);
            _exit(0);
        }
        assert_int_equal(waitpid(pid, &status, 0), pid);
        assert_int_equal(status, 0);
    }
    diskalloc_region_close(r);
}
FOR_EACH_BACKEND(a_child_has_no_descriptor_of_its_parents_region)

static void blocks_of_malloc_stay_whole(struct test_backend *b)
{
    char *p = diskalloc_malloc(b->da, SIZE), *q;
    int ends[2], status;
    pid_t pid;

    assert_non_null(p);
    memset(p, 'c', SIZE);
    assert_int_equal(pipe(ends), 0);
    pid = fork();
    if (pid == 0) {
        close(ends[1]);
        wait_for_parent(ends[0]);
        for (size_t i = 0; i < SIZE; i += 512)
            NEED(p[i] == 'c');
        _exit(0);
    }
    close(ends[0]);
    q = diskalloc_realloc(b->da, p, 4096); // shrinking never fails
    assert_ptr_equal(q, p);
    close(ends[1]);
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(status, 0);
    diskalloc_free(q);
}
FOR_EACH_BACKEND(blocks_of_malloc_stay_whole)

int main(void)
{
    const struct CMUnitTest tests[] = {
        EACH_BACKEND(nothing_is_taken_from_a_child),
        EACH_BACKEND(a_child_that_runs_another_program_has_no_memory),
        EACH_BACKEND(a_child_that_closes_all_descriptors_has_its_memory),
        EACH_BACKEND(a_child_has_no_part_of_what_was_made_after_it),
        EACH_BACKEND(a_child_keeps_its_part_when_the_region_is_opened_again),
        EACH_BACKEND(a_child_of_a_child_counts),
        EACH_BACKEND(any_number_of_children_count),
        EACH_BACKEND(a_child_that_cannot_be_watched_counts),
        TEST(a_callers_file_is_not_cut_under_a_child),
        EACH_BACKEND(a_child_has_no_descriptor_of_its_parents_region),
        EACH_BACKEND(blocks_of_malloc_stay_whole),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
