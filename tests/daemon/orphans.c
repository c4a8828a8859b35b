// Orphans: which regions the daemon removes when a client dies, and which it keeps because a process still maps them.
#include "tests/lib/actor.h"
#include "tests/lib/old_record.h"
#include "tests/lib/scratch.h"
#include "tests/lib/test_backend.h"
#include "tests/lib/test_daemon.h"

struct expected {
    struct diskalloc *da;
    uint64_t bytes, regions;
};

static bool usage_is(void *data)
{
    const struct expected *e = data;
    struct diskalloc_usage u;

    return diskalloc_get_usage(e->da, "total", &u, sizeof(u)) == 0 && u.bytes == e->bytes && u.regions == e->regions;
}

static void wait_for_usage(struct diskalloc *da, uint64_t bytes, uint64_t regions, const char *what)
{
    struct expected e = {da, bytes, regions};

    test_wait_until(usage_is, &e, 30, what);
}

static void check_usage(struct diskalloc *da, uint64_t bytes, uint64_t regions)
{
    struct diskalloc_usage u = {0};

    assert_int_equal(diskalloc_get_usage(da, "total", &u, sizeof(u)), 0);
    assert_int_equal(u.bytes, bytes);
    assert_int_equal(u.regions, regions);
}

static size_t region_files(const struct test_daemon *d)
{
    char dir[200];

    snprintf(dir, sizeof(dir), "%s/%u", d->spill, (unsigned)geteuid());
    return test_count_files(dir);
}

static struct diskalloc *client_of(const struct test_daemon *d)
{
    struct diskalloc *da = NULL;

    assert_int_equal(diskalloc_open(d->address, NULL, &da), 0);
    return da;
}

static struct diskalloc_region *need_region(struct diskalloc *da, uint64_t size, uint8_t value)
{
    struct diskalloc_region_options o = DISKALLOC_REGION_OPTIONS_INIT;
    struct diskalloc_region *r = NULL;

    o.size = size;
    NEED(diskalloc_region_create(da, &o, &r) == 0);
    memset(diskalloc_region_data(r), value, size);
    return r;
}

static bool holds(struct diskalloc_region *r, uint8_t value)
{
    const uint8_t *data = diskalloc_region_data(r);

    for (uint64_t i = 0; i < diskalloc_region_size(r); i++)
        if (data[i] != value)
            return false;
    return true;
}

static void take_three_regions_and_a_named_one(struct actor *self, void *data)
{
    struct diskalloc_region *named = NULL;
    struct diskalloc *da = NULL;

    NEED(diskalloc_open(data, NULL, &da) == 0);
    for (int i = 0; i < 3; i++)
        need_region(da, MIB, 1);
    NEED(open_named(da, "stays", MIB, DISKALLOC_REGION_CREATE, &named) == 0);
    actor_next(self);
}

static void a_killed_clients_space_is_freed(void **state)
{
    struct test_daemon d;
    struct diskalloc *da;
    struct actor victim;

    (void)state;
    test_daemon_start(&d, NULL, NULL);
    da = client_of(&d);
    for (int i = 0; i < 5; i++) {
        actor_start(&victim, take_three_regions_and_a_named_one, d.address, (uid_t)-1);
        actor_await(&victim);
        check_usage(da, 4 * MIB, 4);
        assert_int_equal(region_files(&d), 4);
        actor_kill(&victim);
        wait_for_usage(da, MIB, 1, "only the named region is left");
        assert_int_equal(region_files(&d), 1);
    }
    assert_int_equal(diskalloc_region_unlink(da, "stays"), 0);
    wait_for_usage(da, 0, 0, "nothing is left");
    assert_int_equal(region_files(&d), 0);
    diskalloc_close(da);
    test_daemon_stop_and_remove(&d);
}

static void leave_a_child(struct actor *self, const char *address, bool with_connection)
{
    struct diskalloc *da = NULL;
    struct diskalloc_region *r;

    NEED(diskalloc_open(address, NULL, &da) == 0);
    r = need_region(da, 2 * MIB, 0x41);
    if (fork() > 0)
        for (;;)
            pause(); // until the test kills it
    if (!with_connection)
        diskalloc_close(da);
    actor_next(self);
    NEED(holds(r, 0x41));
    memset(diskalloc_region_data(r), 0x42, 2 * MIB);
    NEED(holds(r, 0x42));
    actor_next(self);
}

static void leave_a_child_with_the_connection(struct actor *self, void *data)
{
    leave_a_child(self, data, true);
}

static void leave_a_child_with_nothing_but_the_memory(struct actor *self, void *data)
{
    leave_a_child(self, data, false);
}

static void take_a_region(struct actor *self, void *data)
{
    struct diskalloc *da = NULL;

    NEED(diskalloc_open(data, NULL, &da) == 0);
    need_region(da, MIB, 1);
    actor_next(self);
}

// A client without children that dies now is noticed after the one that died before.
static void let_the_daemon_look(const struct test_daemon *d, struct diskalloc *da, uint64_t bytes, uint64_t regions)
{
    struct actor bystander;

    for (int i = 0; i < 3; i++) {
        actor_start(&bystander, take_a_region, (void *)d->address, (uid_t)-1);
        actor_await(&bystander);
        check_usage(da, bytes + MIB, regions + 1);
        actor_kill(&bystander);
        wait_for_usage(da, bytes, regions, "the bystander's region has gone, and no other");
    }
}

static void check_that_a_child_keeps_the_memory(void (*leave)(struct actor *self, void *data))
{
    struct test_daemon d;
    struct diskalloc *da;
    struct actor parent;

    test_daemon_start(&d, NULL, NULL);
    actor_start(&parent, leave, d.address, (uid_t)-1);
    actor_await(&parent);
    da = client_of(&d);
    assert_return_code(kill(parent.pid, SIGKILL), errno);
    assert_int_equal(waitpid(parent.pid, NULL, 0), parent.pid);
    let_the_daemon_look(&d, da, 2 * MIB, 1);
    actor_go(&parent);
    actor_await(&parent); // the child has checked and changed the memory
    check_usage(da, 2 * MIB, 1);
    assert_int_equal(region_files(&d), 1);
    close(parent.to); // the child ends
    close(parent.from);
    wait_for_usage(da, 0, 0, "the child has gone and so has the region");
    assert_int_equal(region_files(&d), 0);
    diskalloc_close(da);
    test_daemon_stop_and_remove(&d);
}

static void a_surviving_child_keeps_the_memory_and_its_charge(void **state)
{
    (void)state;
    check_that_a_child_keeps_the_memory(leave_a_child_with_nothing_but_the_memory);
}

static void so_does_one_that_keeps_the_connection_too(void **state)
{
    (void)state;
    check_that_a_child_keeps_the_memory(leave_a_child_with_the_connection);
}

static void a_surviving_child_keeps_the_memory_over_a_restart(void **state)
{
    struct test_daemon d;
    struct diskalloc *da;
    struct actor parent;

    (void)state;
    test_daemon_start(&d, NULL, NULL);
    actor_start(&parent, leave_a_child_with_the_connection, d.address, (uid_t)-1);
    actor_await(&parent);
    assert_return_code(kill(parent.pid, SIGKILL), errno);
    assert_int_equal(waitpid(parent.pid, NULL, 0), parent.pid);
    test_daemon_kill(&d, SIGKILL);
    test_daemon_restart(&d);
    da = client_of(&d);
    let_the_daemon_look(&d, da, 2 * MIB, 1);
    actor_go(&parent);
    actor_await(&parent);
    check_usage(da, 2 * MIB, 1);
    close(parent.to);
    close(parent.from);
    wait_for_usage(da, 0, 0, "the child has gone and so has the region");
    diskalloc_close(da);
    test_daemon_stop_and_remove(&d);
}

static void compute_and_never_talk(struct actor *self, void *data)
{
    struct diskalloc *da = NULL;
    struct diskalloc_region *r;

    NEED(diskalloc_open(data, NULL, &da) == 0);
    r = need_region(da, 3 * MIB, 0x51);
    actor_next(self);
    NEED(holds(r, 0x51));
    memset(diskalloc_region_data(r), 0x52, 3 * MIB);
    actor_next(self);
    NEED(holds(r, 0x52));
    actor_next(self);
}

static void a_silent_client_keeps_memory_and_charge_over_restarts(void **state)
{
    struct test_daemon d;
    struct diskalloc *da;
    struct actor silent;

    (void)state;
    test_daemon_start(&d, NULL, NULL);
    actor_start(&silent, compute_and_never_talk, d.address, (uid_t)-1);
    actor_await(&silent);
    for (int i = 0; i < 2; i++) {
        test_daemon_kill(&d, SIGKILL);
        test_daemon_restart(&d);
        da = client_of(&d);
        check_usage(da, 3 * MIB, 1);
        let_the_daemon_look(&d, da, 3 * MIB, 1);
        actor_go(&silent);
        actor_await(&silent);
        check_usage(da, 3 * MIB, 1);
        diskalloc_close(da);
    }
    da = client_of(&d);
    actor_kill(&silent);
    wait_for_usage(da, 0, 0, "the silent client has gone, though it never came back to this daemon");
    assert_int_equal(region_files(&d), 0);
    diskalloc_close(da);
    test_daemon_stop_and_remove(&d);
}

// The boot id proves nothing: it is another one in each container, and an older daemon wrote zeros where it could not
// read it.
static void memory_that_is_mapped_stays_whatever_boot_its_record_names(void **state)
{
    struct test_daemon d;
    struct diskalloc *da;
    struct actor silent;

    (void)state;
    test_daemon_start(&d, NULL, NULL);
    actor_start(&silent, compute_and_never_talk, d.address, (uid_t)-1);
    actor_await(&silent);
    test_daemon_kill(&d, SIGKILL);
    assert_int_equal(old_record_write_all(d.spill), 1);
    test_daemon_restart(&d);
    da = client_of(&d);
    let_the_daemon_look(&d, da, 3 * MIB, 1);
    actor_go(&silent);
    actor_await(&silent);
    check_usage(da, 3 * MIB, 1);
    actor_kill(&silent);
    wait_for_usage(da, 0, 0, "nobody maps it any more");
    diskalloc_close(da);
    test_daemon_stop_and_remove(&d);
}

static void hold_a_named_region(struct actor *self, void *data)
{
    struct diskalloc_region *r = NULL;
    struct diskalloc *da = NULL;

    NEED(diskalloc_open(data, NULL, &da) == 0);
    NEED(open_named(da, "held", 0, 0, &r) == 0);
    memset(diskalloc_region_data(r), 0x71, MIB);
    actor_next(self);
    NEED(holds(r, 0x71));
    actor_next(self);
}

// A region from before the last boot, attached in this one, removed while it is held, and then the daemon starts anew.
static void a_removed_region_stays_for_its_holder_whatever_boot_made_it(void **state)
{
    struct diskalloc_region *r = NULL;
    struct test_daemon d;
    struct diskalloc *da;
    struct actor holder;

    (void)state;
    test_daemon_start(&d, NULL, NULL);
    da = client_of(&d);
    assert_int_equal(open_named(da, "held", MIB, DISKALLOC_REGION_CREATE, &r), 0);
    diskalloc_region_close(r);
    diskalloc_close(da);
    test_daemon_stop(&d);
    assert_int_equal(old_record_write_all(d.spill), 1);
    test_daemon_restart(&d);
    actor_start(&holder, hold_a_named_region, d.address, (uid_t)-1);
    actor_await(&holder);
    da = client_of(&d);
    assert_int_equal(diskalloc_region_unlink(da, "held"), 0);
    diskalloc_close(da);
    for (int i = 0; i < 2; i++) {
        test_daemon_kill(&d, SIGKILL);
        test_daemon_restart(&d);
        da = client_of(&d);
        let_the_daemon_look(&d, da, MIB, 1);
        diskalloc_close(da);
    }
    da = client_of(&d);
    actor_go(&holder);
    actor_await(&holder);
    actor_kill(&holder);
    wait_for_usage(da, 0, 0, "the holder has gone and so has the region");
    diskalloc_close(da);
    test_daemon_stop_and_remove(&d);
}

// A descriptor of O_PATH needs no right on the file, and the lease does not see it.
static void a_descriptor_of_o_path_keeps_no_blocks(void **state)
{
    struct test_daemon d;
    struct diskalloc *da;

    (void)state;
    test_daemon_start(&d, NULL, NULL);
    da = client_of(&d);
    for (int named = 0; named < 2; named++) {
        struct diskalloc_region *r = NULL;
        struct stat st;
        char path[64];
        int fd;

        if (named)
            assert_int_equal(open_named(da, "table", 8 * MIB, DISKALLOC_REGION_CREATE, &r), 0);
        else
            r = make_region(da, 8 * MIB);
        snprintf(path, sizeof path, "/proc/self/fd/%d", diskalloc_region_fd(r));
        fd = open(path, O_PATH | O_CLOEXEC);
        assert_true(fd >= 0);
        assert_int_equal(fstat(fd, &st), 0);
        assert_true(st.st_blocks * 512 >= 8 * (blkcnt_t)MIB);
        diskalloc_region_close(r);
        if (named)
            assert_int_equal(diskalloc_region_unlink(da, "table"), 0);
        wait_for_usage(da, 0, 0, "the region has gone");
        assert_int_equal(fstat(fd, &st), 0);
        assert_int_equal(st.st_nlink, 0);
        assert_true(st.st_blocks * 512 <= 8192); // its record
        close(fd);
    }
    diskalloc_close(da);
    test_daemon_stop_and_remove(&d);
}

static void orphans_from_before_a_restart_are_removed(void **state)
{
    struct test_daemon d;
    struct diskalloc *da;
    struct actor victim;

    (void)state;
    test_daemon_start(&d, NULL, NULL);
    actor_start(&victim, take_three_regions_and_a_named_one, d.address, (uid_t)-1);
    actor_await(&victim);
    test_daemon_kill(&d, SIGKILL);
    assert_int_equal(region_files(&d), 4);
    actor_kill(&victim);
    test_daemon_restart(&d);
    da = client_of(&d);
    wait_for_usage(da, MIB, 1, "only the named region is left");
    assert_int_equal(region_files(&d), 1);
    assert_int_equal(diskalloc_region_unlink(da, "stays"), 0);
    wait_for_usage(da, 0, 0, "nothing is left");
    diskalloc_close(da);
    test_daemon_stop_and_remove(&d);
}

static void hold_what_will_be_unlinked(struct actor *self, void *data)
{
    struct diskalloc_region *r = NULL;
    struct diskalloc *da = NULL;

    NEED(diskalloc_open(data, NULL, &da) == 0);
    NEED(open_named(da, "leaving", MIB, DISKALLOC_REGION_CREATE, &r) == 0);
    memset(diskalloc_region_data(r), 0x61, MIB);
    actor_next(self);
    NEED(holds(r, 0x61));
    NEED(diskalloc_region_resize(r, 2 * MIB) == -ESTALE);
    NEED(diskalloc_region_commit(r, 8, 8, 0) == -ESTALE);
    memset(diskalloc_region_data(r), 0x62, MIB);
    NEED(holds(r, 0x62));
    actor_next(self);
}

static void holders_of_an_unlinked_region_keep_it_and_its_charge(void **state)
{
    struct diskalloc_region *r = NULL, *none = NULL;
    struct test_daemon d;
    struct diskalloc *da;
    struct actor holder;

    (void)state;
    test_daemon_start(&d, NULL, NULL);
    actor_start(&holder, hold_what_will_be_unlinked, d.address, (uid_t)-1);
    actor_await(&holder);
    da = client_of(&d);
    assert_int_equal(open_named(da, "leaving", 0, 0, &r), 0);
    assert_int_equal(diskalloc_region_unlink(da, "leaving"), 0);
    EXPECT_FAILURE(-ENOENT, "diskalloc_region_open", open_named(da, "leaving", 0, 0, &none));
    check_usage(da, MIB, 1);
    actor_go(&holder);
    actor_await(&holder);
    assert_true(holds(r, 0x62));
    diskalloc_region_close(r);
    let_the_daemon_look(&d, da, MIB, 1);
    actor_kill(&holder);
    wait_for_usage(da, 0, 0, "the last holder has gone and so has the region");
    assert_int_equal(region_files(&d), 0);
    diskalloc_close(da);
    test_daemon_stop_and_remove(&d);
}

static void an_unlinked_region_stays_with_its_holder_over_a_restart(void **state)
{
    struct diskalloc_region *none = NULL;
    struct test_daemon d;
    struct diskalloc *da;
    struct actor holder;

    (void)state;
    test_daemon_start(&d, NULL, NULL);
    actor_start(&holder, hold_what_will_be_unlinked, d.address, (uid_t)-1);
    actor_await(&holder);
    da = client_of(&d);
    assert_int_equal(diskalloc_region_unlink(da, "leaving"), 0);
    diskalloc_close(da);
    test_daemon_kill(&d, SIGKILL);
    test_daemon_restart(&d);
    da = client_of(&d);
    EXPECT_FAILURE(-ENOENT, "diskalloc_region_open", open_named(da, "leaving", 0, 0, &none));
    let_the_daemon_look(&d, da, MIB, 1);
    actor_go(&holder);
    actor_await(&holder);
    check_usage(da, MIB, 1);
    actor_kill(&holder);
    wait_for_usage(da, 0, 0, "the last holder has gone and so has the region");
    assert_int_equal(region_files(&d), 0);
    diskalloc_close(da);
    test_daemon_stop_and_remove(&d);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_killed_clients_space_is_freed),
        TEST(a_surviving_child_keeps_the_memory_and_its_charge),
        TEST(so_does_one_that_keeps_the_connection_too),
        TEST(a_surviving_child_keeps_the_memory_over_a_restart),
        TEST(a_silent_client_keeps_memory_and_charge_over_restarts),
        TEST(orphans_from_before_a_restart_are_removed),
        TEST(memory_that_is_mapped_stays_whatever_boot_its_record_names),
        TEST(a_removed_region_stays_for_its_holder_whatever_boot_made_it),
        TEST(a_descriptor_of_o_path_keeps_no_blocks),
        TEST(holders_of_an_unlinked_region_keep_it_and_its_charge),
        TEST(an_unlinked_region_stays_with_its_holder_over_a_restart),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
