// The gate of a region of a directory: writers lock each other out where users may only read.  A stranger is a lock on
// an open file of the region that can only be read.
#include "tests/lib/test_backend.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/wait.h>

enum {
    SOLE = DISKALLOC_REGION_SOLE_WRITER,
    CREATE = DISKALLOC_REGION_CREATE,
    READ_ONLY = DISKALLOC_REGION_READ_ONLY,
};

static int open_mode(struct diskalloc *da, const char *name, uint32_t mode, uint32_t flags,
                     struct diskalloc_region **ret)
{
    struct diskalloc_region_options o = DISKALLOC_REGION_OPTIONS_INIT;

    o.size = 4096;
    o.mode = mode;
    o.flags = flags;
    return diskalloc_region_open(da, name, &o, ret);
}

static void make(struct test_backend *b, const char *name, uint32_t mode)
{
    struct diskalloc_region *r = NULL;

    assert_int_equal(open_mode(b->da, name, mode, CREATE | DISKALLOC_REGION_EXCLUSIVE, &r), 0);
    diskalloc_region_close(r);
}

// Locks all bytes of the file, as somebody can who may only read the region.  Returns the descriptor.
static int lock_as_stranger(struct test_backend *b, const char *name)
{
    struct flock l = {.l_type = F_RDLCK, .l_whence = SEEK_SET};
    char path[300];
    int fd;

    snprintf(path, sizeof path, "%s/%s", b->dir, name);
    fd = open(path, O_RDONLY | O_CLOEXEC);
    assert_return_code(fd, errno);
    assert_return_code(fcntl(fd, F_OFD_SETLK, &l), errno);
    return fd;
}

struct elsewhere {
    struct test_backend *b;
    const char *name;
    uint32_t flags;
};

static void open_and_exit(void *data)
{
    const struct elsewhere *e = data;
    struct diskalloc_region *r = NULL;
    struct diskalloc *da;

    assert_int_equal(diskalloc_open(e->b->address, NULL, &da), 0);
    _exit(-open_mode(da, e->name, 0600, e->flags, &r));
}

static int open_in_process(struct test_backend *b, const char *name, uint32_t flags)
{
    struct elsewhere e = {b, name, flags};
    int status = test_in_child(open_and_exit, &e, (uid_t)-1);

    assert_true(WIFEXITED(status));
    return -WEXITSTATUS(status);
}

// Returns how many gates the directory has; the mode of the last one in *RET_MODE.  REMOVE: removes them.
static size_t count_gates(struct test_backend *b, uint32_t *ret_mode, bool remove)
{
    DIR *d = opendir(b->dir);
    struct stat st;
    size_t n = 0;

    assert_non_null(d);
    for (struct dirent *e; (e = readdir(d));) {
        if (e->d_name[0] != '.' || !strstr(e->d_name, ".lock"))
            continue;
        assert_return_code(fstatat(dirfd(d), e->d_name, &st, AT_SYMLINK_NOFOLLOW), errno);
        *ret_mode = st.st_mode & 0777;
        n++;
        if (remove)
            assert_return_code(unlinkat(dirfd(d), e->d_name, 0), errno);
    }
    closedir(d);
    return n;
}

static void expect_busy(struct test_backend *b, const char *name, uint32_t flags, const char *reason)
{
    struct diskalloc_region *r = NULL;

    EXPECT_FAILURE(-EBUSY, "diskalloc_region_open", open_mode(b->da, name, 0600, flags, &r));
    assert_null(r);
    if (!strstr(diskalloc_last_error(), reason))
        print_error("the sentence: %s\n", diskalloc_last_error());
    assert_non_null(strstr(diskalloc_last_error(), reason));
    assert_int_equal(open_in_process(b, name, flags), -EBUSY);
}

static void a_strangers_lock_keeps_no_sole_writer_away(struct test_backend *b)
{
    struct diskalloc_region *r = NULL;
    int stranger;

    make(b, "shown", 0644);
    stranger = lock_as_stranger(b, "shown");
    for (uint64_t round = 1; round <= 2; round++) {
        assert_int_equal(open_mode(b->da, "shown", 0, SOLE, &r), 0);
        expect_busy(b, "shown", 0, "sole writer");
        expect_busy(b, "shown", SOLE, "has the region for writing: ");
        assert_int_equal(open_in_process(b, "shown", READ_ONLY), 0);
        assert_int_equal(diskalloc_region_resize(r, (4 * round + 2) * MIB), 0);
        // The lock of a program that closes all descriptors stays.
        close(diskalloc_region_fd(r));
        expect_busy(b, "shown", SOLE, "has the region for writing: ");
        assert_int_equal(diskalloc_region_resize(r, (4 * round + 3) * MIB), 0);
        assert_int_equal(diskalloc_region_resize(r, (4 * round + 4) * MIB), 0);
        expect_busy(b, "shown", 0, "sole writer");
        diskalloc_region_close(r);
        assert_int_equal(open_in_process(b, "shown", 0), 0);
    }
    close(stranger);
    assert_int_equal(diskalloc_region_unlink(b->da, "shown"), 0);
}

static void beside_a_strangers_lock_writers_keep_a_sole_writer_away(struct test_backend *b)
{
    struct diskalloc_region *r = NULL, *second = NULL;
    int stranger;

    make(b, "shown", 0644);
    assert_int_equal(open_mode(b->da, "shown", 0, 0, &r), 0);
    stranger = lock_as_stranger(b, "shown");
    assert_int_equal(open_mode(b->da, "shown", 0, 0, &second), 0);
    expect_busy(b, "shown", SOLE, "has the region for writing: ");
    diskalloc_region_close(second);
    expect_busy(b, "shown", SOLE, "has the region for writing: ");
    diskalloc_region_close(r);
    assert_int_equal(open_in_process(b, "shown", SOLE), 0);
    close(stranger);
    assert_int_equal(diskalloc_region_unlink(b->da, "shown"), 0);
}

struct heir {
    struct diskalloc_region *region;
    int end[2];
};

// The child ends when the parent closes its end of the pipe, or dies.
static pid_t fork_and_wait(struct heir *h)
{
    char byte;
    pid_t pid;

    assert_return_code(pipe(h->end), errno);
    pid = fork();
    assert_return_code(pid, errno);
    if (pid > 0) {
        close(h->end[0]);
        return pid;
    }
    close(h->end[1]);
    _exit(read(h->end[0], &byte, 1) == 0 ? 0 : 1);
}

static void a_forked_child_of_the_sole_writer_keeps_others_away(struct test_backend *b)
{
    struct heir h = {0};
    int stranger, status;
    pid_t pid;

    make(b, "shown", 0664);
    stranger = lock_as_stranger(b, "shown");
    assert_int_equal(open_mode(b->da, "shown", 0, SOLE, &h.region), 0);
    pid = fork_and_wait(&h);
    diskalloc_region_close(h.region);
    expect_busy(b, "shown", 0, "sole writer");
    expect_busy(b, "shown", SOLE, "has the region for writing: ");
    close(h.end[1]);
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(open_in_process(b, "shown", SOLE), 0);
    close(stranger);
    // The library closes its pipe from the child when it looks for children the next time.
    assert_int_equal(open_mode(b->da, "shown", 0, SOLE, &h.region), 0);
    assert_int_equal(diskalloc_region_resize(h.region, 0), 0);
    diskalloc_region_close(h.region);
    assert_int_equal(diskalloc_region_unlink(b->da, "shown"), 0);
}

static void only_writers_can_open_the_gate_and_it_goes_with_the_region(struct test_backend *b)
{
    static const struct {
        uint32_t region, gate;
    } modes[] = {{0644, 0600}, {0640, 0600}, {0664, 0660}, {0604, 0600}, {0646, 0606}};
    struct diskalloc_region *r = NULL;
    uint32_t mode = 0;

    for (size_t i = 0; i < sizeof modes / sizeof *modes; i++) {
        make(b, "gated", modes[i].region);
        assert_int_equal(count_gates(b, &mode, false), 1);
        assert_int_equal(mode, modes[i].gate);
        EXPECT_FAILURE(-EEXIST, "diskalloc_region_open",
                       open_mode(b->da, "gated", modes[i].region, CREATE | DISKALLOC_REGION_EXCLUSIVE, &r));
        assert_int_equal(count_gates(b, &mode, false), 1);
        assert_int_equal(diskalloc_region_unlink(b->da, "gated"), 0);
        assert_int_equal(count_gates(b, &mode, false), 0);
    }
    make(b, "own", 0600);
    make(b, "group", 0660);
    make(b, "all", 0666);
    assert_int_equal(count_gates(b, &mode, false), 0);
}

// Then the locks on the file decide alone, and no two writers get in.
static void without_a_gate_any_lock_keeps_a_sole_writer_away_and_the_sentence_says_so(struct test_backend *b)
{
    static const char reason[] = "or has locked its file";
    struct diskalloc_region *r = NULL;
    uint32_t mode;
    int stranger;

    make(b, "own", 0600);
    stranger = lock_as_stranger(b, "own");
    expect_busy(b, "own", SOLE, reason);
    close(stranger);
    make(b, "shown", 0644);
    assert_int_equal(count_gates(b, &mode, true), 1);
    stranger = lock_as_stranger(b, "shown");
    expect_busy(b, "shown", SOLE, reason);
    assert_int_equal(open_in_process(b, "shown", 0), 0);
    close(stranger);
    assert_int_equal(open_mode(b->da, "shown", 0, SOLE, &r), 0);
    expect_busy(b, "shown", 0, "sole writer");
    expect_busy(b, "shown", SOLE, reason);
    diskalloc_region_close(r);
    assert_int_equal(diskalloc_region_unlink(b->da, "shown"), 0);
}

// The writer holds the gate that is gone by now.
static void a_gate_that_was_removed_lets_no_second_writer_in(struct test_backend *b)
{
    struct diskalloc_region *r = NULL;
    uint32_t mode;

    make(b, "shown", 0644);
    assert_int_equal(open_mode(b->da, "shown", 0, SOLE, &r), 0);
    assert_int_equal(count_gates(b, &mode, true), 1);
    expect_busy(b, "shown", 0, "sole writer");
    expect_busy(b, "shown", SOLE, "has the region for writing");
    diskalloc_region_close(r);
    assert_int_equal(open_mode(b->da, "shown", 0, 0, &r), 0);
    expect_busy(b, "shown", SOLE, "has the region for writing");
    diskalloc_region_close(r);
    assert_int_equal(diskalloc_region_unlink(b->da, "shown"), 0);
}

static void a_client_of_another_directory_does_not_pass_the_gate(struct test_backend *b)
{
    struct diskalloc_region_options o = DISKALLOC_REGION_OPTIONS_INIT;
    struct diskalloc_region *r = NULL, *other = NULL;
    char dir[150], address[176];
    struct diskalloc *da;

    make(b, "shown", 0644);
    assert_int_equal(open_mode(b->da, "shown", 0, READ_ONLY, &r), 0);
    scratch_make_dir(dir, sizeof dir);
    snprintf(address, sizeof address, "dir:%s", dir);
    assert_int_equal(diskalloc_open(address, NULL, &da), 0);
    o.flags = READ_ONLY;
    assert_int_equal(diskalloc_region_attach(da, diskalloc_region_handle(r), &o, &other), 0);
    diskalloc_region_close(other);
    other = NULL;
    EXPECT_FAILURE(-EOPNOTSUPP, "diskalloc_region_attach",
                   diskalloc_region_attach(da, diskalloc_region_handle(r), NULL, &other));
    assert_null(other);
    diskalloc_close(da);
    scratch_remove_tree(dir);
    diskalloc_region_close(r);
    assert_int_equal(diskalloc_region_unlink(b->da, "shown"), 0);
}

#define EMBEDDED(body)                  \
    static void body##_test(void **s)   \
    {                                   \
        (void)s;                        \
        backend_run(false, NULL, body); \
    }
EMBEDDED(a_strangers_lock_keeps_no_sole_writer_away)
EMBEDDED(beside_a_strangers_lock_writers_keep_a_sole_writer_away)
EMBEDDED(a_forked_child_of_the_sole_writer_keeps_others_away)
EMBEDDED(only_writers_can_open_the_gate_and_it_goes_with_the_region)
EMBEDDED(without_a_gate_any_lock_keeps_a_sole_writer_away_and_the_sentence_says_so)
EMBEDDED(a_gate_that_was_removed_lets_no_second_writer_in)
EMBEDDED(a_client_of_another_directory_does_not_pass_the_gate)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_strangers_lock_keeps_no_sole_writer_away_test),
        TEST(beside_a_strangers_lock_writers_keep_a_sole_writer_away_test),
        TEST(a_forked_child_of_the_sole_writer_keeps_others_away_test),
        TEST(only_writers_can_open_the_gate_and_it_goes_with_the_region_test),
        TEST(without_a_gate_any_lock_keeps_a_sole_writer_away_and_the_sentence_says_so_test),
        TEST(a_gate_that_was_removed_lets_no_second_writer_in_test),
        TEST(a_client_of_another_directory_does_not_pass_the_gate_test),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
