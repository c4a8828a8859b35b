// The backend of a directory on a disk that fails: each call that fails changes nothing, and works the next time.
#include "tests/lib/region_bytes.h"
#include "tests/lib/test_backend.h"

#include <dirent.h>
#include <dlfcn.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/xattr.h>

enum { BLOCK = 4096, SIZE = 16 * BLOCK };

enum call { NONE, STAT, ALLOCATE, TRUNCATE, GET_XATTR, SET_XATTR, SYNC, STAT_FS, CALL_N, READ_DIRECTORY = CALL_N };

static enum call failing;
static int with, n_failed;

static bool fails(enum call call)
{
    if (failing != call)
        return false;
    n_failed++;
    errno = with;
    return true;
}

// In place of libc's functions, which they call when nothing fails.
#define IN_PLACE(call, type, name, parameters, arguments) \
    type name parameters                                  \
    {                                                     \
        type(*libc) parameters;                           \
                                                          \
        *(void **)&libc = dlsym(RTLD_NEXT, #name);        \
        return fails(call) ? -1 : libc arguments;         \
    }

IN_PLACE(STAT, int, fstat, (int fd, struct stat *ret), (fd, ret))
IN_PLACE(ALLOCATE, int, fallocate, (int fd, int mode, off_t at, off_t n), (fd, mode, at, n))
IN_PLACE(TRUNCATE, int, ftruncate, (int fd, off_t size), (fd, size))
IN_PLACE(GET_XATTR, ssize_t, fgetxattr, (int fd, const char *name, void *ret, size_t n), (fd, name, ret, n))
IN_PLACE(SET_XATTR, int, fsetxattr, (int fd, const char *name, const void *value, size_t n, int flags),
         (fd, name, value, n, flags))
IN_PLACE(SYNC, int, fsync, (int fd), (fd))
IN_PLACE(STAT_FS, int, fstatvfs, (int fd, struct statvfs *ret), (fd, ret))

struct dirent *readdir(DIR *dir)
{
    struct dirent *(*libc)(DIR * dir);

    *(void **)&libc = dlsym(RTLD_NEXT, "readdir");
    return fails(READ_DIRECTORY) ? NULL : libc(dir);
}

static void fill(struct diskalloc_region *r)
{
    uint8_t *bytes = diskalloc_region_data(r);

    for (uint64_t i = 0; i < SIZE; i++)
        bytes[i] = (uint8_t)(i / BLOCK + 1);
}

static void expect_content(struct diskalloc_region *r, uint64_t blocks)
{
    for (uint64_t i = 0; i < blocks; i++)
        expect_bytes(r, i * BLOCK, (i + 1) * BLOCK, (char)(i + 1));
}

static int grow(struct diskalloc_region *r)
{
    return diskalloc_region_resize(r, 2 * SIZE);
}

static int shrink(struct diskalloc_region *r)
{
    return diskalloc_region_resize(r, SIZE / 2);
}

static int discard(struct diskalloc_region *r)
{
    return diskalloc_region_discard(r, 8 * BLOCK, 4 * BLOCK);
}

static int commit(struct diskalloc_region *r)
{
    return diskalloc_region_commit(r, 4 * BLOCK, 8, DISKALLOC_DURABLE);
}

static int refresh(struct diskalloc_region *r)
{
    return diskalloc_region_refresh(r) < 0 ? -1 : 0;
}

// Counts in N_REFUSED whether CHANGE has failed with CALL.
static void try(struct test_backend *b, int (*change)(struct diskalloc_region *r), enum call call, unsigned *n_refused)
{
    struct diskalloc_region *r = NULL;
    int e;

    assert_int_equal(open_named(b->da, "it", SIZE, DISKALLOC_REGION_CREATE, &r), 0);
    assert_int_equal(diskalloc_region_commit(r, SIZE, 8, 0), 0);
    fill(r);
    n_failed = 0;
    failing = call;
    e = change(r);
    failing = NONE;
    if (e < 0) {
        assert_true(n_failed > 0);
        assert_true(diskalloc_last_error()[0]);
        assert_int_equal(diskalloc_region_refresh(r), 0);
        assert_int_equal(diskalloc_region_size(r), SIZE);
        assert_int_equal(diskalloc_region_used(r), SIZE);
        expect_content(r, SIZE / BLOCK);
        assert_int_equal(change(r), 0);
        *n_refused += 1;
    }
    expect_content(r, SIZE / 2 / BLOCK);
    diskalloc_region_close(r);
    assert_int_equal(diskalloc_region_unlink(b->da, "it"), 0);
}

static void each_change_that_fails_changes_nothing(void **state)
{
    static int (*const changes[])(struct diskalloc_region * r) = {grow, shrink, discard, commit, refresh};
    static const int errors[] = {EIO, EROFS};
    struct test_backend b;

    (void)state;
    backend_start(&b, false, NULL, NULL);
    for (size_t e = 0; e < sizeof errors / sizeof *errors; e++)
        for (size_t i = 0; i < sizeof changes / sizeof *changes; i++) {
            unsigned n_refused = 0;

            with = errors[e];
            for (enum call call = STAT; call < CALL_N; call++)
                try(&b, changes[i], call, &n_refused);
            assert_true(n_refused > 0);
        }
    backend_stop(&b);
}

// Else regions would seem to be gone.
static void a_directory_that_cannot_be_read_is_no_empty_one(void **state)
{
    struct diskalloc_region_info info;
    struct diskalloc_region *r = NULL;
    uint64_t cursor = 0;
    char handle[33];
    struct test_backend b;

    (void)state;
    backend_start(&b, false, NULL, NULL);
    assert_int_equal(open_named(b.da, "it", SIZE, DISKALLOC_REGION_CREATE, &r), 0);
    strcpy(handle, diskalloc_region_handle(r));
    diskalloc_region_close(r);
    failing = READ_DIRECTORY;
    with = EIO;
    EXPECT_FAILURE(-EIO, "diskalloc_next_region", diskalloc_next_region(b.da, &cursor, &info, sizeof info));
    EXPECT_FAILURE(-EIO, "diskalloc_region_attach", diskalloc_region_attach(b.da, handle, NULL, &r));
    assert_non_null(strstr(diskalloc_last_error(), "reading the directory"));
    failing = NONE;
    assert_int_equal(diskalloc_next_region(b.da, &cursor, &info, sizeof info), 1);
    assert_string_equal(info.handle, handle);
    assert_int_equal(diskalloc_region_attach(b.da, handle, NULL, &r), 0);
    diskalloc_region_close(r);
    backend_stop(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_directory_that_cannot_be_read_is_no_empty_one),
        TEST(each_change_that_fails_changes_nothing),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
