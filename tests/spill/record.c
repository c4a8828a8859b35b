// The record of a region on disk: every field comes back, and a damaged record is refused.
#include "tests/lib/harness.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>
#include <zlib.h>

#include "proto/spill/record.h"
#include "proto/util/cleanup.h"

static struct record example(const char *name)
{
    struct record r = {
        .owner_uid = 1000,
        .owner_gid = 4000000000u,
        .mode = 0640,
        .flags = RECORD_SPARSE | RECORD_COMMITTED,
        .created = 0x67400c90,
        .used = UINT64_C(0x0123456789abcdef),
        .element_size = 24,
        .granted = UINT64_C(0x77f6f5f4f3f2f1f0),
        .file_id = UINT64_C(0xfffefdfcfbfaf9f8),
        .name_length = (uint8_t)strlen(name),
    };

    for (uint8_t i = 0; i < 16; i++)
        r.handle.bytes[i] = i;
    strcpy(r.name, name);
    return r;
}

static void assert_same(const struct record *a, const struct record *b)
{
    assert_true(handle_equal(&a->handle, &b->handle));
    assert_int_equal(a->owner_uid, b->owner_uid);
    assert_int_equal(a->owner_gid, b->owner_gid);
    assert_int_equal(a->mode, b->mode);
    assert_int_equal(a->flags, b->flags);
    assert_true(a->granted == b->granted && a->file_id == b->file_id);
    assert_int_equal(a->created, b->created);
    assert_int_equal(a->used, b->used);
    assert_int_equal(a->element_size, b->element_size);
    assert_int_equal(a->expires, b->expires);
    assert_int_equal(a->unused_since, b->unused_since);
    assert_int_equal(a->name_length, b->name_length);
    assert_string_equal(a->name, b->name);
}

static void every_field_comes_back(void **state)
{
    char longest[NAME_MAX_LENGTH + 1] = "";
    const char *names[] = {"", "a", "table.2024-01", longest};
    uint8_t bytes[RECORD_MAX];

    (void)state;
    memset(longest, 'n', NAME_MAX_LENGTH);
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        struct record r = example(names[i]), back;
        size_t n = record_encode(&r, bytes);

        assert_int_equal(record_decode(bytes, n, &back), 0);
        assert_same(&r, &back);
    }
}

static void an_anonymous_record_costs_ext4_no_block(void **state)
{
    struct record r = example("");
    uint8_t bytes[RECORD_MAX];

    (void)state;
    r.flags = UINT32_MAX & ~(uint32_t)(RECORD_COMMITTED | RECORD_EXPIRES); // only regions with a name expire
    assert_int_equal(record_encode(&r, bytes), 60);
}

// The bytes themselves: with a change here, the daemon could not read the records of older ones.
static void the_layout_is_the_one_that_is_on_disks(void **state)
{
    static const uint8_t head[] = {
        'D',  'A',  'r',  '1',  3,    5,    0xa0, 0x01, 0xe8, 0x03, 0,    0,    0x00, 0x28, 0x6b, 0xee, // to the gid
        0,    1,    2,    3,    4,    5,    6,    7,    8,    9,    10,   11,   12,   13,   14,   15,   // handle
        0x90, 0x0c, 0x40, 0x67, 3,    0,    0,    0,    0xf0, 0xf1, 0xf2, 0xf3, 0xf4, 0xf5, 0xf6, 0x77, // to granted
        0xf8, 0xf9, 0xfa, 0xfb, 0xfc, 0xfd, 0xfe, 0xff, 0xef, 0xcd, 0xab, 0x89, 0x67, 0x45, 0x23, 0x01, // file_id, used
        24,   0,    0,    0,    't',  'a',  'b',  'l',  'e',
    };
    struct record r = example("table");
    uint8_t bytes[RECORD_MAX];

    (void)state;
    assert_int_equal(record_encode(&r, bytes), sizeof head + 4);
    assert_memory_equal(bytes, head, sizeof head);
}

// Only a region that expires has a record of version 4: older daemons read all others.
static void an_expiry_makes_a_record_of_version_4(void **state)
{
    static const uint8_t expiry[] = {0x80, 0x3a, 9, 0, 0x90, 0x0c, 0x40, 0x67, 1, 0, 0, 0};
    const uint32_t unused = RECORD_EXPIRES | RECORD_UNUSED;
    uint8_t bytes[RECORD_MAX], plain[RECORD_MAX];
    struct record back;

    (void)state;
    for (int committed = 0; committed < 2; committed++) {
        struct record r = example("table");
        size_t n, n_plain, at = committed ? 68 : 56;

        r.flags = committed ? RECORD_COMMITTED : 0;
        if (!committed)
            r.used = r.element_size = 0;
        n_plain = record_encode(&r, plain);
        assert_int_equal(plain[4], 3);
        r.flags |= unused;
        r.expires = 7 * 86400;
        r.unused_since = 0x167400c90;
        n = record_encode(&r, bytes);
        assert_int_equal(n, n_plain + sizeof expiry);
        assert_int_equal(bytes[4], 4);
        assert_memory_equal(bytes + at, expiry, sizeof expiry);
        assert_memory_equal(bytes + at + sizeof expiry, "table", 5);
        assert_int_equal(record_decode(bytes, n, &back), 0);
        assert_same(&r, &back);
        for (size_t i = 0; i < 8 * n; i++) {
            bytes[i / 8] ^= (uint8_t)(1 << i % 8);
            assert_int_not_equal(record_decode(bytes, n, &back), 0);
            bytes[i / 8] ^= (uint8_t)(1 << i % 8);
        }
    }
}

// With a sum that is right, but a version that does not go with the flags.
static void a_version_that_does_not_fit_the_flags_is_damage(void **state)
{
    struct record r = example("table"), back;
    uint8_t bytes[RECORD_MAX];
    size_t n = record_encode(&r, bytes);
    uint32_t crc;

    (void)state;
    bytes[4] = 4;
    crc = (uint32_t)crc32_z(0, bytes, n - 4);
    for (int i = 0; i < 4; i++)
        bytes[n - 4 + (size_t)i] = (uint8_t)(crc >> 8 * i);
    assert_int_equal(record_decode(bytes, n, &back), -EBADMSG);
    bytes[4] = 3;
    bytes[37] |= RECORD_EXPIRES >> 8;
    crc = (uint32_t)crc32_z(0, bytes, n - 4);
    for (int i = 0; i < 4; i++)
        bytes[n - 4 + (size_t)i] = (uint8_t)(crc >> 8 * i);
    assert_int_equal(record_decode(bytes, n, &back), -EBADMSG);
}

static void every_flipped_bit_and_every_truncation_is_noticed(void **state)
{
    struct record r = example("table"), back;
    uint8_t bytes[RECORD_MAX];
    size_t n = record_encode(&r, bytes);

    (void)state;
    for (size_t i = 0; i < 8 * n; i++) {
        bytes[i / 8] ^= (uint8_t)(1 << i % 8);
        assert_int_not_equal(record_decode(bytes, n, &back), 0);
        bytes[i / 8] ^= (uint8_t)(1 << i % 8);
    }
    for (size_t i = 0; i < n; i++)
        assert_int_equal(record_decode(bytes, i, &back), -EBADMSG);
    bytes[n] = 0;
    assert_int_equal(record_decode(bytes, n + 1, &back), -EBADMSG);
    assert_int_equal(record_decode(bytes, n, &back), 0);
}

static void a_newer_version_is_left_alone_and_no_damage(void **state)
{
    struct record r = example("table"), back;
    uint8_t bytes[RECORD_MAX];
    size_t n = record_encode(&r, bytes);

    (void)state;
    bytes[4] = RECORD_VERSION + 1;
    memset(bytes + 5, 0xee, n - 5);
    assert_int_equal(record_decode(bytes, n, &back), -EPROTONOSUPPORT);
    bytes[4] = 0;
    assert_int_equal(record_decode(bytes, n, &back), -EBADMSG);
}

// A file operation table that has one attribute.
static uint8_t stored[2 * RECORD_MAX];
static ssize_t n_stored;

static ssize_t get_stored(int fd, const char *name, void *ret, size_t size)
{
    (void)fd;
    assert_string_equal(name, RECORD_XATTR);
    if (n_stored > (ssize_t)size)
        return -ERANGE;
    if (n_stored > 0)
        memcpy(ret, stored, (size_t)n_stored);
    return n_stored;
}

static int set_stored(int fd, const char *name, const void *value, size_t size)
{
    (void)fd;
    assert_string_equal(name, RECORD_XATTR);
    memcpy(stored, value, size);
    n_stored = (ssize_t)size;
    return 0;
}

static void a_file_keeps_it_as_an_attribute(void **state)
{
    const struct file_ops ops = {.get_xattr = get_stored, .set_xattr = set_stored};
    struct record r = example("table"), back;

    (void)state;
    n_stored = -ENODATA;
    assert_int_equal(record_load(&ops, -1, &back), -ENODATA);
    n_stored = -EIO;
    assert_int_equal(record_load(&ops, -1, &back), -EIO);
    n_stored = RECORD_MAX + 1;
    assert_int_equal(record_load(&ops, -1, &back), -EBADMSG);
    n_stored = 0;
    assert_int_equal(record_load(&ops, -1, &back), -EBADMSG);
    assert_int_equal(record_store(&ops, -1, &r), 0);
    assert_int_equal(record_load(&ops, -1, &back), 0);
    assert_same(&r, &back);
}

// The bytes that an older daemon has written, with the id of a boot.
static void a_record_of_version_1_tells_no_granted_size(void **state)
{
    static const uint8_t old[76] = {
        'D',  'A',  'r',  '1',  1,    0,    0x80, 0x01, 0xe8, 0x03, 0,    0,    0xe8, 0x03, 0,    0,
        0,    1,    2,    3,    4,    5,    6,    7,    8,    9,    10,   11,   12,   13,   14,   15,
        0x90, 0x0c, 0x40, 0x67, 0,    0,    0,    0,    0x20, 0x03, 0,    0,    0,    0,    0,    0,
        8,    0,    0,    0,    2,    0,    0,    0,    0xf0, 0xf1, 0xf2, 0xf3, 0xf4, 0xf5, 0xf6, 0xf7,
        0xf8, 0xf9, 0xfa, 0xfb, 0xfc, 0xfd, 0xfe, 0xff, 0x85, 0x8c, 0x16, 0x06,
    };
    struct record r;

    (void)state;
    assert_int_equal(record_decode(old, sizeof old, &r), 0);
    assert_true(r.granted == RECORD_UNKNOWN_SIZE && r.file_id == 0);
    assert_int_equal(r.owner_uid, 1000);
    assert_int_equal(r.used, 800);
    assert_int_equal(r.element_size, 8);
}

// The bytes that the daemon before has written.
static void a_record_of_version_2_is_read(void **state)
{
    static const uint8_t old[] = {
        'D',  'A',  'r',  '1',  2,   5,    0xa0, 0x01, 0xe8, 0x03, 0,    0,    0x00, 0x28, 0x6b, 0xee, 0,
        1,    2,    3,    4,    5,   6,    7,    8,    9,    10,   11,   12,   13,   14,   15,   0x90, 0x0c,
        0x40, 0x67, 0,    0,    0,   0,    0xef, 0xcd, 0xab, 0x89, 0x67, 0x45, 0x23, 0x01, 24,   0,    0,
        0,    3,    0,    0,    0,   0xf0, 0xf1, 0xf2, 0xf3, 0xf4, 0xf5, 0xf6, 0x77, 0xf8, 0xf9, 0xfa, 0xfb,
        0xfc, 0xfd, 0xfe, 0xff, 't', 'a',  'b',  'l',  'e',  0x41, 0xf1, 0x1d, 0x4f,
    };
    struct record r = example("table"), back;

    (void)state;
    assert_int_equal(record_decode(old, sizeof old, &back), 0);
    assert_same(&r, &back);
}

// An attribute that does not fit into the inode has a block, which stat(2) counts.
static void the_file_of_an_anonymous_region_has_no_block_on_ext4(void **state)
{
    struct record r = example("");
    int fd = open("/var/tmp", O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
    struct statfs fs;
    struct stat st;

    (void)state;
    if (fd < 0 || fstatfs(fd, &fs) < 0 || fs.f_type != EXT4_SUPER_MAGIC) {
        print_message("skipped: /var/tmp is not on ext4\n");
        cleanup_close(&fd);
        skip();
    }
    r.flags = RECORD_SHARED;
    assert_int_equal(record_store(&file_ops_system, fd, &r), 0);
    assert_return_code(fstat(fd, &st), errno);
    assert_int_equal(st.st_blocks, 0);
    close(fd);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(every_field_comes_back),
        TEST(an_anonymous_record_costs_ext4_no_block),
        TEST(the_layout_is_the_one_that_is_on_disks),
        TEST(an_expiry_makes_a_record_of_version_4),
        TEST(a_version_that_does_not_fit_the_flags_is_damage),
        TEST(every_flipped_bit_and_every_truncation_is_noticed),
        TEST(a_newer_version_is_left_alone_and_no_damage),
        TEST(a_file_keeps_it_as_an_attribute),
        TEST(a_record_of_version_2_is_read),
        TEST(the_file_of_an_anonymous_region_has_no_block_on_ext4),
        TEST(a_record_of_version_1_tells_no_granted_size),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
