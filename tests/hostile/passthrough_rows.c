// Everything that the holder of a region's descriptor can try when the passthrough fence holds: all that changes the
// file is refused, but for MADV_REMOVE, which is mended; the memory and all that only looks at the file work.
#include <fcntl.h>
#include <linux/falloc.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <sys/xattr.h>

#include "proto/util/cleanup.h"
#include "tests/lib/actor.h"
#include "tests/lib/fenced.h"
#include "tests/lib/harness.h"
#include "tests/lib/passthrough.h"
#include "tests/lib/pin.h"
#include "tests/lib/scratch.h"

enum { SIZE = 4 << 20, NOBODY = 65534 };

#define BEHIND "changed behind the daemon's back"

static int write_inside(int fd)
{
    return (int)pwrite(fd, "x", 1, 100);
}

static int write_past_the_end(int fd)
{
    return (int)pwrite(fd, "x", 1, SIZE + (1 << 20));
}

static int grow(int fd)
{
    return ftruncate(fd, (off_t)2 * SIZE);
}

static int cut(int fd)
{
    return ftruncate(fd, 4096);
}

static int cut_to_nothing(int fd)
{
    return ftruncate(fd, 0);
}

static int allocate_past_the_end(int fd)
{
    return fallocate(fd, 0, 0, SIZE + (8 << 20));
}

static int allocate_behind_the_end(int fd)
{
    return fallocate(fd, FALLOC_FL_KEEP_SIZE, SIZE, 8 << 20);
}

static int punch(int fd)
{
    return fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 1 << 20, 1 << 20);
}

static int collapse(int fd)
{
    return fallocate(fd, FALLOC_FL_COLLAPSE_RANGE, 1 << 20, 1 << 20);
}

static int insert(int fd)
{
    return fallocate(fd, FALLOC_FL_INSERT_RANGE, 1 << 20, 1 << 20);
}

static int zero(int fd)
{
    return fallocate(fd, FALLOC_FL_ZERO_RANGE | FALLOC_FL_KEEP_SIZE, 1 << 20, 1 << 20);
}

static int reopen(int fd, int flags)
{
    char path[64];
    int r;

    snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    r = open(path, flags | O_CLOEXEC);
    cleanup_close(&r);
    return r;
}

static int reopen_for_writing(int fd)
{
    return reopen(fd, O_RDWR);
}

static int reopen_for_reading(int fd)
{
    return reopen(fd, O_RDONLY);
}

static int reopen_and_cut(int fd)
{
    return reopen(fd, O_RDWR | O_TRUNC);
}

static int cut_by_path(int fd)
{
    char path[64];

    snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    return truncate(path, 0);
}

static int let_all_read(int fd)
{
    return fchmod(fd, 0666);
}

static int set_attribute(int fd)
{
    return fsetxattr(fd, "user.diskalloc", "x", 1, 0);
}

static int copy_by_the_kernel(int fd)
{
    off_t from = 0, to = 1 << 20;

    return (int)copy_file_range(fd, &from, fd, &to, 4096, 0);
}

static int share_blocks(int fd)
{
    _cleanup_close_ int own = open("/var/tmp", O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);

    return ioctl(own, _IOW(0x94, 9, int), fd); // FICLONE
}

static int name_it(int fd)
{
    return linkat(fd, "", AT_FDCWD, "/var/tmp/diskalloc-test-named", AT_EMPTY_PATH);
}

static const struct row {
    const char *name;
    int (*act)(int fd);
} rows[] = {
    {"pwrite inside", write_inside},
    {"pwrite past the end", write_past_the_end},
    {"ftruncate up", grow},
    {"ftruncate down", cut},
    {"ftruncate to nothing", cut_to_nothing},
    {"fallocate past the end", allocate_past_the_end},
    {"fallocate behind the end", allocate_behind_the_end},
    {"punch", punch},
    {"collapse", collapse},
    {"insert", insert},
    {"zero", zero},
    {"open for writing by /proc/self/fd", reopen_for_writing},
    {"open for reading by /proc/self/fd", reopen_for_reading},
    {"open with O_TRUNC by /proc/self/fd", reopen_and_cut},
    {"truncate by /proc/self/fd", cut_by_path},
    {"fchmod", let_all_read},
    {"fsetxattr", set_attribute},
    {"copy_file_range", copy_by_the_kernel},
    {"FICLONE", share_blocks},
    {"linkat", name_it},
};

static void start(struct fenced *f)
{
    fenced_start(f, "passthrough", SIZE);
}

static void try_all(const struct fenced *f)
{
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        int r = rows[i].act(f->fd), error = errno;

        printf("%s: %s\n", rows[i].name, r < 0 ? strerror(error) : "done");
        NEED(r < 0);
        NEED(fenced_is_exact(f, f->region));
    }
}

static void expect_usable(const struct fenced *f)
{
    char *data = diskalloc_region_data(f->region);

    for (uint64_t i = 0; i < diskalloc_region_size(f->region); i += 4096)
        assert_int_equal(data[i], 1);
}

// Also for root, who can open other files again.
static void all_that_changes_the_file_is_refused(void **state)
{
    _cleanup_free_ char *names = NULL;
    struct fenced f;

    (void)state;
    start(&f);
    names = fenced_status(&f, NULL, NULL);
    assert_string_equal(names, "passthrough, tripwire");
    assert_true(test_daemon_logged(&f.daemon, "fences around descriptors: passthrough, tripwire;"));
    try_all(&f);
    expect_usable(&f);
    assert_int_equal(diskalloc_region_resize(f.region, 2 * SIZE), 0);
    assert_int_equal(diskalloc_region_resize(f.region, SIZE), 0);
    expect_usable(&f);
    assert_int_equal(fenced_count_logged(&f, BEHIND), 0);
    fenced_stop(&f);
}

static void what_only_looks_works(void **state)
{
    struct fenced f;
    struct stat st;
    char bytes[8192];
    int pipe_fds[2];
    off_t at = 0;

    (void)state;
    start(&f);
    assert_int_equal(fstat(f.fd, &st), 0);
    assert_int_equal(st.st_size, SIZE);
    assert_true(S_ISREG(st.st_mode) && (st.st_mode & 077) == 0);
    assert_true((uint64_t)st.st_blocks * 512 >= SIZE);
    assert_int_equal(pread(f.fd, bytes, sizeof bytes, SIZE - 4096), 4096);
    assert_int_equal(bytes[4095], 1);
    assert_int_equal(pread(f.fd, bytes, 1, SIZE), 0);
    assert_int_equal(pipe2(pipe_fds, O_CLOEXEC), 0);
    assert_int_equal(sendfile(pipe_fds[1], f.fd, &at, 4096), 4096);
    assert_int_equal(read(pipe_fds[0], bytes, sizeof bytes), 4096);
    close(pipe_fds[0]);
    close(pipe_fds[1]);
    assert_int_equal(fsync(f.fd), 0);
    assert_int_equal(fdatasync(f.fd), 0);
    assert_int_equal(lseek(f.fd, 0, SEEK_END), SIZE);
    assert_int_equal(lseek(f.fd, 0, SEEK_DATA), 0);
    // The size is always the present one.
    assert_int_equal(diskalloc_region_resize(f.region, 2 * SIZE), 0);
    assert_int_equal(fstat(f.fd, &st), 0);
    assert_int_equal(st.st_size, 2 * SIZE);
    fenced_stop(&f);
}

static void memory_can_be_mapped_and_moved(void **state)
{
    struct fenced f;
    char *a, *b;

    (void)state;
    start(&f);
    a = mmap(NULL, SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, f.fd, 0);
    assert_true(a != MAP_FAILED);
    a[5] = 77;
    assert_int_equal(((char *)diskalloc_region_data(f.region))[5], 77);
    b = mremap(a, SIZE, 2 * SIZE, MREMAP_MAYMOVE);
    assert_true(b != MAP_FAILED);
    b[6] = 78;
    assert_int_equal(((char *)diskalloc_region_data(f.region))[6], 78);
    assert_int_equal(msync(b, SIZE, MS_SYNC), 0);
    // Behind the size there is nothing; the kernel says EFAULT where a store would be SIGBUS.
    assert_int_equal(madvise(b + SIZE, 4096, MADV_POPULATE_WRITE), -1);
    assert_int_equal(errno, EFAULT);
    assert_true(mmap(NULL, SIZE, PROT_READ | PROT_EXEC, MAP_SHARED, f.fd, 0) == MAP_FAILED);
    assert_int_equal(munmap(b, 2 * SIZE), 0);
    fenced_stop(&f);
}

// A hole that is made through the mapping is the disk's file's own matter.
static void a_hole_that_is_made_by_madvise_is_mended(void **state)
{
    struct fenced f;
    char *data;

    (void)state;
    start(&f);
    data = diskalloc_region_data(f.region);
    assert_int_equal(madvise(data + (1 << 20), 1 << 20, MADV_REMOVE), 0);
    assert_int_equal(diskalloc_region_resize(f.region, SIZE + 4096), 0);
    fenced_await_exact(&f, SIZE + 4096);
    assert_int_equal(data[1 << 20], 0);
    assert_int_equal(data[(2 << 20) + 1], 1);
    assert_int_equal(fenced_count_logged(&f, BEHIND), 1);
    fenced_stop(&f);
}

// Without this fence, a write whose data never comes holds the lock of the region's file.
static void hold_lock(struct actor *self, void *data)
{
    struct fenced *f = data;
    struct pin pin;

    pin_init(&pin);
    pin_hold(&pin, f->fd, false);
    actor_next(self);
    pin_release(&pin);
}

static void a_write_whose_data_never_comes_holds_nobody_up(void **state)
{
    struct fenced f;
    struct actor a;

    (void)state;
    if (!pin_is_possible())
        skip();
    start(&f);
    actor_start(&a, hold_lock, &f, (uid_t)-1);
    actor_await(&a);
    assert_int_equal(diskalloc_region_resize(f.region, 2 * SIZE), 0);
    assert_int_equal(diskalloc_region_commit(f.region, SIZE, 1, DISKALLOC_DURABLE), 0);
    actor_kill(&a);
    fenced_stop(&f);
}

struct reader {
    struct fenced *f;
    char handle[64];
};

static void read_only(void *data)
{
    struct diskalloc_region_options o = DISKALLOC_REGION_OPTIONS_INIT;
    const struct reader *reader = data;
    struct diskalloc_region *r;
    struct diskalloc *da;
    struct stat st;
    int fd;

    o.flags = DISKALLOC_REGION_READ_ONLY;
    NEED(diskalloc_open(reader->f->daemon.address, NULL, &da) == 0);
    NEED(diskalloc_region_open(da, reader->handle, &o, &r) == 0);
    fd = diskalloc_region_fd(r);
    NEED((fcntl(fd, F_GETFL) & O_ACCMODE) == O_RDONLY);
    NEED(fstat(fd, &st) == 0 && st.st_size == SIZE);
    NEED(((char *)diskalloc_region_data(r))[SIZE - 1] == 0);
    NEED(mmap(NULL, SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0) == MAP_FAILED && errno == EACCES);
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        NEED(rows[i].act(fd) < 0);
    diskalloc_region_close(r);
    diskalloc_close(da);
}

static void another_user_may_only_read(void **state)
{
    struct diskalloc_region_options o = DISKALLOC_REGION_OPTIONS_INIT;
    struct diskalloc_region *r;
    struct fenced f;
    struct reader reader = {.f = &f};

    (void)state;
    start(&f);
    o.size = SIZE;
    o.mode = 0644;
    o.flags = DISKALLOC_REGION_CREATE;
    assert_int_equal(diskalloc_region_open(f.da, "readable", &o, &r), 0);
    snprintf(reader.handle, sizeof reader.handle, "+%u/readable", getuid());
    assert_int_equal(test_in_child(read_only, &reader, NOBODY), 0);
    assert_true(fenced_is_exact(&f, r));
    diskalloc_region_close(r);
    fenced_stop(&f);
}

static void without_the_right_the_daemon_says_what_to_do(void *data)
{
    struct test_daemon d;

    (void)data;
    test_daemon_prepare(NULL);
    NEED(prctl(PR_CAPBSET_DROP, 21, 0, 0, 0) == 0); // CAP_SYS_ADMIN: for programs that are run from here
    NEED(test_daemon_start_expecting_failure(&d, PASSTHROUGH_CONFIG, NULL) == 1);
    NEED(test_daemon_logged(&d, "fence = passthrough: passthrough: the daemon lacks CAP_SYS_ADMIN"));
    test_daemon_stop_and_remove(&d);
}

static void a_daemon_without_the_right_does_not_start(void **state)
{
    (void)state;
    assert_int_equal(test_in_child(without_the_right_the_daemon_says_what_to_do, NULL, (uid_t)-1), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(all_that_changes_the_file_is_refused),
        TEST(what_only_looks_works),
        TEST(memory_can_be_mapped_and_moved),
        TEST(a_hole_that_is_made_by_madvise_is_mended),
        TEST(a_write_whose_data_never_comes_holds_nobody_up),
        TEST(another_user_may_only_read),
        TEST(a_daemon_without_the_right_does_not_start),
    };

    passthrough_need();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
