// Giving parts of a region back, and restoring them, when the daemon refuses, is lost, or has a long list.
#include "tests/lib/fake_daemon.h"
#include "tests/lib/region_bytes.h"
#include "tests/lib/test_backend.h"

enum { BLOCK = 4096 };

static void a_refusal_gives_the_access_back(void **state)
{
    struct play p = {.connections = {"...q.q"}};
    struct diskalloc *da;
    struct diskalloc_region *r;

    (void)state;
    play_start(&p);
    da = client_of(&p, -1);
    r = make_region(da, 0);
    assert_int_equal(diskalloc_region_resize(r, 4 * BLOCK), 0);
    EXPECT_FAILURE(-EDQUOT, "diskalloc_region_discard", diskalloc_region_discard(r, 0, BLOCK));
    ((char *)diskalloc_region_data(r))[0] = 1;
    assert_int_equal(diskalloc_region_discard(r, 0, BLOCK), 0);
    EXPECT_FAILURE(-EDQUOT, "diskalloc_region_restore", diskalloc_region_restore(r, 0, BLOCK));
    assert_false(can_store(r, 0));
    assert_int_equal(diskalloc_region_restore(r, 0, BLOCK), 0);
    assert_int_equal(diskalloc_region_restore(r, 0, BLOCK), 0); // asks nobody
    assert_true(can_store(r, 0));
    diskalloc_region_close(r);
    diskalloc_close(da);
    play_end(&p);
    assert_string_equal(p.seen, "HCGPPRRD");
}

static void answers_that_were_lost_are_asked_for_again(void **state)
{
    struct play p = {.connections = {"...d", "...d", ""}};
    struct diskalloc *da;
    struct diskalloc_region *r;

    (void)state;
    play_start(&p);
    da = client_of(&p, -1);
    r = make_region(da, 0);
    assert_int_equal(diskalloc_region_resize(r, 4 * BLOCK), 0);
    assert_int_equal(diskalloc_region_discard(r, 0, 2 * BLOCK), 0);
    assert_int_equal(diskalloc_region_restore(r, 0, BLOCK), 0);
    assert_true(can_store(r, 0));
    assert_false(can_store(r, BLOCK));
    diskalloc_region_close(r);
    diskalloc_close(da);
    play_end(&p);
    assert_string_equal(p.seen, "HCGPHAPRHARD");
}

static void a_long_list_comes_by_pages(void **state)
{
    struct play p = {.connections = {""}, .size = 20 * BLOCK};
    struct diskalloc *da;
    struct diskalloc_region *r = NULL;

    (void)state;
    for (uint64_t i = 0; i < 5; i++)
        assert_int_equal(ranges_add(&p.discarded, 4 * i * BLOCK, BLOCK), 0);
    play_start(&p);
    assert_return_code(ftruncate(p.file, 20 * BLOCK), errno);
    da = client_of(&p, -1);
    assert_int_equal(diskalloc_region_attach(da, "00000000000000000000000000000000", NULL, &r), 0);
    for (uint64_t i = 0; i < 20; i++)
        assert_int_equal(can_store(r, i * BLOCK), i % 4 != 0);
    diskalloc_region_close(r);
    diskalloc_close(da);
    play_end(&p);
    assert_string_equal(p.seen, "HALLLD");
}

// The disk has failed, and the daemon could not undo everything: it is asked for what is granted.
static void what_the_disk_has_lost_is_inaccessible(void **state)
{
    struct play p = {.connections = {"...l.l"}};
    struct diskalloc *da;
    struct diskalloc_region *r;

    (void)state;
    play_start(&p);
    da = client_of(&p, -1);
    r = make_region(da, 0);
    assert_int_equal(diskalloc_region_resize(r, 16 * BLOCK), 0);
    EXPECT_FAILURE(-EIO, "diskalloc_region_discard", diskalloc_region_discard(r, 0, 4 * BLOCK));
    assert_true(can_store(r, 2 * BLOCK - 1));
    assert_false(can_store(r, 2 * BLOCK));
    assert_false(can_store(r, 4 * BLOCK - 1));
    assert_true(can_store(r, 4 * BLOCK));
    EXPECT_FAILURE(-EIO, "diskalloc_region_resize", diskalloc_region_resize(r, 8 * BLOCK));
    assert_int_equal(diskalloc_region_size(r), 12 * BLOCK);
    assert_true(can_store(r, 12 * BLOCK - 1));
    assert_false(can_store(r, 12 * BLOCK));
    assert_int_equal(diskalloc_region_restore(r, 0, 4 * BLOCK), 0);
    assert_int_equal(diskalloc_region_resize(r, 16 * BLOCK), 0);
    assert_true(can_store(r, 2 * BLOCK));
    assert_true(can_store(r, 16 * BLOCK - 1));
    diskalloc_region_close(r);
    diskalloc_close(da);
    play_end(&p);
    assert_string_equal(p.seen, "HCGPLSTRGD");
}

// A daemon that refuses so, and goes before it says what is granted: nothing in doubt is accessible.
static void what_the_disk_may_have_lost_is_inaccessible_until_the_daemon_says(void **state)
{
    struct play p = {.connections = {"...ix", "..", ""}};
    struct diskalloc *da;
    struct diskalloc_region *r;

    (void)state;
    play_start(&p);
    da = client_of(&p, -1);
    r = make_region(da, 0);
    assert_int_equal(diskalloc_region_resize(r, 16 * BLOCK), 0);
    EXPECT_FAILURE(-EIO, "diskalloc_region_discard", diskalloc_region_discard(r, 0, 4 * BLOCK));
    assert_true(can_store(r, 0)); // it came back, and said that nothing is discarded
    diskalloc_region_close(r);
    diskalloc_close(da);
    play_end(&p);
    assert_string_equal(p.seen, "HCGPLHALD");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_refusal_gives_the_access_back),
        TEST(answers_that_were_lost_are_asked_for_again),
        TEST(a_long_list_comes_by_pages),
        TEST(what_the_disk_has_lost_is_inaccessible),
        TEST(what_the_disk_may_have_lost_is_inaccessible_until_the_daemon_says),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
