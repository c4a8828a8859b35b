// A client that stores to a part that it has discarded takes blocks for which nobody is charged, and no event tells.
#include <signal.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include "tests/lib/fenced.h"
#include "tests/lib/harness.h"

enum { SIZE = 32 << 20 };

static uint64_t blocks_of(struct fenced *f)
{
    struct stat st;

    assert_int_equal(fstat(f->plain, &st), 0);
    return (uint64_t)st.st_blocks * 512;
}

static bool are_given_back(void *data)
{
    return blocks_of(data) <= 1 * MIB;
}

// Writes to the whole file by a mapping of its own.
static void store(struct fenced *f)
{
    char *memory = mmap(NULL, SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, f->fd, 0);

    assert_ptr_not_equal(memory, MAP_FAILED);
    memset(memory, 5, SIZE);
    munmap(memory, SIZE);
}

// The daemon may look in the middle of it, and find too little to tell.
static bool is_told(void *data)
{
    struct fenced *f = data;

    store(f);
    return fenced_count_logged(f, "changed behind the daemon's back") >= 1;
}

static void stores_to_discarded_parts_are_taken_back(void **state)
{
    struct diskalloc_usage usage;
    struct fenced f;

    (void)state;
    fenced_start(&f, "auto", SIZE);
    if (diskalloc_region_discard(f.region, 64 * KIB, SIZE - 128 * KIB) == -EOPNOTSUPP) {
        fenced_stop(&f);
        skip();
    }
    test_wait_until(is_told, &f, 30, "the log tells");
    test_wait_until(are_given_back, &f, 30, "the blocks are given back");
    assert_int_equal(diskalloc_get_usage(f.da, NULL, &usage, sizeof usage), 0);
    assert_int_equal(usage.bytes, 128 * KIB);
    fenced_stop(&f);
}

static void so_they_are_after_a_restart(void **state)
{
    struct fenced f;

    (void)state;
    fenced_start(&f, "auto", SIZE);
    if (diskalloc_region_discard(f.region, 64 * KIB, SIZE - 128 * KIB) == -EOPNOTSUPP) {
        fenced_stop(&f);
        skip();
    }
    test_daemon_kill(&f.daemon, SIGKILL);
    test_daemon_restart(&f.daemon);
    store(&f);
    test_wait_until(are_given_back, &f, 30, "the blocks are given back");
    fenced_stop(&f);
}

static bool is_small(void *data)
{
    return blocks_of(data) <= SIZE - 8 * MIB + MIB / 2;
}

// A large page that lies across the edge of a discarded part, and of which both halves are written.
static void a_page_across_the_edge_is_no_offence(void **state)
{
    const char *data;
    struct fenced f;
    char *memory;

    (void)state;
    fenced_start(&f, "auto", SIZE);
    if (diskalloc_region_discard(f.region, 8 * MIB, 8 * MIB) == -EOPNOTSUPP) {
        fenced_stop(&f);
        skip();
    }
    memory = mmap(NULL, SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, f.fd, 0);
    assert_ptr_not_equal(memory, MAP_FAILED);
    memset(memory + 7 * MIB, 6, 2 * MIB);
    munmap(memory, SIZE);
    test_wait_until(is_small, &f, 30, "the blocks are given back");
    data = diskalloc_region_data(f.region);
    assert_int_equal(data[8 * MIB - 1], 6);
    assert_int_equal(data[SIZE - 1], 1);
    assert_int_equal(fenced_count_logged(&f, "changed behind the daemon's back"), 0);
    fenced_stop(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(stores_to_discarded_parts_are_taken_back),
        TEST(so_they_are_after_a_restart),
        TEST(a_page_across_the_edge_is_no_offence),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
