// The scan at start makes each file what its record says, whatever was done to the file meanwhile.
#include "daemon/store/store.h"

#include <fcntl.h>
#include <linux/falloc.h>
#include <sys/stat.h>

#include "proto/spill/holes.h"
#include "tests/lib/harness.h"
#include "tests/lib/loop_mount.h"
#include "tests/lib/old_record.h"
#include "tests/lib/scratch.h"

enum { OWNER = 1000 };

static char dir[128];
static bool allocating_fails;

static int maybe_allocate(int fd, int mode, uint64_t offset, uint64_t length)
{
    return allocating_fails ? -ENOSPC : file_ops_system.allocate(fd, mode, offset, length);
}

static struct store *open_store(void)
{
    static struct file_ops ops;
    struct store *s = NULL;
    char *error = NULL;

    ops = file_ops_system;
    ops.allocate = maybe_allocate;
    if (store_open(dir, false, &ops, &s, &error) < 0)
        fail_msg("%s", error);
    return s;
}

static void path_of(const struct record *r, char path[static 300])
{
    char handle[HANDLE_TEXT_LENGTH + 1];

    handle_format(&r->handle, handle);
    snprintf(path, 300, "%s/%d/%s", dir, OWNER, handle);
}

// A region as op_create makes it, full of data.
static int make_region(struct store *s, const char *name, uint64_t size, uint32_t flags, struct record *ret)
{
    uint64_t at = 0;
    int fd;

    *ret = (struct record){.owner_uid = OWNER, .granted = size, .flags = flags, .name_length = (uint8_t)strlen(name)};
    strcpy(ret->name, name);
    assert_int_equal(handle_random(&ret->handle), 0);
    assert_int_equal(store_create(s, OWNER, &fd), 0);
    while (at < size && !(flags & RECORD_SPARSE))
        assert_int_equal(store_extend_piece(s, fd, &at, size), 0);
    assert_int_equal(store_truncate(s, fd, size), 0);
    assert_int_equal(store_link(s, fd, ret), 0);
    return fd;
}

struct found {
    struct store *store;
    unsigned n;
    uint64_t size, discarded;
    uint32_t flags;
    bool lacks_blocks;
};

static int note_region(void *data, struct store_found *region)
{
    struct found *f = data;

    // As the daemon does, on a worker: most files are in use by the test.
    if (region->needs_repair)
        assert_int_equal(store_repair(f->store, region), 0);
    f->n++;
    f->size = region->size;
    f->discarded = region->discarded.sum;
    f->flags = region->record.flags;
    f->lacks_blocks = region->lacks_blocks;
    return 0;
}

static struct found scan(struct store *s)
{
    struct found f = {.store = s};
    struct store_left left;

    assert_int_equal(store_scan(s, note_region, &f, &left), 0);
    assert_int_equal(left.foreign, 0);
    assert_int_equal(f.n, 1);
    return f;
}

static uint64_t hole_bytes(int fd, uint64_t size)
{
    struct ranges holes = {0};
    uint64_t sum;

    assert_int_equal(spillfile_read_holes(fd, size, 4096, &holes), 0);
    sum = holes.sum;
    ranges_deinit(&holes);
    return sum;
}

static uint64_t own_bytes(int fd, uint64_t size)
{
    const struct ranges none = {0};
    uint64_t lacking;

    assert_int_equal(holes_count(fd, 0, size, &none, &lacking), 0);
    return size - lacking;
}

// The file has SIZE bytes, blocks for all of them but DISCARDED, and none behind.
static void expect_file(int fd, uint64_t size, uint64_t discarded)
{
    struct stat st;

    assert_int_equal(fsync(fd), 0);
    assert_int_equal(fstat(fd, &st), 0);
    assert_int_equal(st.st_size, size);
    assert_int_equal(hole_bytes(fd, size), discarded);
    assert_true((uint64_t)st.st_blocks * 512 <= size - discarded + 64 * KIB);
}

static void a_size_that_a_client_made_up_is_not_believed(void **state)
{
    static const uint64_t sizes[] = {15 * TIB, 2 * MIB, MIB + 1, MIB - 1, 4096, 0};

    (void)state;
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++)
        for (unsigned kind = 0; kind < 3; kind++) {
            static const uint32_t flags[] = {0, RECORD_SPARSE, RECORD_HAS_HOLES};
            struct store *s = open_store();
            struct record r;
            int fd = make_region(s, "table", MIB, flags[kind], &r);
            struct stat st;

            assert_return_code(ftruncate(fd, (off_t)sizes[i]), errno);
            for (int again = 0; again < 2; again++) {
                struct found f = scan(s);

                assert_int_equal(f.size, MIB);
                assert_false(f.lacks_blocks);
                assert_int_equal(fstat(fd, &st), 0);
                assert_int_equal(st.st_size, MIB);
                assert_int_equal(f.discarded, 0);
                if (flags[kind] != RECORD_SPARSE)
                    expect_file(fd, MIB, 0);
            }
            close(fd);
            assert_int_equal(store_unlink(s, OWNER, &r.handle), 0);
            store_close(s);
        }
}

static void blocks_that_nobody_is_charged_for_are_dropped(void **state)
{
    static const int modes[] = {FALLOC_FL_KEEP_SIZE, 0};

    (void)state;
    for (int m = 0; m < 2; m++)
        for (int discards = 0; discards < 2; discards++) {
            struct store *s = open_store();
            struct record r;
            int fd = make_region(s, "table", 8 * MIB, discards ? RECORD_HAS_HOLES : 0, &r);
            struct found f;

            // A grow of 4 MiB that was killed half way: less than what is discarded.
            if (discards)
                assert_int_equal(store_punch(s, fd, MIB, 6 * MIB), 0);
            assert_int_equal(file_ops_system.allocate(fd, modes[m], 8 * MIB, 4 * MIB), 0);
            f = scan(s);
            assert_int_equal(f.size, 8 * MIB);
            assert_int_equal(f.discarded, discards ? 6 * MIB : 0);
            expect_file(fd, 8 * MIB, discards ? 6 * MIB : 0);
            close(fd);
            assert_int_equal(store_unlink(s, OWNER, &r.handle), 0);
            store_close(s);
        }
}

static void shell(const char *format, ...)
{
    char command[1024];
    va_list args;

    va_start(args, format);
    vsnprintf(command, sizeof command, format, args);
    va_end(args);
    assert_int_equal(system(command), 0);
}

// Puts a copy with holes of all zeros in the place of the file, as rsync -S, tar -S and cp --sparse make it.
static int replace_by_sparse_copy(const struct record *r, int fd)
{
    char path[300];

    close(fd);
    path_of(r, path);
    shell("cp --preserve=all --sparse=always %s %s.copy && mv %s.copy %s", path, path, path, path);
    return open(path, O_RDWR | O_CLOEXEC);
}

static void a_sparse_copy_gets_its_blocks_back(void **state)
{
    (void)state;
    for (int discards = 0; discards < 2; discards++) {
        struct store *s = open_store();
        struct record r;
        int fd = make_region(s, "table", 8 * MIB, discards ? RECORD_HAS_HOLES : 0, &r);
        struct found f;

        assert_int_equal(pwrite(fd, "data", 4, 3 * MIB), 4);
        if (discards)
            assert_int_equal(store_punch(s, fd, 5 * MIB, MIB), 0);
        fd = replace_by_sparse_copy(&r, fd);
        assert_true(hole_bytes(fd, 8 * MIB) > 7 * MIB);
        f = scan(s);
        assert_int_equal(f.size, 8 * MIB);
        // The copy does not tell zeros from discarded parts: all is granted, and so it stays.
        assert_int_equal(f.discarded, 0);
        assert_false(f.flags & RECORD_HAS_HOLES);
        expect_file(fd, 8 * MIB, 0);
        f = scan(s);
        assert_int_equal(f.discarded, 0);
        close(fd);
        assert_int_equal(store_unlink(s, OWNER, &r.handle), 0);
        store_close(s);
    }
}

// cp(1) does so by itself where it can.  The next store to such a block needs a new one.
static void a_copy_that_shares_its_blocks_gets_its_own(void **state)
{
    struct test_mount m;
    char old[sizeof dir];
    struct record r;
    struct store *s;
    int fd;

    (void)state;
    if (!test_mount(&m, "xfs", 512 << 20))
        skip();
    strcpy(old, dir);
    snprintf(dir, sizeof dir, "%.100s/spill", m.at);
    assert_return_code(mkdir(dir, 0700), errno);
    s = open_store();
    fd = make_region(s, "table", 8 * MIB, 0, &r);
    for (uint64_t at = 0; at < 8 * MIB; at += 4096)
        assert_int_equal(pwrite(fd, "data", 4, (off_t)at), 4);
    fsync(fd);
    close(fd);
    {
        char path[300];

        path_of(&r, path);
        shell("cp --preserve=all --reflink=always %s %s/original && cp --preserve=all --reflink=always %s %s.copy && "
              "mv %s.copy %s",
              path, m.at, path, path, path, path);
        fd = open(path, O_RDWR | O_CLOEXEC);
    }
    assert_int_equal(own_bytes(fd, 8 * MIB), 0);
    assert_false(scan(s).lacks_blocks);
    assert_int_equal(own_bytes(fd, 8 * MIB), 8 * MIB);
    close(fd);
    store_close(s);
    test_unmount(&m);
    strcpy(dir, old);
}

static void a_copy_that_hides_its_holes_behind_its_end_is_found(void **state)
{
    struct store *s = open_store();
    struct record r;
    int fd = make_region(s, "table", 8 * MIB, 0, &r);

    (void)state;
    fd = replace_by_sparse_copy(&r, fd);
    assert_int_equal(file_ops_system.allocate(fd, FALLOC_FL_KEEP_SIZE, 8 * MIB, 8 * MIB), 0); // xfs does so by itself
    assert_false(scan(s).lacks_blocks);
    expect_file(fd, 8 * MIB, 0);
    close(fd);
    store_close(s);
}

static void a_copy_for_which_the_disk_has_no_room_is_reported_until_it_has(void **state)
{
    struct store *s = open_store();
    struct record r;
    int fd = make_region(s, "table", 8 * MIB, 0, &r);
    struct found f;

    (void)state;
    fd = replace_by_sparse_copy(&r, fd);
    allocating_fails = true;
    for (int i = 0; i < 2; i++) {
        f = scan(s);
        assert_true(f.lacks_blocks);
        assert_int_equal(f.size, 8 * MIB);
    }
    allocating_fails = false;
    assert_false(scan(s).lacks_blocks);
    expect_file(fd, 8 * MIB, 0);
    close(fd);
    store_close(s);
}

static void an_anonymous_copy_that_nobody_maps_is_not_filled_before_it_is_removed(void **state)
{
    struct store *s = open_store();
    struct record r;
    int fd = make_region(s, "", 8 * MIB, 0, &r);

    (void)state;
    close(replace_by_sparse_copy(&r, fd));
    assert_int_equal(scan(s).size, 8 * MIB);
    fd = store_open_file(s, OWNER, &r.handle, O_RDONLY);
    assert_int_equal(hole_bytes(fd, 8 * MIB), 8 * MIB);
    close(fd);
    store_close(s);
}

static void the_size_of_an_older_daemon_is_taken_over_once(void **state)
{
    struct store *s = open_store();
    struct record r;
    int fd = make_region(s, "table", MIB, 0, &r);

    (void)state;
    old_record_write(fd, &r);
    assert_int_equal(scan(s).size, MIB);
    assert_return_code(ftruncate(fd, 2 * MIB), errno); // from now on the size is known
    assert_int_equal(scan(s).size, MIB);
    // A size that no disk has was not granted by an older daemon either.
    old_record_write(fd, &r);
    assert_return_code(ftruncate(fd, 15 * TIB), errno);
    assert_int_equal(scan(s).size, MIB);
    expect_file(fd, MIB, 0);
    close(fd);
    store_close(s);
}

static int make_dir(void **state)
{
    snprintf(dir, sizeof dir, "%s/test-repair.XXXXXX", test_base_dir());
    allocating_fails = false;
    return mkdtemp(dir) ? test_setup(state) : -1;
}

static int remove_dir(void **state)
{
    scratch_remove_tree(dir);
    return test_teardown(state);
}

#define IN_DIR(f) cmocka_unit_test_setup_teardown(f, make_dir, remove_dir)

int main(void)
{
    const struct CMUnitTest tests[] = {
        IN_DIR(a_size_that_a_client_made_up_is_not_believed),
        IN_DIR(blocks_that_nobody_is_charged_for_are_dropped),
        IN_DIR(a_sparse_copy_gets_its_blocks_back),
        IN_DIR(a_copy_that_shares_its_blocks_gets_its_own),
        IN_DIR(a_copy_that_hides_its_holes_behind_its_end_is_found),
        IN_DIR(a_copy_for_which_the_disk_has_no_room_is_reported_until_it_has),
        IN_DIR(an_anonymous_copy_that_nobody_maps_is_not_filled_before_it_is_removed),
        IN_DIR(the_size_of_an_older_daemon_is_taken_over_once),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
