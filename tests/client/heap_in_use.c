// Whoever may only read a heap's region can lock its file for reading, for ever.  That keeps no owner out, and two
// owners are kept apart all the same.  With a daemon and embedded.
#include "tests/lib/heap_blocks.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/wait.h>

// Locks the byte whose lock says that a heap is open, through a descriptor that can only read.
static int lock_as_reader(struct test_backend *b)
{
    struct flock l = {.l_type = F_RDLCK, .l_whence = SEEK_SET, .l_start = ((int64_t)1 << 62) - 1, .l_len = 1};
    struct diskalloc_region *r = NULL;
    char path[64];
    int fd;

    assert_int_equal(open_named(b->da, "heap", 0, DISKALLOC_REGION_CREATE, &r), 0);
    snprintf(path, sizeof path, "/proc/self/fd/%d", diskalloc_region_fd(r));
    fd = open(path, O_RDONLY | O_CLOEXEC);
    assert_return_code(fd, errno);
    diskalloc_region_close(r);
    assert_return_code(fcntl(fd, F_OFD_SETLK, &l), errno);
    return fd;
}

static void open_elsewhere(void *data)
{
    struct test_backend *b = data;
    int e;

    diskalloc_heap_close(try_open_heap(b, "heap", 0, &e));
    _exit(-e);
}

static void open_and_die(void *data)
{
    struct diskalloc_heap *h = open_heap(data, "heap");

    assert_int_equal(diskalloc_heap_set_root(h, strcpy(diskalloc_heap_malloc(h, 100), "kept")), 0);
    raise(SIGKILL);
}

static void expect_busy(struct test_backend *b)
{
    int e, status;

    assert_null(try_open_heap(b, "heap", 0, &e));
    assert_int_equal(e, -EBUSY);
    assert_non_null(strstr(diskalloc_last_error(), "open already"));
    status = test_in_child(open_elsewhere, b, (uid_t)-1);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), EBUSY);
}

static void a_lock_of_a_reader_does_not_keep_the_owner_out(struct test_backend *b)
{
    int fd = lock_as_reader(b), status;
    struct diskalloc_heap *h;

    h = open_heap(b, "heap"); // which makes it
    expect_busy(b);
    diskalloc_heap_close(h);
    status = test_in_child(open_elsewhere, b, (uid_t)-1);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 0);
    test_in_child(open_and_die, b, (uid_t)-1);
    h = open_heap(b, "heap");
    assert_string_equal((char *)diskalloc_heap_root(h), "kept");
    expect_busy(b);
    close(fd); // the owner's own lock is there still
    expect_busy(b);
    diskalloc_heap_close(h);
    diskalloc_heap_close(open_heap(b, "heap"));
    assert_int_equal(diskalloc_region_unlink(b->da, "heap"), 0);
}
FOR_EACH_BACKEND(a_lock_of_a_reader_does_not_keep_the_owner_out)

int main(void)
{
    const struct CMUnitTest tests[] = {
        EACH_BACKEND(a_lock_of_a_reader_does_not_keep_the_owner_out),
    };

    return cmocka_run_group_tests_name("heap_in_use", tests, NULL, NULL);
}
