// Regions of a caller's file: what a resize or a vector grants has blocks on disk, whatever holes the file came with.
#include "tests/lib/loop_mount.h"
#include "tests/lib/test_backend.h"

#include <fcntl.h>
#include <linux/fs.h>
#include <sys/ioctl.h>
#include <sys/mman.h>

#include "proto/spill/spillfile.h"

DISKALLOC_VEC_DEFINE(u64s, uint64_t)

enum { DISK_MIB = 320 };

struct place {
    char at[170];
    bool is_small; // a file system of DISK_MIB, which the test may fill
};

// ---- Files ----

static int make_file(const struct place *p, uint64_t size)
{
    int fd = open(p->at, O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);

    assert_return_code(fd, errno);
    assert_return_code(ftruncate(fd, (off_t)size), errno);
    return fd;
}

static void put(int fd, uint64_t offset, uint64_t length, int value)
{
    char *bytes = malloc(length);

    assert_non_null(bytes);
    memset(bytes, value, length);
    assert_int_equal(pwrite(fd, bytes, length, (off_t)offset), length);
    free(bytes);
}

// Bytes below the end that have no blocks.
static uint64_t lacking(int fd)
{
    struct ranges holes = {0};
    struct stat st;
    uint64_t sum;

    assert_return_code(fstat(fd, &st), errno);
    assert_int_equal(spillfile_read_holes(fd, (uint64_t)st.st_size, 4096, &holes), 0);
    sum = holes.sum;
    ranges_deinit(&holes);
    return sum;
}

static uint64_t blocks_of(int fd)
{
    struct stat st;

    assert_return_code(fsync(fd), errno);
    assert_return_code(fstat(fd, &st), errno);
    return (uint64_t)st.st_blocks * 512;
}

static struct diskalloc_region *region_on(int fd, uint32_t flags)
{
    struct diskalloc_region_options o = DISKALLOC_REGION_OPTIONS_INIT;
    struct diskalloc_region *r = NULL;

    o.flags = flags;
    assert_int_equal(diskalloc_region_from_fd(fd, &o, &r), 0);
    return r;
}

static void resize(struct diskalloc_region *r, uint64_t size)
{
    int code = diskalloc_region_resize(r, size);

    if (code < 0)
        print_error("%s\n", diskalloc_last_error());
    assert_int_equal(code, 0);
}

// Takes all the space that is left.
static int fill_disk(const struct place *p)
{
    int fd = make_file(p, 0);
    off_t end = 0;

    for (off_t piece = 64 * MIB; piece >= 4096; piece /= 2)
        while (fallocate(fd, 0, end, piece) == 0)
            end += piece;
    assert_int_equal(errno, ENOSPC);
    return fd;
}

// On the full disk: without blocks that would be SIGBUS.
static void store_everywhere_while_the_disk_is_full(const struct place *p, struct diskalloc_region *r)
{
    int junk = p->is_small ? fill_disk(p) : -1;

    memset(diskalloc_region_data(r), 9, diskalloc_region_size(r));
    assert_int_equal(diskalloc_region_sync(r), 0);
    if (junk >= 0)
        close(junk);
}

// ---- Tests ----

static void a_resize_to_the_size_that_it_has_fills_the_holes(const struct place *p)
{
    int fd = make_file(p, 16 * MIB + 100);
    struct diskalloc_region *r = region_on(fd, 0);

    put(fd, MIB, 4096, 5);
    assert_true(lacking(fd) > 15 * MIB);
    resize(r, 16 * MIB + 100);
    assert_int_equal(lacking(fd), 0);
    assert_int_equal(diskalloc_region_size(r), 16 * MIB + 100);
    for (uint64_t i = 0; i < 16 * MIB + 100; i++)
        assert_int_equal(((uint8_t *)diskalloc_region_data(r))[i], i >= MIB && i < MIB + 4096 ? 5 : 0);
    store_everywhere_while_the_disk_is_full(p, r);
    diskalloc_region_close(r);
    close(fd);
}

static void a_resize_to_less_and_to_more_fills_them_too(const struct place *p)
{
    int fd = make_file(p, 16 * MIB);
    struct diskalloc_region *r = region_on(fd, 0);

    resize(r, 8 * MIB);
    assert_int_equal(lacking(fd), 0);
    diskalloc_region_close(r);
    close(fd);
    fd = make_file(p, 4 * MIB);
    r = region_on(fd, 0);
    resize(r, 16 * MIB);
    assert_int_equal(lacking(fd), 0);
    store_everywhere_while_the_disk_is_full(p, r);
    diskalloc_region_close(r);
    close(fd);
}

// XFS allocates blocks behind the end by itself, and a program may do so anywhere.
static void blocks_behind_the_end_do_not_count(const struct place *p)
{
    int fd = make_file(p, 16 * MIB);
    struct diskalloc_region *r = region_on(fd, 0);

    assert_return_code(fallocate(fd, FALLOC_FL_KEEP_SIZE, 16 * MIB, 32 * MIB), errno);
    assert_true(blocks_of(fd) >= 32 * MIB && lacking(fd) == 16 * MIB);
    resize(r, 16 * MIB);
    assert_int_equal(lacking(fd), 0);
    store_everywhere_while_the_disk_is_full(p, r);
    diskalloc_region_close(r);
    close(fd);
}

static void many_small_holes_are_filled_and_the_callers_offset_stays(const struct place *p)
{
    const uint64_t step = 8192, n = 6000;
    int fd = make_file(p, n * step);
    struct diskalloc_region *r = region_on(fd, 0);

    for (uint64_t i = 0; i < n; i++)
        put(fd, i * step, 4096, 3);
    assert_int_equal(lseek(fd, 77, SEEK_SET), 77);
    resize(r, n * step);
    assert_int_equal(lseek(fd, 0, SEEK_CUR), 77);
    assert_int_equal(lacking(fd), 0);
    assert_int_equal(((uint8_t *)diskalloc_region_data(r))[(n - 1) * step], 3);
    diskalloc_region_close(r);
    close(fd);
}

static void a_vector_has_blocks_before_it_stores(const struct place *p)
{
    int fd = make_file(p, 16 * MIB);
    struct diskalloc_region *r = region_on(fd, 0);
    struct u64s v;

    assert_int_equal(u64s_init_region(&v, r), 0);
    assert_int_equal(v.len, 2 * MIB);
    assert_int_equal(lacking(fd), 0);
    store_everywhere_while_the_disk_is_full(p, r);
    u64s_deinit(&v);
    close(fd);
}

static void nothing_is_filled_for_a_reader_or_a_sparse_region(const struct place *p)
{
    int fd = make_file(p, 16 * MIB), again = -1;
    char self[64];
    struct diskalloc_region *r;
    struct u64s v;

    r = region_on(fd, DISKALLOC_REGION_SPARSE);
    resize(r, 16 * MIB);
    assert_int_equal(u64s_init_region(&v, r), 0);
    assert_int_equal(lacking(fd), 16 * MIB);
    u64s_deinit(&v);
    snprintf(self, sizeof self, "/proc/self/fd/%d", fd);
    again = open(self, O_RDONLY | O_CLOEXEC);
    assert_return_code(again, errno);
    r = region_on(again, 0);
    assert_int_equal(u64s_init_region(&v, r), 0);
    assert_int_equal(v.len, 2 * MIB);
    assert_int_equal(lacking(fd), 16 * MIB);
    u64s_deinit(&v);
    close(again);
    close(fd);
}

static void discarded_parts_stay_discarded(const struct place *p)
{
    int fd = make_file(p, 16 * MIB);
    struct diskalloc_region *r = region_on(fd, 0);

    assert_int_equal(diskalloc_region_discard(r, 4 * MIB, MIB), 0);
    resize(r, 16 * MIB);
    assert_int_equal(lacking(fd), MIB);
    assert_int_equal(diskalloc_region_restore(r, 4 * MIB, MIB), 0);
    assert_int_equal(lacking(fd), 0);
    diskalloc_region_close(r);
    close(fd);
}

static void what_another_program_adds_is_filled_too(const struct place *p)
{
    int fd = make_file(p, 4 * MIB);
    struct diskalloc_region *r = region_on(fd, 0);

    resize(r, 4 * MIB);
    assert_return_code(ftruncate(fd, 8 * MIB), errno);
    assert_int_equal(diskalloc_region_refresh(r), 1);
    assert_int_equal(lacking(fd), 4 * MIB);
    resize(r, 8 * MIB);
    assert_int_equal(lacking(fd), 0);
    diskalloc_region_close(r);
    close(fd);
}

static void what_does_not_fit_is_refused_and_nothing_changes(const struct place *p)
{
    struct diskalloc_error_info info;
    struct diskalloc_region *r;
    struct u64s v = {0};
    uint64_t blocks;
    int fd;

    if (!p->is_small)
        return;
    fd = make_file(p, 1024 * MIB);
    put(fd, MIB, 4096, 5);
    blocks = blocks_of(fd);
    r = region_on(fd, 0);
    info = EXPECT_FAILURE(-ENOSPC, "diskalloc_region_resize", diskalloc_region_resize(r, 1024 * MIB));
    assert_string_equal(info.limit_name, "disk");
    assert_int_equal(info.asked, 1024 * MIB - 4096);
    EXPECT_FAILURE(-ENOSPC, "diskalloc_region_resize", diskalloc_region_resize(r, 2048 * MIB));
    EXPECT_FAILURE(-ENOSPC, "diskalloc_region_resize", diskalloc_region_resize(r, 512 * MIB));
    EXPECT_FAILURE(-ENOSPC, "u64s_init_region", u64s_init_region(&v, r));
    assert_int_equal(blocks_of(fd), blocks);
    assert_int_equal(diskalloc_region_size(r), 1024 * MIB);
    assert_int_equal(((uint8_t *)diskalloc_region_data(r))[MIB + 1], 5);
    resize(r, 16 * MIB);
    assert_int_equal(lacking(fd), 0);
    diskalloc_region_close(r);
    close(fd);
}

// A store to a block that two files share needs a new block.
static void blocks_that_are_shared_with_a_copy_are_replaced(const struct place *p)
{
    int fd = make_file(p, 0), copy = make_file(p, 0);
    struct diskalloc_region *r;

    put(fd, 0, 16 * MIB, 4);
    if (ioctl(copy, FICLONE, fd) == 0 && fsync(copy) == 0) {
        r = region_on(copy, 0);
        resize(r, 16 * MIB);
        assert_int_equal(((uint8_t *)diskalloc_region_data(r))[16 * MIB - 1], 4);
        store_everywhere_while_the_disk_is_full(p, r);
        diskalloc_region_close(r);
    }
    close(copy);
    close(fd);
}

// ---- File systems ----

static void run_in_a_directory(void (*body)(const struct place *p))
{
    struct place p = {.is_small = false};

    scratch_make_dir(p.at, sizeof p.at);
    body(&p);
    scratch_remove_tree(p.at);
}

static void run_on(const char *type, void (*body)(const struct place *p))
{
    struct test_mount m;
    struct place p = {.is_small = true};

    if (!test_mount(&m, type, DISK_MIB * MIB)) {
        skip();
        return;
    }
    snprintf(p.at, sizeof p.at, "%s", m.at);
    body(&p);
    test_unmount(&m);
}

#define FOR_EACH_PLACE(body)                    \
    static void body##_in_a_directory(void **s) \
    {                                           \
        (void)s;                                \
        run_in_a_directory(body);               \
    }                                           \
    static void body##_on_ext4(void **s)        \
    {                                           \
        (void)s;                                \
        run_on("ext4", body);                   \
    }                                           \
    static void body##_on_xfs(void **s)         \
    {                                           \
        (void)s;                                \
        run_on("xfs", body);                    \
    }
#define EACH_PLACE(body) TEST(body##_in_a_directory), TEST(body##_on_ext4), TEST(body##_on_xfs)

FOR_EACH_PLACE(a_resize_to_the_size_that_it_has_fills_the_holes)
FOR_EACH_PLACE(a_resize_to_less_and_to_more_fills_them_too)
FOR_EACH_PLACE(blocks_behind_the_end_do_not_count)
FOR_EACH_PLACE(many_small_holes_are_filled_and_the_callers_offset_stays)
FOR_EACH_PLACE(a_vector_has_blocks_before_it_stores)
FOR_EACH_PLACE(nothing_is_filled_for_a_reader_or_a_sparse_region)
FOR_EACH_PLACE(discarded_parts_stay_discarded)
FOR_EACH_PLACE(what_another_program_adds_is_filled_too)
FOR_EACH_PLACE(what_does_not_fit_is_refused_and_nothing_changes)
FOR_EACH_PLACE(blocks_that_are_shared_with_a_copy_are_replaced)

// tmpfs can't say where it has holes.  Memory that was allocated counts as used there.
static void a_file_system_that_can_not_list_its_holes_allocates_all(void **state)
{
    int fd = open("/dev/shm", O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
    struct diskalloc_region *r;

    (void)state;
    if (fd < 0) {
        skip();
        return;
    }
    assert_return_code(ftruncate(fd, 4 * MIB), errno);
    r = region_on(fd, 0);
    resize(r, 4 * MIB);
    assert_int_equal(blocks_of(fd), 4 * MIB);
    diskalloc_region_close(r);
    close(fd);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        EACH_PLACE(a_resize_to_the_size_that_it_has_fills_the_holes),
        EACH_PLACE(a_resize_to_less_and_to_more_fills_them_too),
        EACH_PLACE(blocks_behind_the_end_do_not_count),
        EACH_PLACE(many_small_holes_are_filled_and_the_callers_offset_stays),
        EACH_PLACE(a_vector_has_blocks_before_it_stores),
        EACH_PLACE(nothing_is_filled_for_a_reader_or_a_sparse_region),
        EACH_PLACE(discarded_parts_stay_discarded),
        EACH_PLACE(what_another_program_adds_is_filled_too),
        EACH_PLACE(what_does_not_fit_is_refused_and_nothing_changes),
        EACH_PLACE(blocks_that_are_shared_with_a_copy_are_replaced),
        TEST(a_file_system_that_can_not_list_its_holes_allocates_all),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
