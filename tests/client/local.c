// The backend of a directory: faults that only this backend could have.
#include "tests/lib/scratch.h"
#include "tests/lib/test_backend.h"

#include <dlfcn.h>
#include <fcntl.h>
#include <pwd.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <sys/xattr.h>

#include "proto/spill/record.h"

static int user_database_error; // what the user database fails with; 0: it answers

// In place of libc's function, which this one calls when the database answers.
int getpwnam_r(const char *name, struct passwd *entry, char *buffer, size_t size, struct passwd **ret)
{
    int (*libc)(const char *, struct passwd *, char *, size_t, struct passwd **);

    *(void **)&libc = dlsym(RTLD_NEXT, "getpwnam_r");
    if (user_database_error == 0)
        return libc(name, entry, buffer, size, ret);
    *ret = NULL;
    return user_database_error;
}

static int record_error; // what writing a record fails with; 0: it works

// In place of libc's function too.
int fsetxattr(int fd, const char *name, const void *value, size_t size, int flags)
{
    int (*libc)(int, const char *, const void *, size_t, int);

    *(void **)&libc = dlsym(RTLD_NEXT, "fsetxattr");
    if (record_error == 0)
        return libc(fd, name, value, size, flags);
    errno = record_error;
    return -1;
}

static void put_file(const struct test_backend *b, const char *name, const char *content, char path[static 300])
{
    FILE *f;

    snprintf(path, 300, "%s/%s", b->dir, name);
    f = fopen(path, "we");
    assert_non_null(f);
    assert_true(fputs(content, f) >= 0);
    fclose(f);
}

static void a_foreign_file_of_that_name_is_refused_and_untouched(struct test_backend *b)
{
    struct diskalloc_region *r = NULL;
    char path[300], *content;

    put_file(b, "mine", "precious", path);
    for (uint32_t flags = 0; flags < 16; flags++) {
        if (flags & DISKALLOC_REGION_EXCLUSIVE && !(flags & DISKALLOC_REGION_CREATE))
            continue;
        EXPECT_FAILURE(-EEXIST, "diskalloc_region_open", open_named(b->da, "mine", 4096, flags, &r));
    }
    EXPECT_FAILURE(-EEXIST, "diskalloc_region_unlink", diskalloc_region_unlink(b->da, "mine"));
    content = scratch_read_file(path);
    assert_string_equal(content, "precious");
    free(content);
    assert_null(r);
}

static void what_is_no_file_is_refused(struct test_backend *b)
{
    struct diskalloc_region *r = NULL;
    char path[300], target[300];

    put_file(b, "target", "precious", target);
    snprintf(path, sizeof path, "%s/link", b->dir);
    assert_return_code(symlink(target, path), errno);
    snprintf(path, sizeof path, "%s/directory", b->dir);
    assert_return_code(mkdir(path, 0700), errno);
    snprintf(path, sizeof path, "%s/fifo", b->dir);
    assert_return_code(mkfifo(path, 0600), errno);
    EXPECT_FAILURE(-EEXIST, "diskalloc_region_open", open_named(b->da, "link", 1, DISKALLOC_REGION_CREATE, &r));
    EXPECT_FAILURE(-EEXIST, "diskalloc_region_open", open_named(b->da, "directory", 1, DISKALLOC_REGION_CREATE, &r));
    EXPECT_FAILURE(-EEXIST, "diskalloc_region_open", open_named(b->da, "fifo", 1, DISKALLOC_REGION_CREATE, &r));
    assert_null(r);
}

static void a_copy_under_another_name_or_with_a_damaged_record_is_foreign(struct test_backend *b)
{
    struct diskalloc_region *r = NULL;
    char from[300], to[300], record[1024];
    ssize_t n;

    assert_int_equal(open_named(b->da, "original", 100, DISKALLOC_REGION_CREATE, &r), 0);
    diskalloc_region_close(r);
    r = NULL;
    snprintf(from, sizeof from, "%s/original", b->dir);
    n = getxattr(from, "user.diskalloc", record, sizeof record);
    assert_true(n > 0);
    put_file(b, "copy", "", to);
    assert_return_code(setxattr(to, "user.diskalloc", record, (size_t)n, 0), errno);
    EXPECT_FAILURE(-EEXIST, "diskalloc_region_open", open_named(b->da, "copy", 0, 0, &r));
    record[40] ^= 1;
    assert_return_code(setxattr(from, "user.diskalloc", record, (size_t)n, 0), errno);
    EXPECT_FAILURE(-EEXIST, "diskalloc_region_open", open_named(b->da, "original", 0, 0, &r));
    record[40] ^= 1;
    record[4] = RECORD_VERSION + 1; // another version, whatever follows
    assert_return_code(setxattr(from, "user.diskalloc", record, (size_t)n, 0), errno);
    EXPECT_FAILURE(-EEXIST, "diskalloc_region_open", open_named(b->da, "original", 0, 0, &r));
    assert_non_null(strstr(diskalloc_last_error(), "newer version"));
    assert_null(r);
}

// The file is cut, and gives its space back.  What was cut are no elements any more, though the record counts them
// until there is room for it: not for those who open the region, nor when it has grown again.
static void a_shrink_on_a_disk_without_room_for_the_record_is_done(struct test_backend *b)
{
    struct diskalloc_region *r = NULL, *same = NULL;

    assert_int_equal(open_named(b->da, "it", 8 * 4096, DISKALLOC_REGION_CREATE, &r), 0);
    assert_int_equal(diskalloc_region_commit(r, 8 * 4096, 8, 0), 0);
    record_error = ENOSPC;
    assert_int_equal(diskalloc_region_resize(r, 4 * 4096), 0);
    assert_int_equal(diskalloc_region_size(r), 4 * 4096);
    assert_int_equal(diskalloc_region_used(r), 4 * 4096);
    EXPECT_FAILURE(-ENOSPC, "diskalloc_region_resize", diskalloc_region_resize(r, 8 * 4096));
    assert_int_equal(diskalloc_region_size(r), 4 * 4096);
    diskalloc_region_close(r);
    assert_int_equal(open_named(b->da, "it", 0, 0, &r), 0);
    assert_int_equal(diskalloc_region_used(r), 4 * 4096);
    record_error = 0;
    assert_int_equal(diskalloc_region_resize(r, 8 * 4096), 0);
    assert_int_equal(open_named(b->da, "it", 0, 0, &same), 0);
    assert_int_equal(diskalloc_region_used(same), 4 * 4096);
    diskalloc_region_close(same);
    diskalloc_region_close(r);
}

// An error of the disk is another matter: nothing is cut.
static void a_shrink_whose_record_the_disk_refuses_changes_nothing(struct test_backend *b)
{
    struct diskalloc_region *r = NULL;

    assert_int_equal(open_named(b->da, "it", 8 * 4096, DISKALLOC_REGION_CREATE, &r), 0);
    assert_int_equal(diskalloc_region_commit(r, 8 * 4096, 8, 0), 0);
    record_error = EIO;
    EXPECT_FAILURE(-EIO, "diskalloc_region_resize", diskalloc_region_resize(r, 4 * 4096));
    record_error = 0;
    assert_int_equal(diskalloc_region_size(r), 8 * 4096);
    assert_int_equal(diskalloc_region_used(r), 8 * 4096);
    ((char *)diskalloc_region_data(r))[8 * 4096 - 1] = 1;
    diskalloc_region_close(r);
}

static void the_mode_is_what_was_asked_for_whatever_the_umask(struct test_backend *b)
{
    struct diskalloc_region_options o = DISKALLOC_REGION_OPTIONS_INIT;
    struct diskalloc_region *r = NULL;
    mode_t before = umask(0777);
    struct stat st;
    int result;

    o.flags = DISKALLOC_REGION_CREATE;
    o.mode = 0664;
    result = diskalloc_region_open(b->da, "shared", &o, &r);
    umask(before);
    assert_int_equal(result, 0);
    assert_return_code(fstat(diskalloc_region_fd(r), &st), errno);
    assert_int_equal(st.st_mode & 07777, 0664);
    diskalloc_region_close(r);
}

static void ones_own_name_may_be_said_and_others_have_nothing_here(struct test_backend *b)
{
    struct diskalloc_region *r = NULL;
    const struct passwd *pw = getpwuid(geteuid());
    char name[300];

    assert_non_null(pw);
    snprintf(name, sizeof name, "%s/mine", pw->pw_name);
    assert_int_equal(open_named(b->da, name, 1, DISKALLOC_REGION_CREATE, &r), 0);
    diskalloc_region_close(r);
    snprintf(name, sizeof name, "+%u/mine", (unsigned)geteuid());
    assert_int_equal(diskalloc_region_unlink(b->da, name), 0);
    EXPECT_FAILURE(-EOPNOTSUPP, "diskalloc_region_open", open_named(b->da, "somebody/mine", 1, 0, &r));
    EXPECT_FAILURE(-EINVAL, "diskalloc_region_open", open_named(b->da, "/mine", 1, 0, &r));
    EXPECT_FAILURE(-EINVAL, "diskalloc_region_open", open_named(b->da, "a/b/c", 1, 0, &r));
}

static void two_attachments_of_one_process_keep_each_other_from_shrinking(struct test_backend *b)
{
    struct diskalloc_region *one = NULL, *two = NULL;

    assert_int_equal(open_named(b->da, "both", 10000, DISKALLOC_REGION_CREATE, &one), 0);
    assert_int_equal(open_named(b->da, "both", 0, 0, &two), 0);
    EXPECT_FAILURE(-EBUSY, "diskalloc_region_resize", diskalloc_region_resize(one, 5000));
    ((char *)diskalloc_region_data(one))[9999] = 1;
    assert_int_equal(diskalloc_region_resize(two, 20000), 0);
    assert_int_equal(diskalloc_region_size(one), 10000);
    assert_int_equal(diskalloc_region_refresh(one), 1);
    assert_int_equal(diskalloc_region_refresh(one), 0);
    assert_int_equal(diskalloc_region_size(one), 20000);
    diskalloc_region_close(two);
    assert_int_equal(diskalloc_region_resize(one, 5000), 0);
    diskalloc_region_close(one);
}

// The kernel's own answer would be SIGXFSZ.
static void a_limit_on_the_size_of_files_refuses_and_kills_nobody(struct test_backend *b)
{
    struct rlimit before, low;
    struct diskalloc_region *r = make_region(b->da, 4096);

    assert_return_code(getrlimit(RLIMIT_FSIZE, &before), errno);
    low = (struct rlimit){.rlim_cur = 1 << 20, .rlim_max = before.rlim_max};
    assert_return_code(setrlimit(RLIMIT_FSIZE, &low), errno);
    EXPECT_FAILURE(-EOVERFLOW, "diskalloc_region_resize", diskalloc_region_resize(r, (1 << 20) + 1));
    assert_int_equal(diskalloc_region_resize(r, 1 << 20), 0);
    assert_return_code(setrlimit(RLIMIT_FSIZE, &before), errno);
    assert_int_equal(diskalloc_region_resize(r, 2 << 20), 0);
    diskalloc_region_close(r);
}

static void a_grow_finds_what_another_has_grown_already(struct test_backend *b)
{
    struct diskalloc_region *one = make_region(b->da, 1000), *two = NULL;

    assert_int_equal(diskalloc_region_attach(b->da, diskalloc_region_handle(one), NULL, &two), 0);
    assert_int_equal(diskalloc_region_resize(two, 30000), 0);
    assert_int_equal(diskalloc_region_resize(one, 2000), 0);
    assert_int_equal(diskalloc_region_size(one), 30000);
    ((char *)diskalloc_region_data(one))[29999] = 4;
    assert_int_equal(((char *)diskalloc_region_data(two))[29999], 4);
    diskalloc_region_close(one);
    diskalloc_region_close(two);
}

struct shared {
    struct test_backend *b;
    struct diskalloc_region *r;
};

static void work_on_inherited(void *data)
{
    struct shared *s = data;
    struct diskalloc_region *mine = NULL;

    ((char *)diskalloc_region_data(s->r))[0] = 5;
    assert_int_equal(diskalloc_region_resize(s->r, 20000), -EBUSY);
    assert_non_null(strstr(diskalloc_last_error(), "inherited through fork"));
    assert_int_equal(diskalloc_region_commit(s->r, 0, 0, 0), -EBUSY);
    assert_int_equal(diskalloc_region_attach(s->b->da, diskalloc_region_handle(s->r), NULL, &mine), 0);
    diskalloc_region_close(s->r);
    assert_int_equal(diskalloc_region_resize(mine, 20000), 0);
    ((char *)diskalloc_region_data(mine))[19999] = 6;
    assert_int_equal(diskalloc_region_resize(mine, 100), -EBUSY);
    diskalloc_region_close(mine);
}

static void a_child_attaches_its_parents_anonymous_region(struct test_backend *b)
{
    struct shared s = {b, make_region(b->da, 10000)};
    int status = test_in_child(work_on_inherited, &s, (uid_t)-1);

    assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
    assert_int_equal(diskalloc_region_refresh(s.r), 1);
    assert_int_equal(diskalloc_region_size(s.r), 20000);
    assert_int_equal(((char *)diskalloc_region_data(s.r))[0], 5);
    assert_int_equal(((char *)diskalloc_region_data(s.r))[19999], 6);
    assert_int_equal(diskalloc_region_resize(s.r, 100), 0);
    diskalloc_region_close(s.r);
}

static void a_named_region_is_found_by_its_handle(struct test_backend *b)
{
    struct diskalloc_region *r = NULL, *again = NULL;
    char handle[33];

    assert_int_equal(open_named(b->da, "one", 100, DISKALLOC_REGION_CREATE, &r), 0);
    strcpy(handle, diskalloc_region_handle(r));
    diskalloc_region_close(r);
    assert_int_equal(diskalloc_region_attach(b->da, handle, NULL, &again), 0);
    assert_int_equal(diskalloc_region_size(again), 100);
    assert_string_equal(diskalloc_region_handle(again), handle);
    diskalloc_region_close(again);
    assert_int_equal(diskalloc_region_unlink(b->da, "one"), 0);
    EXPECT_FAILURE(-ENOENT, "diskalloc_region_attach", diskalloc_region_attach(b->da, handle, NULL, &again));
}

static void a_sparse_copy_gets_its_blocks_back_when_it_is_opened(struct test_backend *b)
{
    struct diskalloc_region *r = NULL;
    char path[300];
    struct stat st;
    int fd;

    assert_int_equal(open_named(b->da, "copied", MIB, DISKALLOC_REGION_CREATE, &r), 0);
    memset(diskalloc_region_data(r), 5, 4096);
    diskalloc_region_close(r);
    snprintf(path, sizeof path, "%s/copied", b->dir);
    fd = open(path, O_RDWR | O_CLOEXEC);
    assert_return_code(fd, errno);
    assert_return_code(fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 4096, MIB - 4096), errno);
    assert_int_equal(open_named(b->da, "copied", 0, DISKALLOC_REGION_READ_ONLY, &r), 0);
    diskalloc_region_close(r);
    assert_return_code(fstat(fd, &st), errno);
    assert_true((uint64_t)st.st_blocks * 512 < MIB / 2);
    assert_int_equal(open_named(b->da, "copied", 0, 0, &r), 0);
    assert_return_code(fstat(fd, &st), errno);
    assert_true((uint64_t)st.st_blocks * 512 >= MIB);
    assert_int_equal(((char *)diskalloc_region_data(r))[4095], 5);
    assert_int_equal(((char *)diskalloc_region_data(r))[4096], 0);
    // what is discarded is no copy's hole
    assert_int_equal(diskalloc_region_discard(r, 0, MIB / 2), 0);
    diskalloc_region_close(r);
    assert_int_equal(open_named(b->da, "copied", 0, 0, &r), 0);
    assert_return_code(fstat(fd, &st), errno);
    assert_true((uint64_t)st.st_blocks * 512 < MIB);
    diskalloc_region_close(r);
    close(fd);
}

static uint64_t blocks_of(const char *path)
{
    struct stat st;

    assert_return_code(stat(path, &st), errno);
    return (uint64_t)st.st_blocks * 512;
}

// Copying makes holes of zeros, which were granted, and the record says that there are holes.
static void a_copy_of_a_region_with_discarded_parts_has_all_of_it(struct test_backend *b)
{
    char path[300], copy[300], command[700];
    struct diskalloc_region *r = NULL;

    snprintf(path, sizeof path, "%s/copied", b->dir);
    snprintf(copy, sizeof copy, "%s/aside", b->dir);
    snprintf(command, sizeof command, "cp -a --sparse=always %s %s", path, copy);
    assert_int_equal(open_named(b->da, "copied", MIB, DISKALLOC_REGION_CREATE, &r), 0);
    memset(diskalloc_region_data(r), 5, 4096);
    assert_int_equal(diskalloc_region_discard(r, MIB / 2, MIB / 4), 0);
    diskalloc_region_close(r);
    for (int flags = DISKALLOC_REGION_READ_ONLY; flags >= 0; flags -= DISKALLOC_REGION_READ_ONLY) {
        assert_int_equal(system(command), 0);
        assert_return_code(rename(copy, path), errno);
        assert_int_equal(open_named(b->da, "copied", 0, (uint32_t)flags, &r), 0);
        for (size_t i = 0; i < MIB; i += 4096)
            assert_int_equal(((char *)diskalloc_region_data(r))[i], i == 0 ? 5 : 0);
        if (flags)
            diskalloc_region_close(r);
    }
    assert_true(blocks_of(path) >= MIB);
    assert_int_equal(diskalloc_region_discard(r, MIB / 2, MIB / 4), 0);
    diskalloc_region_close(r);
    assert_int_equal(open_named(b->da, "copied", 0, 0, &r), 0);
    assert_true(blocks_of(path) < MIB); // these holes are the region's own
    diskalloc_region_close(r);
}

static void a_commit_of_an_anonymous_region_is_seen_by_who_attaches_it(struct test_backend *b)
{
    struct diskalloc_region *r = make_region(b->da, 100), *again = NULL;

    assert_int_equal(diskalloc_region_commit(r, 40, 8, DISKALLOC_DURABLE), 0);
    assert_int_equal(diskalloc_region_attach(b->da, diskalloc_region_handle(r), NULL, &again), 0);
    assert_int_equal(diskalloc_region_used(again), 40);
    assert_string_equal(diskalloc_region_handle(again), diskalloc_region_handle(r));
    diskalloc_region_close(again);
    diskalloc_region_close(r);
}

static void usage_counts_what_this_process_has(struct test_backend *b)
{
    struct diskalloc_region *r = make_region(b->da, 10000);
    struct diskalloc_usage u;

    assert_int_equal(diskalloc_get_usage(b->da, NULL, &u, sizeof u), 0);
    assert_int_equal(u.regions, 1);
    assert_int_equal(u.bytes, 10000);
    assert_true(u.bytes_limit == UINT64_MAX && u.grantable_bytes > 0);
    EXPECT_FAILURE(-EOPNOTSUPP, "diskalloc_get_usage", diskalloc_get_usage(b->da, "total", &u, sizeof u));
    EXPECT_FAILURE(-EINVAL, "diskalloc_get_usage", diskalloc_get_usage(b->da, NULL, &u, 0));
    diskalloc_region_close(r);
    assert_int_equal(diskalloc_get_usage(b->da, NULL, &u, sizeof u), 0);
    assert_int_equal(u.regions, 0);
    assert_int_equal(u.bytes, 0);
}

static void expect_reason(const char *name, struct test_backend *b, int database_error, int code, const char *reason)
{
    struct diskalloc_region *r = NULL;

    user_database_error = database_error;
    EXPECT_FAILURE(code, "diskalloc_region_open", open_named(b->da, name, 0, 0, &r));
    assert_non_null(strstr(diskalloc_last_error(), reason));
    EXPECT_FAILURE(code, "diskalloc_region_unlink", diskalloc_region_unlink(b->da, name));
    assert_non_null(strstr(diskalloc_last_error(), reason));
    user_database_error = 0;
    assert_null(r);
}

// A number needs no database.
static void expect_found_by_number(struct test_backend *b)
{
    struct diskalloc_region *r = NULL;

    user_database_error = ECONNREFUSED;
    EXPECT_FAILURE(-ENOENT, "diskalloc_region_open", open_named(b->da, "+4000000000/name", 0, 0, &r));
    EXPECT_FAILURE(geteuid() == 0 ? -ENOENT : -EACCES, "diskalloc_region_unlink",
                   diskalloc_region_unlink(b->da, "+4000000000/name"));
    user_database_error = 0;
    assert_null(r);
}

static void a_user_database_that_does_not_answer_is_told_from_one_that_knows_nobody(struct test_backend *b)
{
    static const char away[] = "the user database did not say who nobody-here is";

    expect_reason("nobody-here/name", b, 0, -EOPNOTSUPP, "regions of known users only");
    expect_reason("nobody-here/name", b, ECONNREFUSED, -EIO, away);
    expect_reason("nobody-here/name", b, EAGAIN, -EIO, "Resource temporarily unavailable)");
    expect_reason("nobody-here/name", b, ENOENT, -EIO, away);
    expect_reason("nobody-here/name", b, ENOMEM, -ENOMEM, "memory");
    expect_reason("nobody-here/name", b, EMFILE, -EMFILE, "open files");
    expect_found_by_number(b);
}

#define EMBEDDED(body)                  \
    static void body##_(void **state)   \
    {                                   \
        (void)state;                    \
        backend_run(false, NULL, body); \
    }

EMBEDDED(a_foreign_file_of_that_name_is_refused_and_untouched)
EMBEDDED(what_is_no_file_is_refused)
EMBEDDED(a_copy_under_another_name_or_with_a_damaged_record_is_foreign)
EMBEDDED(a_shrink_on_a_disk_without_room_for_the_record_is_done)
EMBEDDED(a_shrink_whose_record_the_disk_refuses_changes_nothing)
EMBEDDED(the_mode_is_what_was_asked_for_whatever_the_umask)
EMBEDDED(ones_own_name_may_be_said_and_others_have_nothing_here)
EMBEDDED(two_attachments_of_one_process_keep_each_other_from_shrinking)
EMBEDDED(a_limit_on_the_size_of_files_refuses_and_kills_nobody)
EMBEDDED(a_grow_finds_what_another_has_grown_already)
EMBEDDED(a_child_attaches_its_parents_anonymous_region)
EMBEDDED(a_named_region_is_found_by_its_handle)
EMBEDDED(a_sparse_copy_gets_its_blocks_back_when_it_is_opened)
EMBEDDED(a_copy_of_a_region_with_discarded_parts_has_all_of_it)
EMBEDDED(a_commit_of_an_anonymous_region_is_seen_by_who_attaches_it)
EMBEDDED(usage_counts_what_this_process_has)
EMBEDDED(a_user_database_that_does_not_answer_is_told_from_one_that_knows_nobody)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_foreign_file_of_that_name_is_refused_and_untouched_),
        TEST(what_is_no_file_is_refused_),
        TEST(a_copy_under_another_name_or_with_a_damaged_record_is_foreign_),
        TEST(a_shrink_on_a_disk_without_room_for_the_record_is_done_),
        TEST(a_shrink_whose_record_the_disk_refuses_changes_nothing_),
        TEST(the_mode_is_what_was_asked_for_whatever_the_umask_),
        TEST(ones_own_name_may_be_said_and_others_have_nothing_here_),
        TEST(two_attachments_of_one_process_keep_each_other_from_shrinking_),
        TEST(a_limit_on_the_size_of_files_refuses_and_kills_nobody_),
        TEST(a_grow_finds_what_another_has_grown_already_),
        TEST(a_child_attaches_its_parents_anonymous_region_),
        TEST(a_named_region_is_found_by_its_handle_),
        TEST(a_sparse_copy_gets_its_blocks_back_when_it_is_opened_),
        TEST(a_copy_of_a_region_with_discarded_parts_has_all_of_it_),
        TEST(a_commit_of_an_anonymous_region_is_seen_by_who_attaches_it_),
        TEST(usage_counts_what_this_process_has_),
        TEST(a_user_database_that_does_not_answer_is_told_from_one_that_knows_nobody_),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
