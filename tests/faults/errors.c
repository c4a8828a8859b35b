// Disks that refuse or fail while programs are at work: quotas and inodes that are used up, writes that fail, a file
// system that becomes read-only, and one that is unmounted.  Programs get errors, the daemon lives, the charges are
// what is on disk, and everything goes on when the disk is well again.  (Disks that fill up: fill.c.)
#include <dirent.h>
#include <diskalloc/client.h>
#include <diskalloc/vec.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/wait.h>

#include "proto/util/cleanup.h"
#include "tests/lib/actor.h"
#include "tests/lib/loop_mount.h"
#include "tests/lib/scratch.h"
#include "tests/lib/test_backend.h"
#include "tests/lib/test_daemon.h"

DISKALLOC_VEC_DEFINE(numbers, uint64_t)

enum { PROGRAMS = 3, REFUSALS = 30, SUCCESSES = 30, MEMBERS = 40000, REGIONS = 40 };

// Words of the programs, and words to them.
struct load {
    atomic_bool stop;
    atomic_uint n_done, n_refused; // calls
};

struct scene {
    struct test_mount mount;
    char spill[200];
    struct test_daemon daemon;
    struct load *load;
    pid_t programs[PROGRAMS];
    unsigned least; // of the counter that is waited for
};

static bool is_refusal(int e)
{
    // EROFS: of a sync, as the kernel says.
    static const int known[] = {ENOSPC, EDQUOT, EIO, EMFILE, ETIMEDOUT, ECONNRESET, ESTALE, ENOENT, EROFS};

    for (size_t i = 0; i < sizeof known / sizeof *known; i++)
        if (e == -known[i])
            return true;
    return false;
}

// True if the call with the result E has succeeded.
static bool count(struct load *load, int e)
{
    if (e >= 0) {
        load->n_done++;
        return true;
    }
    load->n_refused++;
    if (!is_refusal(e))
        fprintf(stderr, "%d: %s\n", e, diskalloc_last_error());
    NEED(is_refusal(e));
    NEED(diskalloc_last_error()[0]);
    return false;
}

static void push_and_drop(struct load *load, struct diskalloc *da)
{
    struct numbers v;
    uint64_t n = 0;
    int e = 0;

    if (!count(load, numbers_init(&v, da)))
        return;
    while (n < MEMBERS && (e = numbers_push(&v, n * 7)) == 0)
        n++;
    count(load, e);
    NEED(v.len == n);
    for (uint64_t i = 0; i < n; i++)
        NEED(v.data[i] == i * 7);
    numbers_deinit(&v);
}

static void grow_and_shrink(struct load *load, struct diskalloc *da)
{
    struct diskalloc_region *r;

    if (!count(load, diskalloc_region_create(da, NULL, &r)))
        return;
    if (count(load, diskalloc_region_resize(r, 4 * MIB))) {
        memset(diskalloc_region_data(r), 3, 4 * MIB);
        if (count(load, diskalloc_region_discard(r, MIB, MIB)))
            count(load, diskalloc_region_restore(r, MIB, MIB));
        count(load, diskalloc_region_sync(r));
        count(load, diskalloc_region_resize(r, MIB));
        NEED(diskalloc_region_size(r) >= MIB);
        for (uint64_t i = 0; i < MIB; i += 512)
            NEED(((uint8_t *)diskalloc_region_data(r))[i] == 3);
    }
    diskalloc_region_close(r);
}

static void make_many(struct load *load, struct diskalloc *da)
{
    struct diskalloc_region *regions[REGIONS];
    unsigned n = 0;

    while (n < REGIONS && count(load, diskalloc_region_create(da, NULL, &regions[n])))
        n++;
    while (n > 0)
        diskalloc_region_close(regions[--n]);
}

static void open_and_unlink(struct load *load, struct diskalloc *da)
{
    struct diskalloc_region_options o = DISKALLOC_REGION_OPTIONS_INIT;
    struct diskalloc_region *r;
    char name[32];

    snprintf(name, sizeof name, "of-%d", (int)getpid());
    o.size = 100 * KIB;
    o.flags = DISKALLOC_REGION_CREATE;
    if (!count(load, diskalloc_region_open(da, name, &o, &r)))
        return;
    count(load, diskalloc_region_commit(r, 8 * KIB, 8, 0));
    diskalloc_region_close(r);
    for (int e = -1; e < 0 && e != -ENOENT && !load->stop;) // also when the disk is well again
        count(load, e = diskalloc_region_unlink(da, name));
}

static void work(const struct scene *s)
{
    struct diskalloc_options o = DISKALLOC_OPTIONS_INIT;
    struct diskalloc *da;

    signal(SIGBUS, SIG_DFL); // cmocka's would go on with the next test
    o.reconnect_timeout_ms = 1000;
    NEED(diskalloc_open(s->daemon.address, &o, &da) == 0);
    while (!s->load->stop) {
        push_and_drop(s->load, da);
        grow_and_shrink(s->load, da);
        make_many(s->load, da);
        open_and_unlink(s->load, da);
    }
    diskalloc_close(da);
}

static bool has_done(void *data)
{
    struct scene *s = data;

    return s->load->n_done >= s->least;
}

static bool has_refused(void *data)
{
    struct scene *s = data;

    return s->load->n_refused >= s->least;
}

static void await_done(struct scene *s)
{
    s->least = s->load->n_done + SUCCESSES;
    test_wait_until(has_done, s, 60, "calls that succeed");
}

static void await_refused(struct scene *s)
{
    s->least = s->load->n_refused + REFUSALS;
    test_wait_until(has_refused, s, 60, "calls that are refused");
}

// On what is mounted at s->mount.
static void begin(struct scene *s)
{
    snprintf(s->spill, sizeof s->spill, "%s/spill", s->mount.at);
    assert_int_equal(mkdir(s->spill, 0700), 0);
    test_daemon_start(&s->daemon, NULL, s->spill);
    s->load = mmap(NULL, sizeof *s->load, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    assert_true(s->load != MAP_FAILED);
    for (unsigned i = 0; i < PROGRAMS; i++) {
        s->programs[i] = fork();
        if (s->programs[i] == 0) {
            prctl(PR_SET_PDEATHSIG, SIGKILL);
            work(s);
            _exit(0);
        }
    }
    await_done(s);
}

static bool is_empty(void *data)
{
    struct diskalloc_usage usage;

    return diskalloc_get_usage(data, "total", &usage, sizeof usage) == 0 && usage.bytes == 0 && usage.regions == 0;
}

static void remove_names(struct scene *s, struct diskalloc *da)
{
    char name[32];

    for (unsigned i = 0; i < PROGRAMS; i++) {
        snprintf(name, sizeof name, "of-%d", (int)s->programs[i]);
        diskalloc_region_unlink(da, name);
    }
}

// MAY_LOSE: the disk has lost writes, or is gone: memory on it may raise SIGBUS, and lose what was stored.
static void end_programs(struct scene *s, bool may_lose)
{
    int status;

    s->load->stop = true;
    for (unsigned i = 0; i < PROGRAMS; i++) {
        assert_int_equal(waitpid(s->programs[i], &status, 0), s->programs[i]);
        if (status != 0 && !(may_lose && WIFSIGNALED(status) && WTERMSIG(status) == SIGBUS))
            fail_msg("a program ended with wait status 0x%x", (unsigned)status);
    }
}

static void finish(struct scene *s)
{
    print_message("[ NOTE     ] %u calls succeeded, %u were refused\n", s->load->n_done, s->load->n_refused);
    munmap(s->load, sizeof *s->load);
    test_daemon_stop_and_remove(&s->daemon);
    test_unmount(&s->mount);
}

// Nothing is charged and nothing is left of programs that have ended.
static void check_empty(struct scene *s)
{
    struct diskalloc *da;
    char dir[240];

    assert_int_equal(diskalloc_open(s->daemon.address, NULL, &da), 0);
    remove_names(s, da);
    test_wait_until(is_empty, da, 60, "nothing is charged any more");
    diskalloc_close(da);
    snprintf(dir, sizeof dir, "%s/%u", s->spill, (unsigned)geteuid());
    assert_int_equal(test_count_files(dir), 0);
}

// The disk is well again: everything goes on.
static void end_well(struct scene *s, bool may_lose)
{
    await_done(s);
    end_programs(s, may_lose);
    check_empty(s);
    finish(s);
}

static bool shell(const char *format, const char *at)
{
    char command[600];

    snprintf(command, sizeof command, format, at);
    return system(command) == 0;
}

// Quotas of btrfs: there the guarantee is soft, and the limit can't be raised while it is reached; nor can files be
// truncated, if nothing is left for that.
static void a_quota_of_the_disk_that_is_used_up(void **state)
{
    struct scene s = {0};

    (void)state;
    if (!test_mount(&s.mount, "btrfs", 320 * MIB))
        skip();
    if (!shell("btrfs quota enable %1$s >/dev/null 2>&1 && btrfs qgroup limit 200M %1$s >/dev/null 2>&1", s.mount.at)) {
        test_unmount(&s.mount);
        skip();
    }
    begin(&s);
    assert_true(shell("btrfs qgroup limit 6M %1$s >/dev/null 2>&1", s.mount.at));
    await_refused(&s);
    end_programs(&s, true);
    assert_true(shell("btrfs quota disable %1$s >/dev/null 2>&1", s.mount.at));
    check_empty(&s);
    finish(&s);
}

static void inodes_that_are_used_up(void **state)
{
    struct scene s = {0};

    (void)state;
    if (!test_mount_with(&s.mount, "ext4", 64 * MIB, "-N64", NULL))
        skip();
    begin(&s);
    await_refused(&s);
    end_well(&s, false);
}

// As when ext4 finds an error and its mount says errors=remount-ro.  False: the kernel does not offer that.
static bool damage(const char *at)
{
    _cleanup_close_ int fd = -1;
    char path[96], link[64] = "", device[128] = "";
    struct stat st;

    assert_int_equal(stat(at, &st), 0);
    snprintf(link, sizeof link, "/sys/dev/block/%u:%u", major(st.st_dev), minor(st.st_dev));
    assert_true(readlink(link, device, sizeof device - 1) > 0);
    assert_int_equal(mount(NULL, at, NULL, MS_REMOUNT, "errors=remount-ro"), 0);
    snprintf(path, sizeof path, "/sys/fs/ext4/%.32s/trigger_fs_error", strrchr(device, '/') + 1);
    fd = open(path, O_WRONLY | O_CLOEXEC);
    return fd >= 0 && write(fd, "test", 4) == 4;
}

// Nothing can be granted or removed any more; but who asks is answered, and the daemon ends when it is told to.
static void a_disk_that_becomes_read_only(void **state)
{
    struct diskalloc_usage usage;
    struct diskalloc *da;
    struct scene s = {0};

    (void)state;
    if (!test_mount(&s.mount, "ext4", 64 * MIB))
        skip();
    begin(&s);
    if (damage(s.mount.at)) {
        await_refused(&s);
        assert_int_equal(diskalloc_open(s.daemon.address, NULL, &da), 0);
        assert_int_equal(diskalloc_get_usage(da, "total", &usage, sizeof usage), 0);
        diskalloc_close(da);
    }
    end_programs(&s, true);
    finish(&s);
}

static void a_disk_that_is_unmounted_and_comes_back(void **state)
{
    struct scene s = {0};

    (void)state;
    if (!test_mount(&s.mount, "ext4", 64 * MIB))
        skip();
    begin(&s);
    assert_int_equal(umount2(s.mount.at, MNT_DETACH), 0);
    await_refused(&s);
    assert_int_equal(test_remount(&s.mount, "ext4"), 0);
    end_well(&s, true);
}

// An image without blocks, on a tmpfs that somebody else fills: the writes of the file system in the image fail.
// False: no mounts here.
static bool mount_thin(struct scene *s, const char *thin)
{
    int image;

    if (geteuid() != 0 || unshare(CLONE_NEWNS) < 0 || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0 ||
        mount("none", thin, "tmpfs", 0, "size=256M,mode=0755") < 0)
        return false;
    snprintf(s->mount.image, sizeof s->mount.image, "%.100s/image", thin);
    snprintf(s->mount.at, sizeof s->mount.at, "%.100s/at", thin);
    image = open(s->mount.image, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (image < 0 || ftruncate(image, 64 * MIB) < 0 || mkdir(s->mount.at, 0755) < 0)
        return false;
    close(image);
    return shell("mkfs.ext4 -q -F %s >/dev/null 2>&1", s->mount.image) && test_remount(&s->mount, "ext4") == 0;
}

// Stores of the programs can't be written out: they are told by sync, and whoever asks the daemon is answered.
static void a_disk_whose_writes_fail(void **state)
{
    struct diskalloc_usage usage;
    struct diskalloc *da;
    struct scene s = {0};
    char thin[128];

    (void)state;
    scratch_make_dir(thin, sizeof thin);
    if (!mount_thin(&s, thin)) {
        umount2(thin, MNT_DETACH);
        skip();
    }
    begin(&s);
    assert_true(
        shell("fallocate -l 300M %1$s/other 2>/dev/null || cat /dev/zero >%1$s/other 2>/dev/null || true", thin));
    await_refused(&s);
    assert_int_equal(diskalloc_open(s.daemon.address, NULL, &da), 0);
    assert_int_equal(diskalloc_get_usage(da, "total", &usage, sizeof usage), 0);
    diskalloc_close(da);
    end_programs(&s, true);
    finish(&s);
    umount2(s.mount.at, MNT_DETACH);
    umount2(thin, MNT_DETACH);
    rmdir(thin);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_quota_of_the_disk_that_is_used_up),
        TEST(inodes_that_are_used_up),
        TEST(a_disk_that_becomes_read_only),
        TEST(a_disk_that_is_unmounted_and_comes_back),
        TEST(a_disk_whose_writes_fail),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
