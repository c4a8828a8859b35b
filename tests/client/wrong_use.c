// NULL where something has to be, descriptors that are no files, and sockets where no daemon answers: each call says so
// and has changed nothing.
#include "tests/lib/test_backend.h"

#include <fcntl.h>
#include <sys/socket.h>
#include <sys/un.h>

#define NOT_WRITTEN ((void *)0x1)

static void expect_reason(const char *reason)
{
    if (!strstr(diskalloc_last_error(), reason))
        fail_msg("\"%s\" does not say \"%s\"", diskalloc_last_error(), reason);
}

static void without_a_client_a_name_or_a_place_for_the_result_nothing_is_made(struct test_backend *b)
{
    static const char handle[] = "0123456789abcdef0123456789abcdef";
    struct diskalloc_region *r = NOT_WRITTEN;
    struct diskalloc_usage u;

    EXPECT_FAILURE(-EINVAL, "diskalloc_open", diskalloc_open(b->address, NULL, NULL));
    expect_reason("ret is NULL");
    EXPECT_FAILURE(-EINVAL, "diskalloc_region_create", diskalloc_region_create(NULL, NULL, &r));
    EXPECT_FAILURE(-EINVAL, "diskalloc_region_create", diskalloc_region_create(b->da, NULL, NULL));
    EXPECT_FAILURE(-EINVAL, "diskalloc_region_open", open_named(b->da, NULL, 0, DISKALLOC_REGION_CREATE, &r));
    expect_reason("the name is NULL");
    EXPECT_FAILURE(-EINVAL, "diskalloc_region_open", open_named(NULL, "name", 0, DISKALLOC_REGION_CREATE, &r));
    EXPECT_FAILURE(-EINVAL, "diskalloc_region_open", open_named(b->da, "name", 0, DISKALLOC_REGION_CREATE, NULL));
    EXPECT_FAILURE(-EINVAL, "diskalloc_region_attach", diskalloc_region_attach(NULL, handle, NULL, &r));
    expect_reason("a NULL argument");
    EXPECT_FAILURE(-EINVAL, "diskalloc_region_attach", diskalloc_region_attach(b->da, NULL, NULL, &r));
    EXPECT_FAILURE(-EINVAL, "diskalloc_region_attach", diskalloc_region_attach(b->da, handle, NULL, NULL));
    EXPECT_FAILURE(-EINVAL, "diskalloc_region_from_fd", diskalloc_region_from_fd(0, NULL, NULL));
    expect_reason("ret is NULL");
    EXPECT_FAILURE(-EINVAL, "diskalloc_region_unlink", diskalloc_region_unlink(b->da, NULL));
    EXPECT_FAILURE(-EINVAL, "diskalloc_region_unlink", diskalloc_region_unlink(NULL, "name"));
    EXPECT_FAILURE(-EINVAL, "diskalloc_get_usage", diskalloc_get_usage(NULL, NULL, &u, sizeof u));
    EXPECT_FAILURE(-EINVAL, "diskalloc_get_usage", diskalloc_get_usage(b->da, NULL, NULL, sizeof u));
    assert_ptr_equal(r, NOT_WRITTEN);
    assert_int_equal(usage_of(b->da).regions, 0);
}
FOR_EACH_BACKEND(without_a_client_a_name_or_a_place_for_the_result_nothing_is_made)

static void without_a_region_a_call_is_invalid_and_closing_does_nothing(void **state)
{
    const uint64_t offset = 0;
    struct diskalloc_region *copy = NOT_WRITTEN;

    (void)state;
    EXPECT_FAILURE(-EINVAL, "diskalloc_region_fd", diskalloc_region_fd(NULL));
    EXPECT_FAILURE(-EINVAL, "diskalloc_region_resize", diskalloc_region_resize(NULL, 1));
    EXPECT_FAILURE(-EINVAL, "diskalloc_region_resize_wait", diskalloc_region_resize_wait(NULL, 1, 0));
    EXPECT_FAILURE(-EINVAL, "diskalloc_region_discard", diskalloc_region_discard(NULL, 0, 4096));
    EXPECT_FAILURE(-EINVAL, "diskalloc_region_restore", diskalloc_region_restore(NULL, 0, 4096));
    EXPECT_FAILURE(-EINVAL, "diskalloc_region_prefetch", diskalloc_region_prefetch(NULL, &offset, 1, 4096));
    EXPECT_FAILURE(-EINVAL, "diskalloc_region_refresh", diskalloc_region_refresh(NULL));
    EXPECT_FAILURE(-EINVAL, "diskalloc_region_sync", diskalloc_region_sync(NULL));
    expect_reason("no region");
    EXPECT_FAILURE(-EINVAL, "diskalloc_region_commit", diskalloc_region_commit(NULL, 0, 1, 0));
    expect_reason("no region");
    EXPECT_FAILURE(-EINVAL, "diskalloc_region_clone", diskalloc_region_clone(NULL, NULL, NULL, &copy));
    assert_ptr_equal(copy, NOT_WRITTEN);
    diskalloc_region_close(NULL);
    diskalloc_close(NULL);
    diskalloc_free(NULL);
}

static void a_region_is_of_a_regular_file_that_may_be_read(void **state)
{
    struct diskalloc_region *r = NOT_WRITTEN;
    char dir[128], path[160];
    int ends[2], fd;

    (void)state;
    scratch_make_dir(dir, sizeof dir);
    snprintf(path, sizeof path, "%s/file", dir);
    EXPECT_FAILURE(-EBADF, "diskalloc_region_from_fd", diskalloc_region_from_fd(-1, NULL, &r));
    assert_return_code(pipe2(ends, O_CLOEXEC), errno);
    EXPECT_FAILURE(-EINVAL, "diskalloc_region_from_fd", diskalloc_region_from_fd(ends[0], NULL, &r));
    expect_reason("is no open regular file");
    close(ends[0]);
    close(ends[1]);
    fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
    EXPECT_FAILURE(-EACCES, "diskalloc_region_from_fd", diskalloc_region_from_fd(fd, NULL, &r));
    expect_reason("is open for writing only");
    close(fd);
    fd = open(path, O_PATH | O_CLOEXEC);
    EXPECT_FAILURE(-EINVAL, "diskalloc_region_from_fd", diskalloc_region_from_fd(fd, NULL, &r));
    expect_reason("is no open regular file");
    close(fd);
    assert_ptr_equal(r, NOT_WRITTEN);
    scratch_remove_tree(dir);
}

// A socket at PATH; listens unless BACKLOG is negative.
static int make_socket(const char *path, int type, int backlog)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, type | SOCK_CLOEXEC, 0);

    snprintf(address.sun_path, sizeof address.sun_path, "%.100s", path);
    unlink(path);
    assert_return_code(fd, errno);
    assert_return_code(bind(fd, (struct sockaddr *)&address, sizeof address), errno);
    assert_true(backlog < 0 || listen(fd, backlog) == 0);
    return fd;
}

static void a_socket_of_another_kind_or_that_nobody_listens_to_is_no_daemon(void **state)
{
    char dir[128], path[160], address[200], longer[300] = "unix:/";
    struct diskalloc *da = NOT_WRITTEN;

    (void)state;
    scratch_make_dir(dir, sizeof dir);
    snprintf(path, sizeof path, "%s/s", dir);
    snprintf(address, sizeof address, "unix:%s", path);
    EXPECT_FAILURE(-ECONNREFUSED, "diskalloc_open", diskalloc_open(address, NULL, &da));
    expect_reason("there is no daemon at");
    for (int i = 0; i < 2; i++) {
        int fd = i == 0 ? make_socket(path, SOCK_STREAM, 8) : make_socket(path, SOCK_SEQPACKET, -1);

        EXPECT_FAILURE(-ECONNREFUSED, "diskalloc_open", diskalloc_open(address, NULL, &da));
        expect_reason("nobody answers at");
        close(fd);
    }
    memset(longer + strlen(longer), 'x', 200);
    EXPECT_FAILURE(-ENAMETOOLONG, "diskalloc_open", diskalloc_open(longer, NULL, &da));
    assert_ptr_equal(da, NOT_WRITTEN);
    scratch_remove_tree(dir);
}

// The subject is the only argument of the library that goes to the daemon and has no limit of its own.
static void a_request_that_no_packet_holds_is_not_sent(void **state)
{
    struct test_backend b;
    struct diskalloc_usage u;
    const size_t n = 1 << 20;
    char *subject = malloc(n + 1);

    (void)state;
    assert_non_null(subject);
    memset(subject, 'x', n);
    subject[n] = '\0';
    backend_start(&b, true, NULL, NULL);
    EXPECT_FAILURE(-EINVAL, "diskalloc_get_usage", diskalloc_get_usage(b.da, subject, &u, sizeof u));
    expect_reason("an argument is too long");
    assert_int_equal(diskalloc_get_usage(b.da, NULL, &u, sizeof u), 0); // the connection is as it was
    assert_int_equal(u.connections, 1);
    backend_stop(&b);
    free(subject);
}

static void the_library_has_the_version_of_its_header(void **state)
{
    (void)state;
    assert_string_equal(diskalloc_version(), DISKALLOC_VERSION);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        EACH_BACKEND(without_a_client_a_name_or_a_place_for_the_result_nothing_is_made),
        TEST(without_a_region_a_call_is_invalid_and_closing_does_nothing),
        TEST(a_region_is_of_a_regular_file_that_may_be_read),
        TEST(a_socket_of_another_kind_or_that_nobody_listens_to_is_no_daemon),
        TEST(a_request_that_no_packet_holds_is_not_sent),
        TEST(the_library_has_the_version_of_its_header),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
