// Devices that fail below ext4 and xfs while programs are at work (device mapper: writes that fail, writes that are
// lost, a device that does nothing any more).  Programs get errors, or SIGBUS where they touch what cannot be read;
// whoever asks the daemon is answered, and it ends when it is told to.  On the mended file system the next daemon
// starts, what was committed durably is there unless the device has lied, and everything goes on.
#include <diskalloc/client.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/mman.h>
#include <sys/wait.h>

#include "tests/faults/load.h"
#include "tests/lib/actor.h"
#include "tests/lib/harness.h"
#include "tests/lib/mapped_disk.h"
#include "tests/lib/test_backend.h"

enum { SIZE_MIB = 320, LEDGER = 64 * 1024, PAGES = 200, FAILURES = 20 };

// What the keeper of a ledger was told.
struct ledger {
    atomic_ullong durable; // its entries that are on the disk
    atomic_uint n_failed;  // commits
};

static uint64_t entry(uint64_t i)
{
    return (i + 1) * 0x9e3779b97f4a7c15u;
}

static struct diskalloc_region *open_ledger(struct diskalloc *da)
{
    struct diskalloc_region_options o = DISKALLOC_REGION_OPTIONS_INIT;
    struct diskalloc_region *r;

    o.size = LEDGER;
    o.flags = DISKALLOC_REGION_CREATE;
    if (diskalloc_region_open(da, "ledger", &o, &r) < 0)
        fail_msg("%s", diskalloc_last_error());
    return r;
}

// Writes entries and commits each.  When a commit has failed, no later one may succeed: what was written before is
// lost.
static void keep_ledger(struct load_scene *s, struct ledger *l)
{
    struct diskalloc_region *r;
    struct diskalloc *da;
    uint64_t *entries;

    signal(SIGBUS, SIG_DFL);
    NEED(diskalloc_open(s->daemon.address, NULL, &da) == 0);
    r = open_ledger(da);
    entries = diskalloc_region_data(r);
    for (uint64_t n = 0; n < LEDGER / sizeof *entries && l->n_failed < FAILURES; n++) {
        int e;

        entries[n] = entry(n);
        e = diskalloc_region_commit(r, (n + 1) * sizeof *entries, sizeof *entries, DISKALLOC_DURABLE);
        if (e < 0) {
            NEED(diskalloc_last_error()[0]);
            l->n_failed++;
        } else {
            NEED(l->n_failed == 0);
            l->durable = n + 1;
        }
    }
    pause();
}

static bool has_entries(void *data)
{
    struct ledger *l = data;

    return l->durable >= 3;
}

static bool has_failed(void *data)
{
    struct ledger *l = data;

    return l->n_failed > 0;
}

static pid_t start_keeper(struct load_scene *s, struct ledger *l)
{
    pid_t pid = fork();

    if (pid == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        keep_ledger(s, l);
        _exit(0);
    }
    test_wait_until(has_entries, l, 60, "a ledger with entries");
    return pid;
}

static void end_keeper(pid_t pid)
{
    int status;

    kill(pid, SIGKILL);
    assert_int_equal(waitpid(pid, &status, 0), pid);
    if (!WIFSIGNALED(status) || (WTERMSIG(status) != SIGKILL && WTERMSIG(status) != SIGBUS))
        fail_msg("the keeper of the ledger ended with wait status 0x%x", (unsigned)status);
}

static void check_ledger(const struct load_scene *s, const struct ledger *l)
{
    struct diskalloc *da;
    struct diskalloc_region *r;
    const uint64_t *entries;
    uint64_t n;

    assert_int_equal(diskalloc_open(s->daemon.address, NULL, &da), 0);
    r = open_ledger(da);
    entries = diskalloc_region_data(r);
    n = diskalloc_region_used(r) / sizeof *entries;
    if (n < l->durable)
        fail_msg("%llu entries were durable, and %llu are there", l->durable, (unsigned long long)n);
    for (uint64_t i = 0; i < l->durable; i++)
        if (entries[i] != entry(i))
            fail_msg("the entry %llu of %llu is lost", (unsigned long long)i, l->durable);
    diskalloc_region_close(r);
    diskalloc_close(da);
}

static void unlink_all(const struct load_scene *now, const struct load_scene *before)
{
    struct diskalloc *da;
    char name[32];

    assert_int_equal(diskalloc_open(now->daemon.address, NULL, &da), 0);
    for (unsigned i = 0; i < PROGRAMS; i++) {
        snprintf(name, sizeof name, "of-%d", (int)before->programs[i]);
        diskalloc_region_unlink(da, name);
    }
    diskalloc_region_unlink(da, "ledger");
    diskalloc_close(da);
}

static void expect_answer(const struct load_scene *s)
{
    struct diskalloc_usage usage;
    struct diskalloc *da;

    assert_int_equal(diskalloc_open(s->daemon.address, NULL, &da), 0);
    assert_int_equal(diskalloc_get_usage(da, "total", &usage, sizeof usage), 0);
    diskalloc_close(da);
}

static void break_and_mend(const char *type, enum mapped_state state)
{
    bool lies = state == MAPPED_WRITES_ARE_LOST;
    struct load_scene s = {0}, again = {0};
    struct mapped_disk d;
    struct ledger *l;
    pid_t keeper;

    if (!mapped_disk_make(&d, type, SIZE_MIB * MIB))
        skip();
    l = mmap(NULL, sizeof *l, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    assert_true(l != MAP_FAILED);
    s.mount = again.mount = d.mount;
    s.mount.mounted = again.mount.mounted = false; // mapped_disk_remove unmounts it
    load_begin(&s);
    keeper = start_keeper(&s, l);
    mapped_disk_set(&d, state);
    if (lies) {
        load_await_done(&s);
    } else {
        load_await_refused(&s);
        test_wait_until(has_failed, l, 60, "a durable commit that fails");
    }
    expect_answer(&s);
    load_end_programs(&s, true);
    end_keeper(keeper);
    load_finish(&s);
    mapped_disk_mend(&d);
    load_begin(&again);
    if (!lies)
        check_ledger(&again, l);
    unlink_all(&again, &s);
    load_end_well(&again, false);
    print_message("[ NOTE     ] %s: %llu durable entries, %u commits failed\n", type, l->durable, l->n_failed);
    munmap(l, sizeof *l);
    mapped_disk_remove(&d);
}

static void writes_that_fail_below_ext4(void **state)
{
    (void)state;
    break_and_mend("ext4", MAPPED_WRITES_FAIL);
}

static void writes_that_fail_below_xfs(void **state)
{
    (void)state;
    break_and_mend("xfs", MAPPED_WRITES_FAIL);
}

static void writes_that_are_lost_below_ext4(void **state)
{
    (void)state;
    break_and_mend("ext4", MAPPED_WRITES_ARE_LOST);
}

static void writes_that_are_lost_below_xfs(void **state)
{
    (void)state;
    break_and_mend("xfs", MAPPED_WRITES_ARE_LOST);
}

static void a_device_that_is_gone_below_ext4(void **state)
{
    (void)state;
    break_and_mend("ext4", MAPPED_ALL_FAILS);
}

static void a_device_that_is_gone_below_xfs(void **state)
{
    (void)state;
    break_and_mend("xfs", MAPPED_ALL_FAILS);
}

struct reader {
    struct mapped_disk *disk;
    const char *address;
};

static void drop_caches(void)
{
    FILE *f = fopen("/proc/sys/vm/drop_caches", "we");

    NEED(f && fputs("3", f) >= 0 && fclose(f) == 0);
}

// Granted bytes that cannot be read raise SIGBUS in the program that touches them; what is in memory can be used.
static void touch_what_cannot_be_read(void *data)
{
    const struct reader *reader = data;
    struct diskalloc_region_options o = DISKALLOC_REGION_OPTIONS_INIT;
    struct diskalloc_region *r, *warm;
    struct diskalloc *da;
    volatile uint8_t *bytes;

    signal(SIGBUS, SIG_DFL);
    o.size = PAGES * 4096;
    NEED(diskalloc_open(reader->address, NULL, &da) == 0);
    NEED(diskalloc_region_create(da, &o, &r) == 0 && diskalloc_region_create(da, &o, &warm) == 0);
    memset(diskalloc_region_data(r), 1, o.size);
    NEED(diskalloc_region_sync(r) == 0);
    NEED(madvise(diskalloc_region_data(r), o.size, MADV_DONTNEED) == 0); // mapped pages stay in the cache
    drop_caches();
    memset(diskalloc_region_data(warm), 2, o.size);
    mapped_disk_set(reader->disk, MAPPED_ALL_FAILS);
    bytes = diskalloc_region_data(warm);
    for (uint64_t i = 0; i < o.size; i += 4096)
        NEED(bytes[i] == 2);
    NEED(diskalloc_region_sync(warm) == -EIO && diskalloc_region_sync(warm) == -EIO);
    bytes = diskalloc_region_data(r);
    for (uint64_t i = 0; i < o.size; i += 4096)
        NEED(bytes[i] == 1);
}

static void read_errors(const char *type)
{
    struct mapped_disk d;
    struct test_daemon daemon;
    struct reader reader = {.disk = &d};
    char spill[200];
    int status;

    if (!mapped_disk_make(&d, type, SIZE_MIB * MIB))
        skip();
    snprintf(spill, sizeof spill, "%s/spill", d.mount.at);
    assert_int_equal(mkdir(spill, 0700), 0);
    test_daemon_start(&daemon, NULL, spill);
    reader.address = daemon.address;
    status = test_in_child(touch_what_cannot_be_read, &reader, (uid_t)-1);
    if (!WIFSIGNALED(status) || WTERMSIG(status) != SIGBUS)
        fail_msg("the program ended with wait status 0x%x", (unsigned)status);
    test_daemon_stop_and_remove(&daemon);
    mapped_disk_mend(&d);
    mapped_disk_remove(&d);
}

static void reads_that_fail_on_ext4_are_sigbus_for_the_reader_alone(void **state)
{
    (void)state;
    read_errors("ext4");
}

static void reads_that_fail_on_xfs_are_sigbus_for_the_reader_alone(void **state)
{
    (void)state;
    read_errors("xfs");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(writes_that_fail_below_ext4),
        TEST(writes_that_fail_below_xfs),
        TEST(writes_that_are_lost_below_ext4),
        TEST(writes_that_are_lost_below_xfs),
        TEST(a_device_that_is_gone_below_ext4),
        TEST(a_device_that_is_gone_below_xfs),
        TEST(reads_that_fail_on_ext4_are_sigbus_for_the_reader_alone),
        TEST(reads_that_fail_on_xfs_are_sigbus_for_the_reader_alone),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
