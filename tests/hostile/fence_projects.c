// The fence of project quotas, on file systems that have them (tests/qemu): the kernel refuses blocks beyond what is
// granted to whoever takes them, and to nobody else.
#include <diskalloc/client.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/falloc.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>

#include "proto/spill/project.h"
#include "tests/lib/actor.h"
#include "tests/lib/disk.h"
#include "tests/lib/test_backend.h"

enum {
    SIZE = 8 << 20,
    FAR = 64 << 20,
    MOST_BEYOND = SIZE / 8 + (1 << 20),
    CAP_ADMIN = 21,
    CAP_RESOURCE = 24, // CAP_SYS_ADMIN, CAP_SYS_RESOURCE
};

struct scene {
    struct disk d;
    struct diskalloc_region *r;
    const char *type;
    int fd;
};

static bool mount_with_projects(struct disk *d, const char *type)
{
    *d = (struct disk){0};
    return strcmp(type, "ext4") == 0 ? test_mount_with(&d->m, type, 192 << 20, "-Oquota,project", "prjquota")
                                     : test_mount_with(&d->m, type, 320 << 20, NULL, "prjquota");
}

// Names of the fences that hold, then what is missing.
static bool says(const struct disk *d, const char *text)
{
    return test_daemon_logged(&d->daemon, text);
}

// On ext4, root's privilege passes quotas: the daemon does without.
static void drop_the_privilege(void)
{
    NEED(prctl(PR_CAPBSET_DROP, CAP_RESOURCE) == 0);
}

static void begin(struct scene *s, const char *type)
{
    *s = (struct scene){.type = type};
    if (!mount_with_projects(&s->d, type))
        skip();
    test_daemon_prepare(drop_the_privilege);
    disk_serve(&s->d, NULL);
    test_daemon_prepare(NULL);
    s->r = make_region(s->d.da, SIZE);
    memset(diskalloc_region_data(s->r), 1, SIZE);
    s->fd = diskalloc_region_fd(s->r);
    assert_true(s->fd >= 0);
}

static void finish(struct scene *s)
{
    diskalloc_region_close(s->r);
    disk_end(&s->d);
}

static int refusal(const struct scene *s)
{
    return strcmp(s->type, "xfs") == 0 ? ENOSPC : EDQUOT;
}

// In another user's process, which was handed the descriptor.
static void take_blocks(void *data)
{
    static char block[1 << 16];
    const struct scene *s = data;
    uint64_t n = 0;

    NEED(fallocate(s->fd, FALLOC_FL_KEEP_SIZE, FAR, FAR) < 0 && errno == refusal(s));
    while (n < FAR && pwrite(s->fd, block, sizeof block, (off_t)(FAR + n)) > 0)
        n += sizeof block;
    NEED(n < MOST_BEYOND);
    NEED(errno == refusal(s));
}

static void store_behind(void *data)
{
    const struct scene *s = data;
    volatile char *map;

    signal(SIGBUS, SIG_DFL);
    NEED(ftruncate(s->fd, FAR) == 0 || errno == EACCES); // Landlock
    map = mmap(NULL, FAR, PROT_READ | PROT_WRITE, MAP_SHARED, s->fd, 0);
    NEED(map != MAP_FAILED);
    // At the beginning are discarded parts, at the end a hole.
    for (uint64_t at = 0; at < FAR; at += 4096)
        map[at] = 1;
}

static void expect_well(struct scene *s, uint64_t size)
{
    uint8_t *bytes;

    assert_int_equal(diskalloc_region_resize(s->r, size), 0);
    bytes = diskalloc_region_data(s->r);
    for (uint64_t at = SIZE / 2; at < size; at += 4096)
        bytes[at] = 2;
    assert_int_equal(diskalloc_region_sync(s->r), 0);
}

static void the_holder_takes_nothing_beyond(const char *type)
{
    struct diskalloc_region *other;
    struct scene s;
    int status;

    begin(&s, type);
    assert_true(says(&s.d, ", project quotas"));
    other = make_region(s.d.da, SIZE);
    status = test_in_child(take_blocks, &s, 65534);
    assert_int_equal(status, 0);
    expect_well(&s, 2 * SIZE);
    assert_int_equal(diskalloc_region_discard(s.r, 0, SIZE / 2), 0);
    status = test_in_child(store_behind, &s, 65534);
    assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGBUS);
    memset(diskalloc_region_data(other), 3, SIZE);
    assert_int_equal(diskalloc_region_resize(other, 2 * SIZE), 0);
    memset(diskalloc_region_data(other), 3, 2 * SIZE);
    diskalloc_region_close(other);
    finish(&s);
}

static void on_ext4_the_holder_takes_nothing_beyond(void **state)
{
    (void)state;
    the_holder_takes_nothing_beyond("ext4");
}

static void on_xfs_the_holder_takes_nothing_beyond(void **state)
{
    (void)state;
    the_holder_takes_nothing_beyond("xfs");
}

// By small steps and large ones, down and up, scattered stores: more pieces of a file than programs make.
static void be_honest(void *data)
{
    const struct scene *s = data;
    struct diskalloc_region *r;
    struct diskalloc *da;
    uint32_t x = 1;

    NEED(diskalloc_open(s->d.daemon.address, NULL, &da) == 0);
    NEED(diskalloc_region_create(da, NULL, &r) == 0);
    for (unsigned round = 0; round < 6; round++) {
        for (uint64_t size = SIZE; size <= 2 * SIZE; size += 64UL * 1024)
            NEED(diskalloc_region_resize(r, size) == 0);
        NEED(diskalloc_region_resize(r, 6 * SIZE) == 0);
        for (unsigned i = 0; i < 6000; i++) {
            x = x * 1664525 + 1013904223;
            ((volatile uint8_t *)diskalloc_region_data(r))[(x >> 8) % (6 * SIZE / 8192) * 8192] = 7;
        }
        NEED(diskalloc_region_sync(r) == 0);
        NEED(diskalloc_region_discard(r, 0, SIZE) == 0);
        NEED(diskalloc_region_restore(r, 0, SIZE) == 0);
        NEED(diskalloc_region_resize(r, round % 2 ? SIZE : 0) == 0);
    }
    diskalloc_region_close(r);
    diskalloc_close(da);
}

static void no_honest_program_meets_the_limit(const char *type)
{
    struct scene s;

    begin(&s, type);
    assert_int_equal(test_in_child(be_honest, &s, 65534), 0);
    assert_false(says(&s.d, "project quota of the region"));
    assert_false(says(&s.d, "behind the daemon's back"));
    finish(&s);
}

static void on_ext4_no_honest_program_meets_the_limit(void **state)
{
    (void)state;
    no_honest_program_meets_the_limit("ext4");
}

static void on_xfs_no_honest_program_meets_the_limit(void **state)
{
    (void)state;
    no_honest_program_meets_the_limit("xfs");
}

static void drop_the_right(void)
{
    NEED(prctl(PR_CAPBSET_DROP, CAP_ADMIN) == 0);
}

static void write_config(const struct scene *s, const char *fence)
{
    FILE *f = fopen(s->d.daemon.config, "we");

    fprintf(f, "[daemon]\nkeep_free = 0\nfence = %s\n", fence);
    fclose(f);
}

// A daemon without the fence must not be bound by the limits of an earlier one, and a later one bounds again.
static void the_fence_comes_and_goes(const char *type)
{
    struct scene s;

    begin(&s, type);
    assert_int_equal(project_of(s.fd) >> 24, 0xda);
    test_daemon_prepare(drop_the_privilege);
    test_daemon_kill(&s.d.daemon, SIGKILL);
    write_config(&s, "off");
    test_daemon_restart(&s.d.daemon);
    expect_well(&s, 4 * SIZE);
    assert_int_equal(project_of(s.fd), 0);
    test_daemon_kill(&s.d.daemon, SIGKILL);
    write_config(&s, "auto");
    test_daemon_restart(&s.d.daemon);
    expect_well(&s, 4 * SIZE + (1 << 20));
    assert_int_equal(project_of(s.fd) >> 24, 0xda);
    assert_int_equal(test_in_child(take_blocks, &s, 65534), 0);
    // Without the right to set limits.
    test_daemon_kill(&s.d.daemon, SIGKILL);
    test_daemon_prepare(drop_the_right);
    test_daemon_restart(&s.d.daemon);
    test_daemon_prepare(NULL);
    assert_true(says(&s.d, "project quotas: the daemon lacks CAP_SYS_ADMIN"));
    expect_well(&s, 6 * SIZE);
    finish(&s);
}

static void on_ext4_the_fence_comes_and_goes(void **state)
{
    (void)state;
    the_fence_comes_and_goes("ext4");
}

static void on_xfs_the_fence_comes_and_goes(void **state)
{
    (void)state;
    the_fence_comes_and_goes("xfs");
}

static void a_project_of_the_administrators_is_left_alone(void **state)
{
    struct disk d;
    struct diskalloc_region *r;
    int fd, dir;

    (void)state;
    if (!mount_with_projects(&d, "ext4"))
        skip();
    disk_serve(&d, NULL);
    diskalloc_close(d.da);
    test_daemon_stop(&d.daemon);
    dir = open(d.spill, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    assert_int_equal(project_set(dir, 42), 0);
    close(dir);
    test_daemon_restart(&d.daemon);
    assert_true(says(&d, "project quotas: the spill directory is in a project of the administrator's"));
    assert_int_equal(diskalloc_open(d.daemon.address, NULL, &d.da), 0);
    r = make_region(d.da, SIZE);
    fd = diskalloc_region_fd(r);
    assert_int_not_equal(project_of(fd) >> 24, 0xda);
    diskalloc_region_close(r);
    disk_end(&d);
}

static void without_the_mount_option_that_is_said(void **state)
{
    struct disk d;

    (void)state;
    if (!disk_start(&d, NULL))
        skip();
    assert_true(says(&d, "project quotas: "));
    assert_false(says(&d, ", project quotas"));
    disk_end(&d);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(on_ext4_the_holder_takes_nothing_beyond),
        TEST(on_xfs_the_holder_takes_nothing_beyond),
        TEST(on_ext4_no_honest_program_meets_the_limit),
        TEST(on_xfs_no_honest_program_meets_the_limit),
        TEST(on_ext4_the_fence_comes_and_goes),
        TEST(on_xfs_the_fence_comes_and_goes),
        TEST(a_project_of_the_administrators_is_left_alone),
        TEST(without_the_mount_option_that_is_said),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
