// See filling.h.
#include "tests/faults/filling.h"

#include <diskalloc/client.h>
#include <diskalloc/vec.h>
#include <fcntl.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "proto/util/cleanup.h"
#include "tests/lib/harness.h"
#include "tests/lib/scratch.h"
#include "tests/lib/test_daemon.h"

DISKALLOC_VEC_DEFINE(numbers, uint64_t)

enum {
    CYCLES = 25,
    MOST_REGIONS = 400, // of one cycle
    STEP = 192 * 1024,
    DEADLINE_S = 120, // and for each cycle:
    DEADLINE_CYCLE_S = 10,
};

void fill_set_deadline(unsigned cycles)
{
    alarm((DEADLINE_S + cycles * DEADLINE_CYCLE_S) * (getenv("DISKALLOC_TEST_SLOW") ? 10 : 1));
}

unsigned fill_n_cycles(void)
{
    const char *text = getenv("DISKALLOC_FILL_CYCLES");

    return text && atoi(text) > 0 ? (unsigned)atoi(text) : CYCLES;
}

// Another program takes up the disk, but for LEFT bytes.
static void take_up(const struct fill_disk *d, uint64_t left)
{
    _cleanup_close_ int fd = -1;
    struct statvfs fs;

    if (!d->other[0]) // a quota leaves as much
        return;
    fd = open(d->other, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
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

static void cycle_discard(const struct fill_disk *d, struct diskalloc *da, unsigned i)
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

static void fill_and_empty(const struct fill_disk *d, unsigned i)
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

void fill_run_cycles(void *data)
{
    const struct fill_disk *d = data;

    fill_set_deadline(fill_n_cycles());
    for (unsigned i = 0; i < fill_n_cycles(); i++)
        fill_and_empty(d, i);
}

static bool is_empty(void *data)
{
    struct diskalloc_usage usage;

    return diskalloc_get_usage(data, "total", &usage, sizeof usage) == 0 && usage.bytes == 0 && usage.regions == 0;
}

void fill_by_daemon(struct fill_disk *d)
{
    struct test_daemon daemon;
    struct diskalloc *da;
    int status;

    test_daemon_start(&daemon, NULL, d->spill);
    snprintf(d->address, sizeof d->address, "%s", daemon.address);
    status = test_in_child(fill_run_cycles, d, (uid_t)-1);
    if (status != 0)
        fail_msg("%s, with a daemon: the program ended with wait status 0x%x", d->type, (unsigned)status);
    assert_int_equal(diskalloc_open(daemon.address, NULL, &da), 0);
    test_wait_until(is_empty, da, 60, "nothing is charged any more");
    diskalloc_close(da);
    test_daemon_stop_and_remove(&daemon);
}
