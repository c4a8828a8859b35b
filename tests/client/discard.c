// Giving parts of a region back, and restoring them.
#include "tests/lib/region_bytes.h"
#include "tests/lib/scratch.h"
#include "tests/lib/test_backend.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/mman.h>

enum { BLOCK = 4096 };

static uint64_t blocks_of(struct diskalloc_region *r)
{
    struct stat st;

    assert_return_code(fstat(diskalloc_region_fd(r), &st), errno);
    return (uint64_t)st.st_blocks * 512;
}

static void what_is_discarded_is_inaccessible_and_given_back_until_it_is_restored(struct test_backend *b)
{
    struct diskalloc_region *r = make_region(b->da, 64 * BLOCK);
    uint64_t all = usage_of(b->da).bytes, blocks = blocks_of(r);

    memset(diskalloc_region_data(r), 7, 64 * BLOCK);
    assert_int_equal(diskalloc_region_discard(r, 8 * BLOCK, 16 * BLOCK), 0);
    assert_int_equal(diskalloc_region_size(r), 64 * BLOCK);
    if (b->remote)
        assert_int_equal(usage_of(b->da).bytes, all - 16 * BLOCK);
    assert_true(blocks_of(r) <= blocks - 8 * BLOCK); // less what the file system needs to tell it
    assert_true(can_store(r, 8 * BLOCK - 1));
    assert_false(can_store(r, 8 * BLOCK));
    assert_false(can_store(r, 24 * BLOCK - 1));
    assert_true(can_store(r, 24 * BLOCK));
    assert_int_equal(diskalloc_region_discard(r, 8 * BLOCK, 16 * BLOCK), 0);
    assert_int_equal(diskalloc_region_restore(r, 10 * BLOCK, 2 * BLOCK), 0);
    expect_bytes(r, 10 * BLOCK, 12 * BLOCK, 0);
    memset((char *)diskalloc_region_data(r) + 10 * BLOCK, 8, 2 * BLOCK);
    assert_false(can_store(r, 10 * BLOCK - 1));
    assert_false(can_store(r, 12 * BLOCK));
    assert_int_equal(diskalloc_region_restore(r, 0, 64 * BLOCK), 0);
    if (b->remote)
        assert_int_equal(usage_of(b->da).bytes, all);
    assert_true(blocks_of(r) >= blocks);
    expect_bytes(r, 0, 8 * BLOCK, 7);
    expect_bytes(r, 8 * BLOCK, 10 * BLOCK, 0);
    expect_bytes(r, 10 * BLOCK, 12 * BLOCK, 8);
    expect_bytes(r, 12 * BLOCK, 24 * BLOCK, 0);
    expect_bytes(r, 24 * BLOCK, 64 * BLOCK, 7);
    diskalloc_region_close(r);
}
FOR_EACH_BACKEND(what_is_discarded_is_inaccessible_and_given_back_until_it_is_restored)

static void discarding_rounds_inward_and_restoring_outward(struct test_backend *b)
{
    struct diskalloc_region *r = make_region(b->da, 10 * BLOCK + 100);

    memset(diskalloc_region_data(r), 7, 10 * BLOCK + 100);
    assert_int_equal(diskalloc_region_discard(r, 1, BLOCK - 1), 0);
    assert_int_equal(diskalloc_region_discard(r, 1, 2 * BLOCK - 2), 0);
    assert_int_equal(diskalloc_region_discard(r, 5, 0), 0);
    expect_bytes(r, 0, 10 * BLOCK + 100, 7);
    assert_int_equal(diskalloc_region_discard(r, 1, 3 * BLOCK), 0); // blocks 1 and 2
    expect_bytes(r, 0, BLOCK, 7);
    expect_bytes(r, 3 * BLOCK, 10 * BLOCK + 100, 7);
    assert_false(can_store(r, BLOCK));
    assert_false(can_store(r, 3 * BLOCK - 1));
    assert_int_equal(diskalloc_region_restore(r, 2 * BLOCK - 1, 0), 0);
    assert_false(can_store(r, 2 * BLOCK - 1));
    assert_int_equal(diskalloc_region_restore(r, 2 * BLOCK - 1, 2), 0);
    expect_bytes(r, BLOCK, 3 * BLOCK, 0);
    // up to an end that is no whole block
    assert_int_equal(diskalloc_region_discard(r, 9 * BLOCK, BLOCK + 100), 0);
    assert_false(can_store(r, 9 * BLOCK));
    expect_bytes(r, 10 * BLOCK, 10 * BLOCK + 100, 7);
    assert_int_equal(diskalloc_region_restore(r, 0, 10 * BLOCK + 100), 0);
    expect_bytes(r, 9 * BLOCK, 10 * BLOCK, 0);
    expect_bytes(r, 10 * BLOCK, 10 * BLOCK + 100, 7);
    diskalloc_region_close(r);
}
FOR_EACH_BACKEND(discarding_rounds_inward_and_restoring_outward)

static void a_region_that_is_resized_keeps_what_is_discarded_of_it(struct test_backend *b)
{
    struct diskalloc_region *r = make_region(b->da, 16 * BLOCK);

    memset(diskalloc_region_data(r), 7, 16 * BLOCK);
    assert_int_equal(diskalloc_region_discard(r, 4 * BLOCK, 8 * BLOCK), 0);
    assert_int_equal(diskalloc_region_resize(r, 32 * BLOCK), 0);
    assert_false(can_store(r, 4 * BLOCK));
    assert_true(can_store(r, 32 * BLOCK - 1));
    assert_int_equal(diskalloc_region_resize(r, 8 * BLOCK), 0);
    assert_false(can_store(r, 8 * BLOCK - 1));
    assert_int_equal(diskalloc_region_resize(r, 16 * BLOCK), 0);
    assert_false(can_store(r, 8 * BLOCK - 1));
    expect_bytes(r, 8 * BLOCK, 16 * BLOCK, 0);
    // an end within a block that was discarded
    assert_int_equal(diskalloc_region_resize(r, 6 * BLOCK + 1), 0);
    assert_false(can_store(r, 6 * BLOCK - 1));
    expect_bytes(r, 6 * BLOCK, 6 * BLOCK + 1, 0);
    assert_int_equal(diskalloc_region_resize(r, 16 * BLOCK), 0);
    memset((char *)diskalloc_region_data(r) + 6 * BLOCK, 8, 10 * BLOCK);
    assert_int_equal(diskalloc_region_restore(r, 0, 16 * BLOCK), 0);
    expect_bytes(r, 0, 4 * BLOCK, 7);
    expect_bytes(r, 4 * BLOCK, 6 * BLOCK, 0);
    expect_bytes(r, 6 * BLOCK, 16 * BLOCK, 8);
    diskalloc_region_close(r);
}
FOR_EACH_BACKEND(a_region_that_is_resized_keeps_what_is_discarded_of_it)

static void wrong_ranges_and_wrong_regions_are_refused(struct test_backend *b)
{
    struct diskalloc_region_options o = DISKALLOC_REGION_OPTIONS_INIT;
    struct diskalloc_region *r = NULL;

    assert_int_equal(open_named(b->da, "it", 4 * BLOCK, DISKALLOC_REGION_CREATE, &r), 0);
    memset(diskalloc_region_data(r), 7, 4 * BLOCK);
    EXPECT_FAILURE(-EINVAL, "diskalloc_region_discard", diskalloc_region_discard(r, 0, 4 * BLOCK + 1));
    EXPECT_FAILURE(-EINVAL, "diskalloc_region_discard", diskalloc_region_discard(r, 1, UINT64_MAX));
    EXPECT_FAILURE(-EINVAL, "diskalloc_region_restore", diskalloc_region_restore(r, 5 * BLOCK, 0));
    EXPECT_FAILURE(-EINVAL, "diskalloc_region_advise", diskalloc_region_advise(r, 0, 5 * BLOCK, 0));
    EXPECT_FAILURE(-EINVAL, "diskalloc_region_advise", diskalloc_region_advise(r, 0, BLOCK, 5));
    EXPECT_FAILURE(-EINVAL, "diskalloc_region_advise", diskalloc_region_advise(r, 0, BLOCK, -1));
    EXPECT_FAILURE(-EINVAL, "diskalloc_region_discard", diskalloc_region_discard(NULL, 0, 0));
    EXPECT_FAILURE(-EINVAL, "diskalloc_region_restore", diskalloc_region_restore(NULL, 0, 0));
    EXPECT_FAILURE(-EINVAL, "diskalloc_region_advise", diskalloc_region_advise(NULL, 0, 0, 0));
    expect_bytes(r, 0, 4 * BLOCK, 7);
    diskalloc_region_close(r);
    assert_int_equal(open_named(b->da, "it", 0, DISKALLOC_REGION_READ_ONLY, &r), 0);
    EXPECT_FAILURE(-EROFS, "diskalloc_region_discard", diskalloc_region_discard(r, 0, BLOCK));
    EXPECT_FAILURE(-EROFS, "diskalloc_region_restore", diskalloc_region_restore(r, 0, BLOCK));
    assert_int_equal(diskalloc_region_advise(r, 0, BLOCK, DISKALLOC_ADVICE_RANDOM), 0);
    expect_bytes(r, 0, 4 * BLOCK, 7);
    diskalloc_region_close(r);
    assert_int_equal(diskalloc_region_unlink(b->da, "it"), 0);
    o.size = 4 * BLOCK;
    o.flags = DISKALLOC_REGION_SPARSE;
    assert_int_equal(diskalloc_region_create(b->da, &o, &r), 0);
    EXPECT_FAILURE(-EOPNOTSUPP, "diskalloc_region_discard", diskalloc_region_discard(r, 0, BLOCK));
    EXPECT_FAILURE(-EOPNOTSUPP, "diskalloc_region_restore", diskalloc_region_restore(r, 0, BLOCK));
    diskalloc_region_close(r);
}
FOR_EACH_BACKEND(wrong_ranges_and_wrong_regions_are_refused)

static void others_that_are_attached_forbid_it_and_lose_nothing(struct test_backend *b)
{
    struct diskalloc_region *r = NULL, *same = NULL, *theirs = NULL;
    struct diskalloc *other = NULL;

    assert_int_equal(diskalloc_open(b->address, NULL, &other), 0);
    assert_int_equal(open_named(b->da, "it", 4 * BLOCK, DISKALLOC_REGION_CREATE, &r), 0);
    memset(diskalloc_region_data(r), 7, 4 * BLOCK);
    assert_int_equal(open_named(other, "it", 0, 0, &theirs), 0);
    EXPECT_FAILURE(-EBUSY, "diskalloc_region_discard", diskalloc_region_discard(r, 0, 4 * BLOCK));
    expect_bytes(r, 0, 4 * BLOCK, 7);
    ((char *)diskalloc_region_data(r))[0] = 7;
    diskalloc_region_close(theirs);
    assert_int_equal(open_named(b->da, "it", 0, 0, &same), 0);
    EXPECT_FAILURE(-EBUSY, "diskalloc_region_discard", diskalloc_region_discard(r, 0, 4 * BLOCK));
    expect_bytes(r, 0, 4 * BLOCK, 7);
    diskalloc_region_close(same);
    assert_int_equal(diskalloc_region_discard(r, 0, 2 * BLOCK), 0);
    // A later user finds the part discarded, and one user may restore it for all.
    assert_int_equal(open_named(other, "it", 0, 0, &theirs), 0);
    assert_false(can_store(theirs, BLOCK));
    expect_bytes(theirs, 2 * BLOCK, 4 * BLOCK, 7);
    assert_int_equal(diskalloc_region_restore(theirs, 0, BLOCK), 0);
    memset(diskalloc_region_data(theirs), 9, BLOCK);
    assert_int_equal(diskalloc_region_refresh(r), 1);
    assert_int_equal(diskalloc_region_refresh(r), 0);
    expect_bytes(r, 0, BLOCK, 9);
    assert_false(can_store(r, BLOCK));
    assert_int_equal(diskalloc_region_restore(r, 0, 4 * BLOCK), 0);
    expect_bytes(r, 0, BLOCK, 9);
    expect_bytes(r, BLOCK, 2 * BLOCK, 0);
    diskalloc_region_close(theirs);
    diskalloc_region_close(r);
    assert_int_equal(diskalloc_region_unlink(b->da, "it"), 0);
    diskalloc_close(other);
}
FOR_EACH_BACKEND(others_that_are_attached_forbid_it_and_lose_nothing)

static void what_is_discarded_is_found_again(struct test_backend *b)
{
    struct diskalloc_region *r = NULL;

    assert_int_equal(open_named(b->da, "it", 20 * BLOCK, DISKALLOC_REGION_CREATE, &r), 0);
    memset(diskalloc_region_data(r), 7, 10 * BLOCK); // the rest was never written to
    assert_int_equal(diskalloc_region_discard(r, 0, BLOCK), 0);
    assert_int_equal(diskalloc_region_discard(r, 4 * BLOCK, 2 * BLOCK), 0);
    assert_int_equal(diskalloc_region_discard(r, 19 * BLOCK, BLOCK), 0);
    diskalloc_region_close(r);
    if (b->remote) {
        test_daemon_kill(&b->daemon, SIGKILL);
        test_daemon_restart(&b->daemon);
    }
    assert_int_equal(open_named(b->da, "it", 0, 0, &r), 0);
    for (uint64_t i = 0; i < 20; i++)
        assert_int_equal(can_store(r, i * BLOCK), i != 0 && i != 4 && i != 5 && i != 19);
    expect_bytes(r, BLOCK, 4 * BLOCK, 7);
    expect_bytes(r, 6 * BLOCK, 10 * BLOCK, 7);
    expect_bytes(r, 10 * BLOCK, 19 * BLOCK, 0);
    assert_int_equal(diskalloc_region_restore(r, 0, 20 * BLOCK), 0);
    expect_bytes(r, 4 * BLOCK, 6 * BLOCK, 0);
    diskalloc_region_close(r);
    assert_int_equal(diskalloc_region_unlink(b->da, "it"), 0);
}
FOR_EACH_BACKEND(what_is_discarded_is_found_again)

// With large pages in the page cache, a byte next to a hole fills it.
static void what_is_stored_next_to_a_hole_does_not_fill_it(struct test_backend *b)
{
    struct diskalloc_region *r = NULL;
    char *p;

    assert_int_equal(open_named(b->da, "it", 8 * MIB, DISKALLOC_REGION_CREATE, &r), 0);
    memset(diskalloc_region_data(r), 7, 8 * MIB);
    assert_int_equal(diskalloc_region_discard(r, MIB, BLOCK), 0);
    assert_int_equal(diskalloc_region_discard(r, 3 * MIB, 2 * MIB), 0);
    for (int i = 0; i < 2; i++) {
        p = diskalloc_region_data(r);
        p[MIB - 1] = p[MIB + BLOCK] = p[3 * MIB - 1] = p[5 * MIB] = (char)i;
        assert_int_equal(diskalloc_region_sync(r), 0);
        p[MIB - 1] = p[MIB + BLOCK] = p[3 * MIB - 1] = p[5 * MIB] = 7;
        assert_int_equal(diskalloc_region_advise(r, 0, 8 * MIB, DISKALLOC_ADVICE_SEQUENTIAL), 0);
        assert_int_equal(diskalloc_region_sync(r), 0);
        assert_true(blocks_of(r) <= 6 * MIB + 64 * KIB);
        diskalloc_region_close(r);
        assert_int_equal(open_named(b->da, "it", 0, 0, &r), 0);
        assert_false(can_store(r, MIB));
        assert_false(can_store(r, 3 * MIB));
        assert_false(can_store(r, 5 * MIB - 1));
    }
    expect_bytes(r, 0, MIB, 7);
    expect_bytes(r, MIB + BLOCK, 3 * MIB, 7);
    expect_bytes(r, 5 * MIB, 8 * MIB, 7);
    assert_int_equal(diskalloc_region_restore(r, 0, 8 * MIB), 0);
    memset(diskalloc_region_data(r), 8, 8 * MIB);
    diskalloc_region_close(r);
    assert_int_equal(diskalloc_region_unlink(b->da, "it"), 0);
}
FOR_EACH_BACKEND(what_is_stored_next_to_a_hole_does_not_fill_it)

static void more_than_4096_pieces_are_refused(struct test_backend *b)
{
    struct diskalloc_region *r = make_region(b->da, 8196 * BLOCK);
    struct diskalloc_error_info info;

    for (uint64_t i = 0; i < 4096; i++)
        assert_int_equal(diskalloc_region_discard(r, 2 * i * BLOCK, BLOCK), 0);
    info = EXPECT_FAILURE(-EMFILE, "diskalloc_region_discard", diskalloc_region_discard(r, 8194 * BLOCK, BLOCK));
    assert_string_equal(info.limit_name, "discarded ranges");
    assert_int_equal(info.limit, 4096);
    assert_int_equal(info.used, 4096);
    assert_true(can_store(r, 8194 * BLOCK));
    assert_int_equal(diskalloc_region_discard(r, 0, 10 * BLOCK), 0); // fewer
    assert_int_equal(diskalloc_region_discard(r, 8194 * BLOCK, BLOCK), 0);
    assert_int_equal(diskalloc_region_resize(r, BLOCK), 0);
    assert_int_equal(diskalloc_region_restore(r, 0, BLOCK), 0);
    diskalloc_region_close(r);
}
FOR_EACH_BACKEND(more_than_4096_pieces_are_refused)

static void a_callers_file_is_punched_and_filled(void **state)
{
    struct diskalloc_region *r = NULL;
    char dir[150], bytes[16];
    int fd;

    (void)state;
    scratch_make_dir(dir, sizeof dir);
    fd = open(dir, O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
    assert_true(fd >= 0);
    assert_int_equal(diskalloc_region_from_fd(fd, NULL, &r), 0);
    assert_int_equal(diskalloc_region_resize(r, 64 * BLOCK), 0);
    memset(diskalloc_region_data(r), 7, 64 * BLOCK);
    assert_int_equal(diskalloc_region_discard(r, 8 * BLOCK, 32 * BLOCK), 0);
    assert_true(blocks_of(r) <= 32 * BLOCK + 16 * KIB);
    assert_int_equal(pread(fd, bytes, sizeof bytes, 8 * BLOCK), sizeof bytes);
    assert_int_equal(bytes[0], 0);
    assert_int_equal(diskalloc_region_resize(r, 65 * BLOCK), 0);
    assert_true(blocks_of(r) <= 33 * BLOCK + 16 * KIB);
    assert_false(can_store(r, 8 * BLOCK));
    assert_int_equal(diskalloc_region_restore(r, 8 * BLOCK, 32 * BLOCK), 0);
    assert_true(blocks_of(r) >= 65 * BLOCK);
    expect_bytes(r, 8 * BLOCK, 40 * BLOCK, 0);
    expect_bytes(r, 40 * BLOCK, 64 * BLOCK, 7);
    diskalloc_region_close(r);
    close(fd);
    scratch_remove_tree(dir);
}

static void every_advice_is_taken(struct test_backend *b)
{
    struct diskalloc_region *r = make_region(b->da, 10 * BLOCK + 1);

    memset(diskalloc_region_data(r), 7, 10 * BLOCK + 1);
    assert_int_equal(diskalloc_region_discard(r, 4 * BLOCK, BLOCK), 0);
    for (int advice = DISKALLOC_ADVICE_NORMAL; advice <= DISKALLOC_ADVICE_COLD; advice++) {
        assert_int_equal(diskalloc_region_advise(r, 0, 10 * BLOCK + 1, advice), 0);
        assert_int_equal(diskalloc_region_advise(r, 10, 1, advice), 0);
        assert_int_equal(diskalloc_region_advise(r, 10 * BLOCK + 1, 0, advice), 0);
    }
    expect_bytes(r, 5 * BLOCK, 10 * BLOCK + 1, 7);
    diskalloc_region_close(r);
}
FOR_EACH_BACKEND(every_advice_is_taken)

// Takes all mappings that the process may have, in one reservation; NULL when that is not to be had.
static char *use_up_mappings(size_t *ret_length)
{
    const size_t length = (size_t)70000 * BLOCK * 2;
    char *all = mmap(NULL, length, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

    if (all == MAP_FAILED)
        return NULL;
    *ret_length = length;
    for (size_t at = 0; at < length; at += (size_t)2 * BLOCK)
        if (mprotect(all + at, BLOCK, PROT_READ) < 0)
            return all;
    munmap(all, length);
    return NULL;
}

static void a_restore_that_finds_no_mapping_left_keeps_what_was_not_discarded(struct test_backend *b)
{
    struct diskalloc_region *r = make_region(b->da, 6 * MIB);
    char *data = diskalloc_region_data(r), *all;
    size_t length = 0;
    int e;

    memset(data, 7, 6 * MIB);
    assert_int_equal(diskalloc_region_discard(r, 0, 4 * MIB + 16 * BLOCK), 0);
    all = use_up_mappings(&length);
    if (!all) {
        diskalloc_region_close(r);
        print_message("skipped: this machine has no such limit on mappings\n");
        skip();
    }
    e = diskalloc_region_restore(r, 2 * MIB, 3 * MIB);
    munmap(all, length);
    assert_int_equal(e, -ENOMEM);
    expect_bytes(r, 4 * MIB + 16 * BLOCK, 6 * MIB, 7);
    memset(data + 4 * MIB + 16 * BLOCK, 8, 2 * MIB - 16 * BLOCK);
    assert_int_equal(diskalloc_region_restore(r, 0, 6 * MIB), 0);
    expect_bytes(r, 0, 4 * MIB + 16 * BLOCK, 0);
    expect_bytes(r, 4 * MIB + 16 * BLOCK, 6 * MIB, 8);
    diskalloc_region_close(r);
}
FOR_EACH_BACKEND(a_restore_that_finds_no_mapping_left_keeps_what_was_not_discarded)

int main(void)
{
    const struct CMUnitTest tests[] = {
        EACH_BACKEND(what_is_discarded_is_inaccessible_and_given_back_until_it_is_restored),
        EACH_BACKEND(discarding_rounds_inward_and_restoring_outward),
        EACH_BACKEND(a_region_that_is_resized_keeps_what_is_discarded_of_it),
        EACH_BACKEND(wrong_ranges_and_wrong_regions_are_refused),
        EACH_BACKEND(others_that_are_attached_forbid_it_and_lose_nothing),
        EACH_BACKEND(what_is_discarded_is_found_again),
        EACH_BACKEND(what_is_stored_next_to_a_hole_does_not_fill_it),
        EACH_BACKEND(more_than_4096_pieces_are_refused),
        TEST(a_callers_file_is_punched_and_filled),
        EACH_BACKEND(every_advice_is_taken),
        EACH_BACKEND(a_restore_that_finds_no_mapping_left_keeps_what_was_not_discarded),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
