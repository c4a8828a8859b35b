// Disks that fill up, again and again, while programs store to everything that they were granted: no SIGBUS where the
// guarantee is hard, no lost byte, and the charges are what is on disk.  And a disk that goes away under load.
//
// $DISKALLOC_FILL_CYCLES: how often each disk is filled with a daemon, and as often without (25; fill: 125).
#include <diskalloc/client.h>
#include <diskalloc/vec.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <sched.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/wait.h>

#include "proto/util/cleanup.h"
#include "proto/util/clock.h"
#include "tests/lib/harness.h"
#include "tests/lib/loop_mount.h"
#include "tests/lib/scratch.h"
#include "tests/lib/test_daemon.h"

DISKALLOC_VEC_DEFINE(numbers, uint64_t)

enum {
    CYCLES = 25,
    LEFT_MIB = 3,       // of the disk, beside a file that fills the rest
    MOST_REGIONS = 400, // of one cycle
    STEP = 192 * 1024,
    DEADLINE_S = 120, // of a test, in place of the harness's, and for each cycle
    DEADLINE_CYCLE_S = 10,
};

#ifndef EXT4_IOC_SHUTDOWN
#define EXT4_IOC_SHUTDOWN _IOR('X', 125, uint32_t) // xfs has the same
#endif

struct disk {
    const char *type;
    struct test_mount mount;
    bool is_tmpfs;
    char spill[200], other[200]; // the directory for regions; a file of another program's
    char address[256];
};

static unsigned n_cycles(void)
{
    const char *text = getenv("DISKALLOC_FILL_CYCLES");

    return text && atoi(text) > 0 ? (unsigned)atoi(text) : CYCLES;
}

static bool tmpfs_begin(struct disk *d)
{
    if (geteuid() != 0 || unshare(CLONE_NEWNS) < 0 || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0)
        return false;
    scratch_make_dir(d->mount.at, sizeof d->mount.at);
    return mount("none", d->mount.at, "tmpfs", 0, "size=24M,nr_inodes=300,mode=0755") == 0;
}

// Another program takes up the disk, but for LEFT bytes.
static void take_up(const struct disk *d, uint64_t left)
{
    _cleanup_close_ int fd = open(d->other, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    struct statvfs fs;

    assert_true(fd >= 0);
    assert_int_equal(ftruncate(fd, 0), 0);
    assert_int_equal(fstatvfs(fd, &fs), 0);
    for (uint64_t step = MIB, at = 0; step >= 64 * KIB;) {
        assert_int_equal(fstatvfs(fd, &fs), 0);
        if ((uint64_t)fs.f_bavail * fs.f_frsize < left + step || fallocate(fd, 0, (off_t)at, (off_t)step) < 0)
            step /= 2;
        else
            at += step;
    }
}

static bool disk_begin(struct disk *d, const char *type)
{
    *d = (struct disk){.type = type, .is_tmpfs = strcmp(type, "tmpfs") == 0};
    if (d->is_tmpfs ? !tmpfs_begin(d) : !test_mount(&d->mount, type, strcmp(type, "ext4") == 0 ? 48 * MIB : 320 * MIB))
        return false;
    snprintf(d->spill, sizeof d->spill, "%s/spill", d->mount.at);
    snprintf(d->other, sizeof d->other, "%s/other", d->mount.at);
    assert_int_equal(mkdir(d->spill, 0700), 0);
    return true;
}

static void disk_end(struct disk *d)
{
    if (!d->is_tmpfs) {
        test_unmount(&d->mount);
        return;
    }
    umount2(d->mount.at, MNT_DETACH);
    rmdir(d->mount.at);
}

static bool is_full(int r)
{
    return r == -ENOSPC || r == -EDQUOT || r == -EMFILE;
}

static uint64_t word_at(uint64_t seed, uint64_t i)
{
    return (i + 1) * 0x9e3779b97f4a7c15u ^ seed;
}

static void store(struct diskalloc_region *r, uint64_t seed, uint64_t from, uint64_t to)
{
    uint64_t *words = diskalloc_region_data(r);

    for (uint64_t i = from / 8; i < to / 8; i++)
        words[i] = word_at(seed, i);
}

static void check(struct diskalloc_region *r, uint64_t seed, uint64_t from, uint64_t to)
{
    const uint64_t *words = diskalloc_region_data(r);

    for (uint64_t i = from / 8; i < to / 8; i++)
        if (words[i] != word_at(seed, i))
            fail_msg("the word %llu is lost", (unsigned long long)i);
}

// Grows R until the disk is full, and stores to all of it.
static void fill_region(struct diskalloc_region *r, uint64_t seed)
{
    uint64_t size = diskalloc_region_size(r);
    int e;

    while ((e = diskalloc_region_resize(r, size + STEP)) == 0) {
        store(r, seed, size, size + STEP);
        size += STEP;
    }
    if (!is_full(e))
        fail_msg("growing to the end of the disk: %d: %s", e, diskalloc_last_error());
    assert_int_equal(diskalloc_region_size(r), size);
    check(r, seed, 0, size);
    store(r, seed + 1, 0, size); // also after writeback
    check(r, seed + 1, 0, size);
}

static void cycle_region(struct diskalloc *da, unsigned i)
{
    struct diskalloc_region *r;

    assert_int_equal(diskalloc_region_create(da, NULL, &r), 0);
    fill_region(r, i);
    diskalloc_region_sync(r);
    diskalloc_region_close(r);
}

static void cycle_vector(struct diskalloc *da, unsigned i)
{
    struct numbers v;
    uint64_t n = 0;
    int e;

    assert_int_equal(numbers_init(&v, da), 0);
    while ((e = numbers_push(&v, word_at(i, n))) == 0)
        n++;
    assert_true(is_full(e));
    assert_int_equal(v.len, n);
    for (uint64_t k = 0; k < n; k++)
        if (v.data[k] != word_at(i, k))
            fail_msg("the element %llu is lost", (unsigned long long)k);
    numbers_deinit(&v);
}

static void cycle_name(struct diskalloc *da, unsigned i)
{
    struct diskalloc_region_options o = DISKALLOC_REGION_OPTIONS_INIT;
    struct diskalloc_region *r;
    uint64_t size;

    o.flags = DISKALLOC_REGION_CREATE;
    assert_int_equal(diskalloc_region_open(da, "filled", &o, &r), 0);
    fill_region(r, i);
    size = diskalloc_region_size(r);
    diskalloc_region_close(r);
    assert_int_equal(diskalloc_region_open(da, "filled", &o, &r), 0);
    assert_int_equal(diskalloc_region_size(r), size);
    check(r, i + 1, 0, size);
    // Space is given back on a full disk, and granted again.
    assert_int_equal(diskalloc_region_resize(r, size / 2), 0);
    check(r, i + 1, 0, size / 2);
    store(r, i + 1, 0, size / 2);
    assert_int_equal(diskalloc_region_unlink(da, "filled"), 0);
    diskalloc_region_close(r);
}

static void cycle_many(struct diskalloc *da, unsigned i)
{
    struct diskalloc_region *regions[MOST_REGIONS];
    struct diskalloc_region_options o = DISKALLOC_REGION_OPTIONS_INIT;
    unsigned n = 0;
    int e = 0;

    o.size = 16 * KIB;
    o.reserve = MIB;
    while (n < MOST_REGIONS && (e = diskalloc_region_create(da, &o, &regions[n])) == 0) {
        store(regions[n], i + n, 0, o.size);
        n++;
    }
    assert_true(e == 0 || is_full(e));
    for (unsigned k = 0; k < n; k++) {
        check(regions[k], i + k, 0, o.size);
        diskalloc_region_close(regions[k]);
    }
}

static void cycle_discard(const struct disk *d, struct diskalloc *da, unsigned i)
{
    struct diskalloc_region *r;
    uint64_t size, half;
    int e;

    assert_int_equal(diskalloc_region_create(da, NULL, &r), 0);
    fill_region(r, i);
    size = diskalloc_region_size(r);
    half = size / 2 / 4096 * 4096;
    e = diskalloc_region_discard(r, 0, half);
    if (e == 0) {
        take_up(d, 0);
        e = diskalloc_region_restore(r, 0, half);
        if (e < 0 && !is_full(e))
            fail_msg("restoring on a full disk: %d: %s", e, diskalloc_last_error());
        if (e == 0)
            store(r, i + 1, 0, half);
        store(r, i + 1, half, size);
        check(r, i + 1, half, size);
        take_up(d, LEFT_MIB * MIB);
    } else if (e == -ENOSPC && strncmp(d->address, "dir:", 4) == 0)
        check(r, i + 1, 0, size); // the record needs space, and a directory keeps none for that
    else if (e != -EOPNOTSUPP)
        fail_msg("discarding on a full disk: %d: %s", e, diskalloc_last_error());
    diskalloc_region_close(r);
}

static void fill_and_empty(const struct disk *d, unsigned i)
{
    struct diskalloc *da;

    take_up(d, LEFT_MIB * MIB);
    if (diskalloc_open(d->address, NULL, &da) < 0)
        fail_msg("open: %s", diskalloc_last_error());
    switch (i % 5) {
    case 0:
        cycle_region(da, i);
        break;
    case 1:
        cycle_vector(da, i);
        break;
    case 2:
        cycle_name(da, i);
        break;
    case 3:
        cycle_many(da, i);
        break;
    default:
        cycle_discard(d, da, i);
        break;
    }
    diskalloc_close(da);
}

static void run_cycles(void *data)
{
    const struct disk *d = data;

    alarm(DEADLINE_S + n_cycles() * DEADLINE_CYCLE_S);
    for (unsigned i = 0; i < n_cycles(); i++)
        fill_and_empty(d, i);
}

static bool is_empty(void *data)
{
    struct diskalloc_usage usage;

    return diskalloc_get_usage(data, "total", &usage, sizeof usage) == 0 && usage.bytes == 0 && usage.regions == 0;
}

static void fill_by_daemon(struct disk *d)
{
    struct test_daemon daemon;
    struct diskalloc *da;
    int status;

    test_daemon_start(&daemon, NULL, d->spill);
    snprintf(d->address, sizeof d->address, "%s", daemon.address);
    status = test_in_child(run_cycles, d, (uid_t)-1);
    if (status != 0)
        fail_msg("%s, with a daemon: the program ended with wait status 0x%x", d->type, (unsigned)status);
    assert_int_equal(diskalloc_open(daemon.address, NULL, &da), 0);
    test_wait_until(is_empty, da, 60, "nothing is charged any more");
    diskalloc_close(da);
    test_daemon_stop_and_remove(&daemon);
}

static void fill_disk(const char *type)
{
    struct disk d;
    int status;

    alarm(DEADLINE_S + 2 * n_cycles() * DEADLINE_CYCLE_S);
    if (!disk_begin(&d, type))
        skip();
    fill_by_daemon(&d);
    snprintf(d.address, sizeof d.address, "dir:%s", d.spill);
    status = test_in_child(run_cycles, &d, (uid_t)-1);
    if (status != 0)
        fail_msg("%s, without a daemon: the program ended with wait status 0x%x", type, (unsigned)status);
    assert_int_equal(test_count_files(d.spill), 0);
    print_message("[ NOTE     ] %s: filled %u times, %u with a daemon\n", type, 2 * n_cycles(), n_cycles());
    disk_end(&d);
}

static void a_full_ext4_raises_no_sigbus(void **state)
{
    (void)state;
    fill_disk("ext4");
}

static void a_full_xfs_raises_no_sigbus(void **state)
{
    (void)state;
    fill_disk("xfs");
}

static void a_full_btrfs_raises_no_sigbus(void **state)
{
    (void)state;
    fill_disk("btrfs");
}

static void a_full_tmpfs_raises_no_sigbus(void **state)
{
    (void)state;
    fill_disk("tmpfs");
}

// Pushes and drops vectors until the calls fail, and goes on for a while.
static void push_and_drop(void *data)
{
    const struct disk *d = data;
    struct diskalloc_options o = DISKALLOC_OPTIONS_INIT;
    struct diskalloc *da;

    o.reconnect_timeout_ms = 1000;
    assert_int_equal(diskalloc_open(d->address, &o, &da), 0);
    for (unsigned failures = 0; failures < 100;) {
        struct numbers v;
        int e = numbers_init(&v, da);

        for (uint64_t i = 0; e == 0 && i < 100000; i++)
            e = numbers_push(&v, i);
        failures += e < 0;
        numbers_deinit(&v);
    }
    diskalloc_close(da);
}

static bool has_files(void *data)
{
    const struct disk *d = data;
    char path[256];

    snprintf(path, sizeof path, "%s/%u", d->spill, geteuid());
    return test_count_files(path) > 0;
}

// Memory of a disk that is gone may raise SIGBUS: the disk broke its word.  Nobody hangs; the daemon ends when asked.
static void lose_under_load(const char *type, void (*lose)(struct disk *d))
{
    struct test_daemon daemon;
    struct disk d;
    int status;
    pid_t child;

    if (!disk_begin(&d, type))
        skip();
    test_daemon_start(&daemon, NULL, d.spill);
    snprintf(d.address, sizeof d.address, "%s", daemon.address);
    child = fork();
    if (child == 0) {
        signal(SIGBUS, SIG_DFL); // cmocka's would go on with the next test
        push_and_drop(&d);
        _exit(0);
    }
    test_wait_until(has_files, &d, 60, "the program has regions");
    lose(&d);
    assert_int_equal(waitpid(child, &status, 0), child);
    if (status != 0 && !(WIFSIGNALED(status) && WTERMSIG(status) == SIGBUS))
        fail_msg("the program ended with wait status 0x%x", (unsigned)status);
    test_daemon_stop_and_remove(&daemon);
    disk_end(&d);
}

static void shut_down(struct disk *d)
{
    _cleanup_close_ int fd = open(d->mount.at, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    uint32_t how = 2; // without a flush

    assert_true(fd >= 0);
    if (ioctl(fd, EXT4_IOC_SHUTDOWN, &how) < 0)
        fail_msg("shutting the file system down: %s", strerror(errno));
}

static void take_away(struct disk *d)
{
    assert_int_equal(umount2(d->mount.at, MNT_DETACH), 0);
    d->mount.mounted = false;
}

static void an_ext4_that_is_shut_down_under_load_hangs_nobody(void **state)
{
    (void)state;
    lose_under_load("ext4", shut_down);
}

static void an_xfs_that_is_shut_down_under_load_hangs_nobody(void **state)
{
    (void)state;
    lose_under_load("xfs", shut_down);
}

static void a_disk_that_is_unmounted_under_load_hangs_nobody(void **state)
{
    (void)state;
    lose_under_load("ext4", take_away);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_full_ext4_raises_no_sigbus),
        TEST(a_full_xfs_raises_no_sigbus),
        TEST(a_full_btrfs_raises_no_sigbus),
        TEST(a_full_tmpfs_raises_no_sigbus),
        TEST(an_ext4_that_is_shut_down_under_load_hangs_nobody),
        TEST(an_xfs_that_is_shut_down_under_load_hangs_nobody),
        TEST(a_disk_that_is_unmounted_under_load_hangs_nobody),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
