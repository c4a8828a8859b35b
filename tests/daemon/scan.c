// The scan of a spill directory whose disk cannot read all of it: what cannot be read is never taken for somebody
// else's, and nothing of it is removed.
#include "daemon/store/store.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "tests/lib/harness.h"
#include "tests/lib/scratch.h"

// The calls of the store fail here.
static struct {
    const char *open_path; // opening this fails
    int open_error, stat_error, record_error;
} failing;

static int open_or_fail(int dirfd, const char *path, int flags, mode_t mode)
{
    if (failing.open_path && strcmp(path, failing.open_path) == 0)
        return failing.open_error;
    return file_ops_system.open_at(dirfd, path, flags, mode);
}

static int stat_or_fail(int fd, struct stat *ret)
{
    return failing.stat_error ? failing.stat_error : file_ops_system.stat(fd, ret);
}

static ssize_t get_xattr_or_fail(int fd, const char *name, void *ret, size_t size)
{
    return failing.record_error ? failing.record_error : file_ops_system.get_xattr(fd, name, ret, size);
}

struct scene {
    char dir[128], file[64]; // the file of the region of uid 1001, below DIR
    struct file_ops ops;
    struct store *store;
};

static void make_region(struct store *s, uid_t uid, char *ret_path, size_t size)
{
    struct record record = {.owner_uid = uid, .granted = 4096};
    char handle[HANDLE_TEXT_LENGTH + 1];
    int fd;

    assert_int_equal(handle_random(&record.handle), 0);
    assert_int_equal(store_create(s, uid, &fd), 0);
    assert_int_equal(spillfile_resize(&file_ops_system, fd, 0, 4096, false), 0);
    assert_int_equal(store_link(s, fd, &record), 0);
    close(fd);
    handle_format(&record.handle, handle);
    snprintf(ret_path, size, "%u/%s", uid, handle);
}

static void begin(struct scene *s)
{
    char other[64], *error = NULL;

    memset(&failing, 0, sizeof failing);
    scratch_make_dir(s->dir, sizeof s->dir);
    s->ops = file_ops_system;
    s->ops.open_at = open_or_fail;
    s->ops.stat = stat_or_fail;
    s->ops.get_xattr = get_xattr_or_fail;
    assert_int_equal(store_open(s->dir, false, &s->ops, &s->store, &error), 0);
    make_region(s->store, 1000, other, sizeof other);
    make_region(s->store, 1001, s->file, sizeof s->file);
}

static void end(struct scene *s)
{
    char path[256];

    memset(&failing, 0, sizeof failing);
    snprintf(path, sizeof path, "%s/%s", s->dir, s->file);
    assert_return_code(access(path, F_OK), errno);
    store_close(s->store);
    scratch_remove_tree(s->dir);
}

static int count(void *data, struct store_found *region)
{
    (void)region;
    ++*(unsigned *)data;
    return 0;
}

static void expect(struct scene *s, int result, unsigned found, uint64_t foreign, uint64_t unreadable)
{
    struct store_left left = {0};
    unsigned n = 0;

    assert_int_equal(store_scan(s->store, count, &n, &left), result);
    if (result < 0)
        return;
    assert_int_equal(n, found);
    assert_int_equal(left.foreign, foreign);
    assert_int_equal(left.unreadable, unreadable);
}

static void a_users_directory_that_the_disk_cannot_read_fails_the_scan(void **state)
{
    static const int errors[] = {-EIO, -EUCLEAN, -EBADMSG, -ESHUTDOWN, -ENOMEM, -EMFILE, -ENFILE, -ENODEV};
    struct scene s;

    (void)state;
    begin(&s);
    failing.open_path = "1001";
    for (size_t i = 0; i < sizeof errors / sizeof *errors; i++) {
        failing.open_error = errors[i];
        expect(&s, errors[i], 0, 0, 0);
    }
    failing.open_path = NULL;
    expect(&s, 0, 2, 0, 0);
    end(&s);
}

static void a_users_directory_of_another_kind_or_mode_costs_the_others_nothing(void **state)
{
    struct scene s;

    (void)state;
    begin(&s);
    failing.open_path = "1001";
    failing.open_error = -ENOTDIR;
    expect(&s, 0, 1, 1, 0);
    failing.open_error = -ELOOP;
    expect(&s, 0, 1, 1, 0);
    failing.open_error = -EACCES;
    expect(&s, 0, 1, 0, 1);
    failing.open_error = -ENOENT; // removed meanwhile
    expect(&s, 0, 1, 0, 0);
    end(&s);
}

static void a_file_that_the_disk_cannot_read_is_no_foreign_one_and_costs_the_others_nothing(void **state)
{
    struct scene s;

    (void)state;
    begin(&s);
    failing.open_path = s.file;
    failing.open_error = -EIO;
    expect(&s, 0, 1, 0, 1);
    failing.open_error = -EUCLEAN;
    expect(&s, 0, 1, 0, 1);
    failing.open_error = -ELOOP; // a symbolic link
    expect(&s, 0, 1, 1, 0);
    failing.open_path = NULL;
    failing.stat_error = -EIO;
    expect(&s, 0, 0, 0, 2);
    failing.stat_error = 0;
    failing.record_error = -EIO;
    expect(&s, 0, 0, 0, 2);
    failing.record_error = -EBADMSG;
    expect(&s, 0, 0, 2, 0);
    end(&s);
}

static void a_want_of_the_daemons_own_says_nothing_about_a_file(void **state)
{
    static const int errors[] = {-ENOMEM, -EMFILE, -ENFILE};
    struct scene s;

    (void)state;
    begin(&s);
    for (size_t i = 0; i < sizeof errors / sizeof *errors; i++) {
        failing.open_path = s.file;
        failing.open_error = errors[i];
        expect(&s, errors[i], 0, 0, 0);
        failing.open_path = NULL;
        failing.record_error = errors[i];
        expect(&s, errors[i], 0, 0, 0);
        failing.record_error = 0;
    }
    end(&s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_users_directory_that_the_disk_cannot_read_fails_the_scan),
        TEST(a_users_directory_of_another_kind_or_mode_costs_the_others_nothing),
        TEST(a_file_that_the_disk_cannot_read_is_no_foreign_one_and_costs_the_others_nothing),
        TEST(a_want_of_the_daemons_own_says_nothing_about_a_file),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
