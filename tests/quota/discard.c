// Discarded parts are given back and are out of reach: for this process, for later ones, and after the daemon's death.
#include "tests/lib/quota_usage.h"
#include "tests/lib/test_daemon.h"

#define BLOCK ((uint64_t)4096)
#define SIZE (16 * BLOCK)
#define CONFIG "[daemon]\nkeep_free = 0\n[quota default]\nbytes = 4M\n"

static void read_a_byte(void *data)
{
    *(volatile uint8_t *)data;
}

static bool is_accessible(struct diskalloc_region *r, uint64_t at)
{
    uint8_t *data = diskalloc_region_data(r);
    int status = test_in_child(read_a_byte, data + at, (uid_t)-1);

    if (WIFEXITED(status) && WEXITSTATUS(status) == 0)
        return true;
    // a sanitizer reports and exits
    assert_true(SANITIZED || (WIFSIGNALED(status) && WTERMSIG(status) == SIGSEGV));
    return false;
}

static void check_accessible(struct diskalloc_region *r, uint64_t from, uint64_t to)
{
    for (uint64_t at = 0; at < SIZE; at += BLOCK) {
        bool outside = at < from || at >= to;

        if (is_accessible(r, at) != outside || is_accessible(r, at + BLOCK - 1) != outside)
            fail_msg("the block at %llu is %saccessible", (unsigned long long)at, outside ? "in" : "");
    }
}

static void check_bytes(struct diskalloc_region *r, uint64_t from, uint64_t to, uint8_t value)
{
    const uint8_t *data = diskalloc_region_data(r);

    for (uint64_t at = from; at < to; at++)
        assert_int_equal(data[at], value);
}

static void restart(struct test_backend *b)
{
    test_daemon_kill(&b->daemon, SIGKILL);
    test_daemon_restart(&b->daemon);
}

static void discarded_bytes_are_given_back_and_out_of_reach_across_restarts(void **state)
{
    struct diskalloc_region *r;
    struct test_backend b;

    (void)state;
    backend_start(&b, true, CONFIG, NULL);
    r = make_region(b.da, SIZE);
    memset(diskalloc_region_data(r), 0x5a, SIZE);
    for (int i = 0; i < 3; i++) {
        assert_int_equal(diskalloc_region_discard(r, 4 * BLOCK, 6 * BLOCK), 0);
        assert_int_equal(usage_of(b.da).bytes, SIZE - 6 * BLOCK);
        assert_int_equal(diskalloc_region_size(r), SIZE);
        check_accessible(r, 4 * BLOCK, 10 * BLOCK);
        restart(&b);
        assert_int_equal(usage_of(b.da).bytes, SIZE - 6 * BLOCK);
        check_accessible(r, 4 * BLOCK, 10 * BLOCK);
        assert_int_equal(diskalloc_region_restore(r, 4 * BLOCK, 6 * BLOCK), 0);
        assert_int_equal(usage_of(b.da).bytes, SIZE);
        check_accessible(r, 0, 0);
        check_bytes(r, 4 * BLOCK, 10 * BLOCK, 0);
        check_bytes(r, 0, 4 * BLOCK, 0x5a);
        check_bytes(r, 10 * BLOCK, SIZE, 0x5a);
        restart(&b);
        assert_int_equal(usage_of(b.da).bytes, SIZE);
        memset((uint8_t *)diskalloc_region_data(r) + 4 * BLOCK, 0x5a, 6 * BLOCK);
    }
    diskalloc_region_close(r);
    backend_stop(&b);
}

static void who_opens_it_later_finds_the_discarded_part_out_of_reach(void **state)
{
    struct diskalloc_region *r = NULL;
    struct test_backend b;

    (void)state;
    backend_start(&b, true, CONFIG, NULL);
    assert_int_equal(open_named(b.da, "holey", SIZE, DISKALLOC_REGION_CREATE, &r), 0);
    memset(diskalloc_region_data(r), 0x5a, SIZE);
    assert_int_equal(diskalloc_region_discard(r, 2 * BLOCK, BLOCK), 0);
    for (int i = 0; i < 2; i++) {
        diskalloc_region_close(r);
        if (i)
            restart(&b);
        assert_int_equal(open_named(b.da, "holey", 0, 0, &r), 0);
        assert_int_equal(diskalloc_region_size(r), SIZE);
        check_accessible(r, 2 * BLOCK, 3 * BLOCK);
        check_bytes(r, 3 * BLOCK, SIZE, 0x5a);
        assert_int_equal(usage_of(b.da).bytes, SIZE - BLOCK);
    }
    assert_int_equal(diskalloc_region_restore(r, 0, SIZE), 0);
    check_bytes(r, 2 * BLOCK, 3 * BLOCK, 0);
    check_bytes(r, 0, 2 * BLOCK, 0x5a);
    diskalloc_region_close(r);
    assert_int_equal(diskalloc_region_unlink(b.da, "holey"), 0);
    backend_stop(&b);
}

static void attach_and_hold(struct actor *self, void *data)
{
    struct diskalloc_region *r = NULL;
    struct diskalloc *da = NULL;
    char *address = data, *handle;

    actor_next(self); // the handle is there
    handle = address + 200;
    NEED(diskalloc_open(address, NULL, &da) == 0);
    NEED(diskalloc_region_attach(da, handle, NULL, &r) == 0);
    actor_next(self); // a discard is tried
    NEED(((uint8_t *)diskalloc_region_data(r))[0] == 0x5a);
    diskalloc_region_close(r);
    diskalloc_close(da);
    actor_next(self); // it is discarded
    r = NULL;
    NEED(diskalloc_open(address, NULL, &da) == 0);
    NEED(diskalloc_region_attach(da, handle, NULL, &r) == 0);
    actor_next(self); // a restore is made while it is attached
    NEED(diskalloc_region_refresh(r) >= 0);
    NEED(((uint8_t *)diskalloc_region_data(r))[0] == 0);
    diskalloc_region_close(r);
    diskalloc_close(da);
}

static void others_that_are_attached_refuse_a_discard_and_not_a_restore(void **state)
{
    struct diskalloc_region *r = NULL;
    struct test_backend b = {.remote = true};
    struct actor a;
    char *meeting = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);

    (void)state;
    assert_true(meeting != MAP_FAILED);
    test_daemon_start(&b.daemon, CONFIG, NULL);
    strcpy(meeting, b.daemon.address);
    actor_start(&a, attach_and_hold, meeting, (uid_t)-1);
    actor_await(&a);
    assert_int_equal(diskalloc_open(b.daemon.address, NULL, &b.da), 0);
    r = make_region(b.da, SIZE);
    memset(diskalloc_region_data(r), 0x5a, SIZE);
    strcpy(meeting + 200, diskalloc_region_handle(r));
    actor_go(&a);
    actor_await(&a);
    EXPECT_FAILURE(-EBUSY, "diskalloc_region_discard", diskalloc_region_discard(r, 0, SIZE));
    check_bytes(r, 0, SIZE, 0x5a);
    assert_int_equal(usage_of(b.da).bytes, SIZE);
    actor_go(&a);
    actor_await(&a);
    assert_int_equal(diskalloc_region_discard(r, 0, BLOCK), 0);
    actor_go(&a);
    actor_await(&a);
    EXPECT_FAILURE(-EBUSY, "diskalloc_region_discard", diskalloc_region_discard(r, BLOCK, BLOCK));
    assert_int_equal(diskalloc_region_restore(r, 0, BLOCK), 0);
    actor_go(&a);
    actor_finish(&a);
    diskalloc_region_close(r);
    munmap(meeting, 4096);
    backend_stop(&b);
}

static void what_is_discarded_makes_room_and_is_restored_only_where_there_is_room(void **state)
{
    struct diskalloc_region *r, *other;
    struct diskalloc_error_info info;
    struct test_backend b;

    (void)state;
    backend_start(&b, true, CONFIG, NULL);
    r = make_region(b.da, 4 * MIB);
    memset(diskalloc_region_data(r), 0x5a, 4 * MIB);
    assert_int_equal(diskalloc_region_discard(r, MIB, 2 * MIB), 0);
    other = make_region(b.da, MIB + BLOCK);
    info = EXPECT_FAILURE(-EDQUOT, "diskalloc_region_restore", diskalloc_region_restore(r, MIB, 2 * MIB));
    assert_int_equal(info.limit, 4 * MIB);
    assert_int_equal(info.used, 3 * MIB + BLOCK);
    assert_int_equal(info.asked, 2 * MIB);
    assert_false(is_accessible(r, MIB));
    assert_int_equal(usage_of(b.da).bytes, 3 * MIB + BLOCK);
    assert_int_equal(diskalloc_region_restore(r, 2 * MIB, MIB - BLOCK), 0);
    assert_true(is_accessible(r, 2 * MIB));
    assert_false(is_accessible(r, 3 * MIB - 1));
    EXPECT_FAILURE(-EDQUOT, "diskalloc_region_restore", diskalloc_region_restore(r, 3 * MIB - 1, 1));
    diskalloc_region_close(other);
    assert_int_equal(diskalloc_region_restore(r, 0, 4 * MIB), 0);
    check_bytes(r, 0, MIB, 0x5a);
    check_bytes(r, MIB, MIB + BLOCK, 0);
    check_bytes(r, 3 * MIB, 4 * MIB, 0x5a);
    diskalloc_region_close(r);
    backend_stop(&b);
}

static void shrinking_and_growing_over_a_discarded_part_grants_it_again(void **state)
{
    struct diskalloc_region *r;
    struct test_backend b;

    (void)state;
    backend_start(&b, true, CONFIG, NULL);
    r = make_region(b.da, SIZE);
    memset(diskalloc_region_data(r), 0x5a, SIZE);
    assert_int_equal(diskalloc_region_discard(r, 8 * BLOCK, 8 * BLOCK), 0);
    assert_int_equal(diskalloc_region_resize(r, 12 * BLOCK), 0);
    assert_int_equal(usage_of(b.da).bytes, 8 * BLOCK);
    assert_int_equal(diskalloc_region_resize(r, SIZE), 0);
    assert_int_equal(usage_of(b.da).bytes, 12 * BLOCK);
    check_accessible(r, 8 * BLOCK, 12 * BLOCK);
    restart(&b);
    assert_int_equal(usage_of(b.da).bytes, 12 * BLOCK);
    assert_int_equal(diskalloc_region_resize(r, 4 * BLOCK), 0);
    assert_int_equal(usage_of(b.da).bytes, 4 * BLOCK);
    assert_int_equal(diskalloc_region_resize(r, SIZE), 0);
    assert_int_equal(usage_of(b.da).bytes, SIZE);
    check_accessible(r, 0, 0);
    check_bytes(r, 4 * BLOCK, SIZE, 0);
    diskalloc_region_close(r);
    backend_stop(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(discarded_bytes_are_given_back_and_out_of_reach_across_restarts),
        TEST(who_opens_it_later_finds_the_discarded_part_out_of_reach),
        TEST(others_that_are_attached_refuse_a_discard_and_not_a_restore),
        TEST(what_is_discarded_makes_room_and_is_restored_only_where_there_is_room),
        TEST(shrinking_and_growing_over_a_discarded_part_grants_it_again),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
