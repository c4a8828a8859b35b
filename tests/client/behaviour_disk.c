// Real file systems that are really full: growing is refused without a signal, and granted bytes can be stored to.
#include "tests/lib/loop_mount.h"
#include "tests/lib/test_backend.h"
#include "tests/lib/test_daemon.h"

#include <fcntl.h>
#include <sys/mman.h>

DISKALLOC_VEC_DEFINE(u64s, uint64_t)

enum { DISK_MIB = 320 };

static const char config[] = "[daemon]\nkeep_free = 0\n[quota total]\nbytes = unlimited\n"
                             "[quota default]\nbytes = unlimited\n";

static void run_on(const char *type, bool remote, void (*body)(struct test_backend *b, const char *at))
{
    struct test_mount m;
    struct test_backend b;

    if (!test_mount(&m, type, DISK_MIB * MIB)) {
        skip();
        return;
    }
    backend_start(&b, remote, config, m.at);
    body(&b, m.at);
    backend_stop(&b);
    test_unmount(&m);
}

// Six tests of BODY: three file systems, with a daemon and without.
#define CASE(body, type, how, remote)              \
    static void body##_on_##type##_##how(void **s) \
    {                                              \
        (void)s;                                   \
        run_on(#type, remote, body);               \
    }
#define FOR_EACH_DISK(body)                \
    CASE(body, ext4, with_a_daemon, true)  \
    CASE(body, ext4, embedded, false)      \
    CASE(body, xfs, with_a_daemon, true)   \
    CASE(body, xfs, embedded, false)       \
    CASE(body, btrfs, with_a_daemon, true) \
    CASE(body, btrfs, embedded, false)
#define EACH_DISK(body)                                                                                   \
    TEST(body##_on_ext4_with_a_daemon), TEST(body##_on_ext4_embedded), TEST(body##_on_xfs_with_a_daemon), \
        TEST(body##_on_xfs_embedded), TEST(body##_on_btrfs_with_a_daemon), TEST(body##_on_btrfs_embedded)

// Somebody else takes all that is left, to the last block: most of it without writing, for a full btrfs looks hard
// before it refuses a write.
static void fill_from_outside(const char *at, char *ret_path, size_t size)
{
    static char junk[MIB];
    off_t end = 0;
    int fd;

    memset(junk, 'j', sizeof(junk));
    snprintf(ret_path, size, "%s/outside", at);
    fd = open(ret_path, O_WRONLY | O_CREAT | O_EXCL | O_APPEND | O_CLOEXEC, 0600);
    assert_return_code(fd, errno);
    for (off_t piece = 64 * MIB; piece >= 4096; piece /= 2)
        while (fallocate(fd, 0, end, piece) == 0)
            end += piece;
    for (int round = 0; round < 2; round++) {
        for (size_t piece = sizeof(junk); piece >= 512; piece /= 16)
            while (write(fd, junk, piece) > 0)
                ;
        assert_int_equal(errno, ENOSPC);
        (void)!fsync(fd);
    }
    close(fd);
}

static void resize(struct diskalloc_region *r, uint64_t size)
{
    int code = diskalloc_region_resize(r, size);

    if (code != 0)
        print_error("%s\n", diskalloc_last_error());
    assert_int_equal(code, 0);
}

static void store_everywhere(struct diskalloc_region *r, int value)
{
    memset(diskalloc_region_data(r), value, diskalloc_region_size(r));
    assert_int_equal(diskalloc_region_sync(r), 0);
}

static void check_everywhere(struct diskalloc_region *r, uint8_t value)
{
    const uint8_t *data = diskalloc_region_data(r);

    for (uint64_t i = 0; i < diskalloc_region_size(r); i++)
        if (data[i] != value)
            fail_msg("byte %llu is %d, not %d", (unsigned long long)i, data[i], value);
}

static void a_full_disk_refuses_and_changes_nothing(struct test_backend *b, const char *at)
{
    struct diskalloc_region *r = make_region(b->da, 20 * MIB);
    struct diskalloc_region *none = NULL;
    struct diskalloc_region_options o = DISKALLOC_REGION_OPTIONS_INIT;
    struct diskalloc_error_info info;

    (void)at;
    store_everywhere(r, 0x21);
    for (int again = 0; again < 3; again++) {
        info = EXPECT_FAILURE(-ENOSPC, "diskalloc_region_resize",
                              diskalloc_region_resize(r, DISK_MIB * MIB + GIB * (uint64_t)again));
        assert_int_equal(info.asked, DISK_MIB * MIB + GIB * (uint64_t)again - 20 * MIB);
        assert_string_equal(info.handle, diskalloc_region_handle(r));
        assert_int_equal(diskalloc_region_size(r), 20 * MIB);
        assert_int_equal(file_size(r), 20 * MIB);
        if (b->remote)
            assert_int_equal(usage_of(b->da).bytes, 20 * MIB);
    }
    o.size = DISK_MIB * MIB;
    EXPECT_FAILURE(-ENOSPC, "diskalloc_region_create", diskalloc_region_create(b->da, &o, &none));
    assert_null(none);
    check_everywhere(r, 0x21);
    // The blocks that the failed attempts took are back.
    resize(r, 150 * MIB);
    store_everywhere(r, 0x22);
    resize(r, MIB);
    check_everywhere(r, 0x22);
    resize(r, 150 * MIB);
    store_everywhere(r, 0x23);
    diskalloc_region_close(r);
}
FOR_EACH_DISK(a_full_disk_refuses_and_changes_nothing)

static void granted_bytes_can_be_stored_to_on_a_full_disk(struct test_backend *b, const char *at)
{
    struct diskalloc_region *touched = make_region(b->da, 4 * MIB), *fresh = make_region(b->da, 4 * MIB + 1234);
    char outside[200];

    store_everywhere(touched, 0x31);
    fill_from_outside(at, outside, sizeof(outside));
    EXPECT_FAILURE(-ENOSPC, "diskalloc_region_resize", diskalloc_region_resize(fresh, 60 * MIB));
    // The first store, and a store to pages that were written back already.
    store_everywhere(fresh, 0x32);
    store_everywhere(touched, 0x33);
    store_everywhere(fresh, 0x34);
    check_everywhere(touched, 0x33);
    check_everywhere(fresh, 0x34);
    EXPECT_FAILURE(-ENOSPC, "diskalloc_region_resize", diskalloc_region_resize(touched, 60 * MIB));
    check_everywhere(touched, 0x33);
    // Giving back works on a full disk, and makes room.
    resize(touched, MIB);
    resize(fresh, 2 * MIB);
    check_everywhere(touched, 0x33);
    check_everywhere(fresh, 0x34);
    diskalloc_region_close(touched);
    diskalloc_region_close(fresh);
    assert_return_code(unlink(outside), errno);
}
FOR_EACH_DISK(granted_bytes_can_be_stored_to_on_a_full_disk)

static void a_vector_grows_until_the_disk_is_full_and_loses_nothing(struct test_backend *b, const char *at)
{
    struct u64s v = {0};
    uint64_t i = 0;
    int code;

    (void)at;
    assert_int_equal(u64s_init(&v, b->da), 0);
    while ((code = u64s_push(&v, i * 3)) == 0)
        i++;
    EXPECT_FAILURE(-ENOSPC, "u64s_push", code);
    assert_int_equal(v.len, i);
    assert_true(i * sizeof(uint64_t) > DISK_MIB / 2 * MIB); // near the limit it takes what is left
    for (i = 0; i < v.len; i++)
        if (v.data[i] != i * 3)
            fail_msg("element %llu", (unsigned long long)i);
    assert_int_equal(u64s_truncate(&v, 1000), 0);
    assert_int_equal(u64s_shrink_to_fit(&v), 0);
    for (i = 1000; i < MIB; i++)
        assert_int_equal(u64s_push(&v, i * 3), 0);
    for (i = 0; i < v.len; i++)
        if (v.data[i] != i * 3)
            fail_msg("element %llu", (unsigned long long)i);
    u64s_deinit(&v);
}
FOR_EACH_DISK(a_vector_grows_until_the_disk_is_full_and_loses_nothing)

static void other_files_of_a_spill_file_system_are_left_alone(struct test_backend *b, const char *at)
{
    char path[200], text[8] = "";
    struct diskalloc_region *r;
    int fd;

    snprintf(path, sizeof(path), "%s/notes.txt", at);
    fd = open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    assert_return_code(fd, errno);
    assert_int_equal(write(fd, "precious", 8), 8);
    r = make_region(b->da, 1000);
    if (b->remote) {
        test_daemon_kill(&b->daemon, 9);
        test_daemon_restart(&b->daemon);
    }
    assert_int_equal(diskalloc_region_resize(r, 10000), 0);
    diskalloc_region_close(r);
    assert_int_equal(pread(fd, text, 8, 0), 8);
    assert_memory_equal(text, "precious", 8);
    close(fd);
    assert_return_code(unlink(path), errno);
}
CASE(other_files_of_a_spill_file_system_are_left_alone, ext4, with_a_daemon, true)
CASE(other_files_of_a_spill_file_system_are_left_alone, ext4, embedded, false)

int main(void)
{
    const struct CMUnitTest tests[] = {
        EACH_DISK(a_full_disk_refuses_and_changes_nothing),
        EACH_DISK(granted_bytes_can_be_stored_to_on_a_full_disk),
        EACH_DISK(a_vector_grows_until_the_disk_is_full_and_loses_nothing),
        TEST(other_files_of_a_spill_file_system_are_left_alone_on_ext4_with_a_daemon),
        TEST(other_files_of_a_spill_file_system_are_left_alone_on_ext4_embedded),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
