// How much address space a region gets: from $DISKALLOC_RESERVE, for large regions, and in programs that lock their
// memory.  With a daemon and embedded.
#include "tests/lib/test_backend.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>

#define GIB ((uint64_t)1 << 30)

enum { SOMEBODY = 54321 };

DISKALLOC_VEC_DEFINE(u64vec, uint64_t)

static uint64_t reserve_of(struct diskalloc *da)
{
    struct diskalloc_region *r = make_region(da, 0);
    uint64_t reserve = diskalloc_region_reserve(r);

    diskalloc_region_close(r);
    return reserve;
}

static void the_environment_says_how_much_is_reserved(struct test_backend *b)
{
    static const char *const bad[] = {"0", "-1", "x", "32 G", "1.5G", "4KB", "5%", "unlimited", "16777216T"};
    struct diskalloc_region_options o = DISKALLOC_REGION_OPTIONS_INIT;
    struct diskalloc_region *r = NULL;
    struct u64vec v;

    setenv("DISKALLOC_RESERVE", "64M", 1);
    assert_int_equal(reserve_of(b->da), 64 * MIB);
    assert_int_equal(u64vec_init(&v, b->da), 0);
    EXPECT_FAILURE(-ENOMEM, "u64vec_reserve", u64vec_reserve(&v, 8 * MIB + 1));
    assert_int_equal(u64vec_reserve(&v, 8 * MIB), 0);
    u64vec_deinit(&v);
    o.reserve = 6 * MIB;
    assert_int_equal(diskalloc_region_create(b->da, &o, &r), 0);
    assert_int_equal(diskalloc_region_reserve(r), 6 * MIB);
    diskalloc_region_close(r);
    setenv("DISKALLOC_RESERVE", "3g", 1);
    assert_int_equal(reserve_of(b->da), 3 * GIB);
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        setenv("DISKALLOC_RESERVE", bad[i], 1);
        EXPECT_FAILURE(-EINVAL, "diskalloc_region_create", diskalloc_region_create(b->da, NULL, &r));
        assert_non_null(strstr(diskalloc_last_error(), "DISKALLOC_RESERVE"));
        EXPECT_FAILURE(-EINVAL, "diskalloc_region_open", open_named(b->da, "n", 0, DISKALLOC_REGION_CREATE, &r));
        EXPECT_FAILURE(-EINVAL, "u64vec_init", u64vec_init(&v, b->da));
    }
    setenv("DISKALLOC_RESERVE", "", 1);
    assert_int_equal(reserve_of(b->da), 512 * GIB);
    unsetenv("DISKALLOC_RESERVE");
    assert_int_equal(reserve_of(b->da), 512 * GIB);
}

static void a_region_that_fills_the_usual_reserve_can_grow(struct test_backend *b)
{
    struct diskalloc_region *r = NULL;

    setenv("DISKALLOC_RESERVE", "4M", 1);
    r = make_region(b->da, 4 * MIB);
    assert_true(diskalloc_region_reserve(r) >= 8 * MIB);
    assert_int_equal(diskalloc_region_resize(r, 8 * MIB), 0);
    diskalloc_region_close(r);
    assert_int_equal(open_named(b->da, "large", 6 * MIB, DISKALLOC_REGION_CREATE, &r), 0);
    assert_int_equal(diskalloc_region_resize(r, 6 * MIB + 1), 0);
    diskalloc_region_close(r);
    assert_int_equal(open_named(b->da, "large", 0, 0, &r), 0);
    assert_int_equal(diskalloc_region_resize(r, 7 * MIB), 0);
    diskalloc_region_close(r);
    assert_int_equal(diskalloc_region_unlink(b->da, "large"), 0);
    unsetenv("DISKALLOC_RESERVE");
}

// Whether the process has SIZE bytes of address space left: a sanitizer keeps the most of it for itself.
static bool has_address_space(size_t size)
{
    void *p = mmap(NULL, size, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

    return p != MAP_FAILED && munmap(p, size) == 0;
}

static void a_region_of_600_gib_can_grow(struct test_backend *b)
{
    struct diskalloc_region_options o = DISKALLOC_REGION_OPTIONS_INIT;
    struct diskalloc_region *r = NULL;
    char *data;

    if (!has_address_space(3000 * GIB)) {
        print_message("not tried: no address space for 600 GiB\n");
        return;
    }
    o.size = 600 * GIB;
    o.flags = DISKALLOC_REGION_SPARSE;
    assert_int_equal(diskalloc_region_create(b->da, &o, &r), 0);
    assert_int_equal(diskalloc_region_resize(r, 700 * GIB), 0);
    data = diskalloc_region_data(r);
    data[700 * GIB - 1] = 1;
    diskalloc_region_close(r);
    o.flags |= DISKALLOC_REGION_CREATE;
    assert_int_equal(diskalloc_region_open(b->da, "huge", &o, &r), 0);
    diskalloc_region_close(r);
    assert_int_equal(diskalloc_region_open(b->da, "huge", NULL, &r), 0);
    assert_int_equal(diskalloc_region_resize(r, 600 * GIB + 1), 0);
    diskalloc_region_close(r);
    assert_int_equal(diskalloc_region_unlink(b->da, "huge"), 0);
}

static uint64_t locked_kib(void)
{
    unsigned long kib = UINT64_MAX;
    FILE *f = fopen("/proc/self/status", "re");
    char line[256];

    assert_non_null(f);
    while (fgets(line, sizeof line, f))
        sscanf(line, "VmLck: %lu kB", &kib);
    fclose(f);
    return kib;
}

// Whether any mapping of the region at DATA is locked.
static bool is_locked(const void *data)
{
    uint64_t base = (uintptr_t)data;
    bool here = false, locked = false;
    FILE *f = fopen("/proc/self/smaps", "re");
    char line[4096];

    assert_non_null(f);
    while (fgets(line, sizeof line, f)) {
        unsigned long from, to;

        if (sscanf(line, "%lx-%lx ", &from, &to) == 2)
            here = from >= base && from < base + 512 * GIB;
        else if (here && strncmp(line, "VmFlags:", 8) == 0)
            locked |= strstr(line, " lo") != NULL;
    }
    fclose(f);
    return locked;
}

static void use_regions(const char *address)
{
    struct diskalloc *da = NULL;
    struct diskalloc_region *r = NULL;
    struct u64vec v;
    uint64_t *more = NULL;

    assert_int_equal(diskalloc_open(address, NULL, &da), 0);
    assert_int_equal(u64vec_init(&v, da), 0);
    for (uint64_t i = 0; i < MIB; i++)
        assert_int_equal(u64vec_push(&v, i), 0);
    assert_int_equal(u64vec_append_uninit(&v, 4 * MIB, &more), 0);
    more[4 * MIB - 1] = 1;
    assert_false(is_locked(v.data));
    assert_true(locked_kib() < 32 * 1024);
    assert_int_equal(open_named(da, "locked", 8 * MIB, DISKALLOC_REGION_CREATE, &r), 0);
    assert_false(is_locked(diskalloc_region_data(r)));
    // Its descriptor is lost: the file is mapped again.
    if (strncmp(address, "dir:", 4) == 0) {
        memset(diskalloc_region_data(r), 7, 8 * MIB);
        close(diskalloc_region_fd(r));
        assert_int_equal(diskalloc_region_resize(r, 16 * MIB), 0);
        assert_int_equal(((char *)diskalloc_region_data(r))[8 * MIB - 1], 7);
        assert_int_equal(((char *)diskalloc_region_data(r))[5 * MIB], 7);
        assert_false(is_locked(diskalloc_region_data(r)));
    }
    diskalloc_region_close(r);
    assert_int_equal(diskalloc_region_unlink(da, "locked"), 0);
    u64vec_deinit(&v);
    diskalloc_close(da);
}

static void lock_all_and_use_regions(void *data)
{
    struct rlimit limit;

    assert_return_code(getrlimit(RLIMIT_MEMLOCK, &limit), errno);
    limit.rlim_cur = limit.rlim_max < 8 * MIB ? limit.rlim_max : 8 * MIB;
    assert_return_code(setrlimit(RLIMIT_MEMLOCK, &limit), errno);
    assert_return_code(mlockall(MCL_FUTURE), errno);
    use_regions(data);
}

// Also where as much is locked as the limit allows.
static void lock_everything_and_ask(void *data)
{
    const struct rlimit few = {MIB, MIB};
    struct diskalloc *da = NULL;
    struct diskalloc_region *r = NULL;

    assert_return_code(setrlimit(RLIMIT_MEMLOCK, &few), errno);
    assert_int_equal(diskalloc_open(data, NULL, &da), 0);
    assert_return_code(mlockall(MCL_FUTURE), errno);
    for (size_t piece = MIB; piece >= 4096;)
        if (mmap(NULL, piece, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) == MAP_FAILED)
            piece /= 2;
    EXPECT_FAILURE(-ENOMEM, "diskalloc_region_create", diskalloc_region_create(da, NULL, &r));
    assert_non_null(strstr(diskalloc_last_error(), "mlockall"));
    diskalloc_close(da);
}

static void locking_all_memory_locks_no_region(struct test_backend *b)
{
    char root_address[200], dir[170];

    // A sanitizer maps terabytes of its own, which would be locked.
    if (SANITIZED)
        return;
    assert_int_equal(test_in_child(lock_all_and_use_regions, b->address, (uid_t)-1), 0);
    // Somebody's directory is his own.
    snprintf(root_address, sizeof root_address, "%s", b->address);
    if (!b->remote) {
        snprintf(dir, sizeof dir, "%s/his", b->dir);
        assert_return_code(mkdir(dir, 0700), errno);
        assert_return_code(chmod(b->dir, 0755), errno);
        assert_return_code(chown(dir, SOMEBODY, SOMEBODY), errno);
        snprintf(root_address, sizeof root_address, "dir:%s", dir);
    }
    assert_int_equal(test_in_child(lock_all_and_use_regions, root_address, SOMEBODY), 0);
    assert_int_equal(test_in_child(lock_everything_and_ask, root_address, SOMEBODY), 0);
}

FOR_EACH_BACKEND(the_environment_says_how_much_is_reserved)
FOR_EACH_BACKEND(a_region_that_fills_the_usual_reserve_can_grow)
FOR_EACH_BACKEND(locking_all_memory_locks_no_region)

static void a_region_of_600_gib_can_grow_with_a_daemon(void **state)
{
    (void)state;
    backend_run(true, "[quota total]\nbytes = unlimited\n[quota default]\nbytes = unlimited\n",
                a_region_of_600_gib_can_grow);
}

static void a_region_of_600_gib_can_grow_embedded(void **state)
{
    (void)state;
    backend_run(false, NULL, a_region_of_600_gib_can_grow);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        EACH_BACKEND(the_environment_says_how_much_is_reserved),
        EACH_BACKEND(a_region_that_fills_the_usual_reserve_can_grow),
        EACH_BACKEND(a_region_of_600_gib_can_grow),
        EACH_BACKEND(locking_all_memory_locks_no_region),
    };

    if (geteuid() != 0)
        test_skip_all("another user is needed");
    return cmocka_run_group_tests(tests, NULL, NULL);
}
