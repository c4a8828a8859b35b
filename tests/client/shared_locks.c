// A directory that several users share, without a daemon: other users' locks, and programs that remove old files.
#include "tests/lib/actor.h"
#include "tests/lib/scratch.h"
#include "tests/lib/shared_directory.h"
#include "tests/lib/test_backend.h"

#include <sys/file.h>
#include <sys/stat.h>

#include "proto/spill/record.h"
#include "proto/util/clock.h"

// Everything that can be locked with a descriptor for reading, of every kind of lock.
static void lock_for_reading(struct actor *self, void *data)
{
    struct flock all = {.l_type = F_RDLCK, .l_whence = SEEK_SET};
    int fd = open(data, O_RDONLY | O_CLOEXEC);

    NEED(fd >= 0);
    NEED(fcntl(fd, F_OFD_SETLK, &all) == 0);
    NEED(fcntl(fd, F_SETLK, &all) == 0);
    flock(fd, LOCK_SH | LOCK_NB);
    actor_done(self);
    actor_wait(self);
    actor_done(self);
}

static void use_the_region(struct actor *self, void *data)
{
    struct diskalloc *da;
    struct diskalloc_region *r = NULL;
    uint64_t began;

    (void)data;
    actor_wait(self);
    da = open_directory();
    NEED(open_mode(da, "read", 0644, DISKALLOC_REGION_CREATE, &r) == 0);
    NEED(diskalloc_region_resize(r, MIB) == 0);
    NEED(diskalloc_region_discard(r, 0, MIB / 2) == 0);
    actor_next(self);
    // By now another user has the lock.
    began = clock_now();
    NEED(diskalloc_region_resize(r, 2 * MIB) == 0);
    NEED(diskalloc_region_resize_wait(r, 3 * MIB, 1000) == 0);
    NEED(diskalloc_region_resize_wait(r, 4 * MIB, -1) == 0);
    NEED(diskalloc_region_restore(r, 0, MIB / 2) == 0);
    NEED(diskalloc_region_commit(r, MIB, 1, 0) == 0);
    memset(diskalloc_region_data(r), 1, 4 * MIB);
    NEED(clock_now() - began < 5000);
    // A reader counts as an attachment: this is refused, and not waited for.
    NEED(diskalloc_region_resize(r, MIB) == -EBUSY);
    NEED(clock_now() - began < 5000);
    actor_next(self);
    NEED(diskalloc_region_resize(r, MIB) == 0);
    diskalloc_region_close(r);
    diskalloc_close(da);
    actor_done(self);
}

static void a_lock_of_someone_who_may_only_read_keeps_nobody_from_growing(void **state)
{
    struct actor alice, bob;
    struct stat st;

    (void)state;
    shared_directory_make();
    actor_start(&alice, use_the_region, NULL, ALICE);
    actor_go(&alice);
    actor_await(&alice);
    actor_start(&bob, lock_for_reading, (void *)in_directory("read"), BOB);
    actor_await(&bob);
    actor_go(&alice);
    actor_await(&alice);
    assert_return_code(stat(in_directory("read"), &st), errno);
    assert_int_equal(st.st_size, 4 * MIB);
    assert_true((uint64_t)st.st_blocks * 512 >= 4 * MIB);
    actor_kill(&bob);
    actor_go(&alice);
    actor_await(&alice);
    actor_finish(&alice);
    shared_directory_remove();
}

enum { STEPS = 1000 };

// Grows the region beyond what it is known to have, in a race with another process, and uses the last block: a cut
// would be SIGBUS.
static void grow_in_a_race(struct actor *self, void *data)
{
    unsigned seed = (unsigned)self->pid;
    struct diskalloc *da;
    struct diskalloc_region *r = NULL;
    struct stat st;

    (void)data;
    actor_wait(self);
    da = open_directory();
    NEED(open_mode(da, "read", 0, 0, &r) == 0);
    actor_next(self);
    for (int i = 0; i < STEPS; i++) {
        uint64_t size = diskalloc_region_size(r) + 4096 * (1 + (uint64_t)rand_r(&seed) % 64);

        NEED(diskalloc_region_resize(r, size) == 0);
        ((volatile char *)diskalloc_region_data(r))[size - 1] = 1;
        NEED(fstat(diskalloc_region_fd(r), &st) == 0 && (uint64_t)st.st_size >= size);
    }
    diskalloc_region_close(r);
    diskalloc_close(da);
    actor_done(self);
}

static void processes_that_grow_beside_a_strangers_lock_never_cut_each_other(void **state)
{
    struct actor bob, growers[2];
    struct stat st;

    (void)state;
    shared_directory_make();
    as_user(ALICE, make_three);
    actor_start(&bob, lock_for_reading, (void *)in_directory("read"), BOB);
    actor_await(&bob);
    for (size_t i = 0; i < 2; i++) {
        actor_start(&growers[i], grow_in_a_race, NULL, ALICE);
        actor_go(&growers[i]);
        actor_await(&growers[i]);
    }
    for (size_t i = 0; i < 2; i++)
        actor_go(&growers[i]);
    for (size_t i = 0; i < 2; i++)
        actor_await(&growers[i]);
    for (size_t i = 0; i < 2; i++)
        actor_finish(&growers[i]);
    assert_return_code(stat(in_directory("read"), &st), errno);
    assert_true(st.st_blocks * 512 >= st.st_size);
    actor_kill(&bob);
    shared_directory_remove();
}

static void lock_for_writing(struct actor *self, void *data)
{
    struct flock change = {.l_type = F_WRLCK, .l_whence = SEEK_SET, .l_start = INT64_MAX - 2, .l_len = 1};
    int fd = open(data, O_RDWR | O_CLOEXEC);

    NEED(fd >= 0);
    NEED(fcntl(fd, F_OFD_SETLK, &change) == 0);
    actor_done(self);
    actor_wait(self);
    actor_done(self);
}

static void a_lock_of_someone_who_may_write_is_waited_for_with_an_end(void **state)
{
    struct diskalloc_region *r = NULL;
    struct diskalloc *da;
    struct actor bob;
    uint64_t began;

    (void)state;
    shared_directory_make();
    da = open_directory();
    assert_int_equal(open_mode(da, "open", 0666, DISKALLOC_REGION_CREATE, &r), 0);
    actor_start(&bob, lock_for_writing, (void *)in_directory("open"), BOB);
    actor_await(&bob);
    began = clock_now();
    EXPECT_FAILURE(-ETIMEDOUT, "diskalloc_region_resize_wait", diskalloc_region_resize_wait(r, MIB, 300));
    expect_sentence("locked");
    assert_in_range(clock_now() - began, 300, 3000);
    EXPECT_FAILURE(-EBUSY, "diskalloc_region_resize", diskalloc_region_resize(r, MIB));
    expect_sentence("locked");
    assert_in_range(clock_now() - began, 1000, 30000);
    assert_int_equal(diskalloc_region_size(r), 8192);
    actor_kill(&bob);
    assert_int_equal(diskalloc_region_resize(r, MIB), 0);
    diskalloc_region_close(r);
    diskalloc_close(da);
    shared_directory_remove();
}

static void hold_a_lease(struct actor *self, void *data)
{
    int fd = open(data, O_RDWR | O_CREAT | O_CLOEXEC, 0666);

    signal(SIGIO, SIG_IGN);
    NEED(fd >= 0 && fchmod(fd, 0666) == 0);
    NEED(fcntl(fd, F_SETLEASE, F_WRLCK) == 0);
    actor_done(self);
    actor_wait(self);
    actor_done(self);
}

// Looking for a handle passes by the file that has the lease, too.
static void be_refused_at_once(struct diskalloc *da)
{
    struct diskalloc_region *r = NULL;
    uint64_t began = clock_now();

    EXPECT_FAILURE(-EACCES, "diskalloc_region_open", open_mode(da, "data", 0600, DISKALLOC_REGION_CREATE, &r));
    diskalloc_region_attach(da, "0123456789abcdef0123456789abcdef", NULL, &r);
    assert_null(r);
    assert_true(clock_now() - began < 5000);
}

static void a_lease_of_another_user_holds_up_nobody(void **state)
{
    struct actor bob;

    (void)state;
    shared_directory_make();
    actor_start(&bob, hold_a_lease, (void *)in_directory("data"), BOB);
    actor_await(&bob);
    as_user(ALICE, be_refused_at_once);
    actor_kill(&bob);
    shared_directory_remove();
}

// ---- Programs that remove old files ----

static void clean(void)
{
    const char *dir = shared_directory();
    char command[700];

    snprintf(command, sizeof command,
             "printf 'e %s - - - 1s\\n' > '%s.conf' && sleep 2.1 && systemd-tmpfiles --clean '%s.conf'; rm '%s.conf'",
             dir, dir, dir, dir);
    assert_int_equal(system(command), 0);
}

static void what_is_open_does_not_age(void **state)
{
    struct diskalloc_region *r = NULL;
    struct diskalloc *da = NULL;
    char address[320];

    (void)state;
    if (system("command -v systemd-tmpfiles > /dev/null") != 0) {
        print_message("skipped: there is no systemd-tmpfiles\n");
        skip();
    }
    shared_directory_make();
    assert_return_code(mkdir(in_directory("project"), 0777), errno);
    snprintf(address, sizeof address, "dir:%s", in_directory("project"));
    assert_int_equal(diskalloc_open(address, NULL, &da), 0);
    assert_int_equal(open_mode(da, "kept", 0600, DISKALLOC_REGION_CREATE, &r), 0);
    clean();
    assert_return_code(access(in_directory("project/kept"), F_OK), errno);
    assert_int_equal(diskalloc_region_resize(r, MIB), 0);
    diskalloc_region_close(r);
    diskalloc_close(da);
    clean();
    assert_int_equal(access(in_directory("project"), F_OK), -1);
    shared_directory_remove();
}

static void what_was_removed_is_noticed_and_its_memory_stays(void **state)
{
    struct diskalloc_region *r = NULL, *more = NULL;
    struct diskalloc *da;
    char *data;

    (void)state;
    shared_directory_make();
    da = open_directory();
    assert_int_equal(open_mode(da, "aged", 0600, DISKALLOC_REGION_CREATE, &r), 0);
    data = diskalloc_region_data(r);
    memset(data, 3, 8192);
    assert_int_equal(diskalloc_region_discard(r, 0, 4096), 0);
    assert_return_code(unlink(in_directory("aged")), errno);
    EXPECT_FAILURE(-ESTALE, "diskalloc_region_refresh", diskalloc_region_refresh(r));
    expect_sentence("unlinked");
    EXPECT_FAILURE(-ESTALE, "diskalloc_region_resize", diskalloc_region_resize(r, MIB));
    EXPECT_FAILURE(-ESTALE, "diskalloc_region_resize_wait", diskalloc_region_resize_wait(r, MIB, -1));
    EXPECT_FAILURE(-ESTALE, "diskalloc_region_resize", diskalloc_region_resize(r, 10));
    EXPECT_FAILURE(-ESTALE, "diskalloc_region_discard", diskalloc_region_discard(r, 4096, 4096));
    EXPECT_FAILURE(-ESTALE, "diskalloc_region_restore", diskalloc_region_restore(r, 0, 8192));
    EXPECT_FAILURE(-ESTALE, "diskalloc_region_commit", diskalloc_region_commit(r, 8, 8, 0));
    for (size_t i = 4096; i < 8192; i++)
        assert_int_equal(data[i], 3);
    memset(data + 4096, 4, 4096);
    diskalloc_region_close(r);
    assert_return_code(rmdir(shared_directory()), errno);
    EXPECT_FAILURE(-ENOENT, "diskalloc_region_open", open_mode(da, "more", 0600, DISKALLOC_REGION_CREATE, &more));
    expect_sentence("was removed");
    diskalloc_close(da);
    shared_directory_remove();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_lock_of_someone_who_may_only_read_keeps_nobody_from_growing),
        TEST(processes_that_grow_beside_a_strangers_lock_never_cut_each_other),
        TEST(a_lock_of_someone_who_may_write_is_waited_for_with_an_end),
        TEST(a_lease_of_another_user_holds_up_nobody),
        TEST(what_is_open_does_not_age),
        TEST(what_was_removed_is_noticed_and_its_memory_stays),
    };

    if (geteuid() != 0)
        test_skip_all("being several users needs root");
    return cmocka_run_group_tests(tests, NULL, NULL);
}
