// Searching a vector whose pages are on the disk reads few of them.
#include "client/region/region.h"
#include "tests/lib/u64vec.h"

#include <fcntl.h>
#include <sys/mman.h>

static inline int number_less(const uint64_t *a, const uint64_t *b)
{
    return *a < *b;
}
DISKALLOC_VEC_DEFINE_ORDER(u64vec, uint64_t, number_less)

#define PAGE ((size_t)4096)
#define BYTES (64 * MIB) // 2^14 pages
enum { STEPS = 14 };

static size_t count_resident(const struct u64vec *v)
{
    static unsigned char resident[BYTES / PAGE];
    size_t n = 0;

    assert_int_equal(mincore(v->data, BYTES, resident), 0);
    for (size_t i = 0; i < BYTES / PAGE; i++)
        n += resident[i] & 1;
    return n;
}

static bool is_cold(void *data)
{
    struct u64vec *v = data;
    int fd = diskalloc_region_fd(v->region);

    assert_true(fd >= 0);
    assert_int_equal(diskalloc_region_sync(v->region), 0);
    assert_int_equal(madvise(v->data, BYTES, MADV_DONTNEED), 0);
    assert_int_equal(posix_fadvise(fd, 0, BYTES, POSIX_FADV_DONTNEED), 0);
    return count_resident(v) == 0;
}

static void make_cold(struct u64vec *v)
{
    test_wait_until(is_cold, v, 60, "no page of the vector is in memory");
}

// Small pages are read alone; the last step may end in the page that follows.
static void a_search_reads_one_page_a_step(struct test_backend *b)
{
    struct u64vec v;

    assert_int_equal(u64vec_init(&v, b->da), 0);
    for (uint64_t i = 0; i < BYTES / 8; i++)
        assert_int_equal(u64vec_push(&v, i * 2), 0);
    for (uint64_t key = 12345; key < BYTES / 4; key += BYTES / 4 / 7) {
        make_cold(&v);
        // As it is for a region that has not been searched yet, or whose last search was slow.
        v.region->searches_fast = false;
        assert_int_equal(u64vec_lower_bound(&v, &key), (key + 1) / 2);
        if (count_resident(&v) > STEPS + 2)
            fail_msg("%zu pages were read", count_resident(&v));
    }
    u64vec_deinit(&v);
}
FOR_EACH_BACKEND(a_search_reads_one_page_a_step)

// How long a search takes is the machine's affair; in memory one of many is fast on any.
static void searches_in_memory_stop_announcing(struct test_backend *b)
{
    struct u64vec v;

    assert_int_equal(u64vec_init(&v, b->da), 0);
    for (uint64_t i = 0; i < 4 * MIB / 8; i++)
        assert_int_equal(u64vec_push(&v, i), 0);
    assert_false(v.region->searches_fast);
    for (uint64_t i = 0; !v.region->searches_fast; i = (i + 1) % 1000)
        assert_int_equal(u64vec_lower_bound(&v, &i), i);
    u64vec_deinit(&v);
}
FOR_EACH_BACKEND(searches_in_memory_stop_announcing)

int main(void)
{
    const struct CMUnitTest tests[] = {
        EACH_BACKEND(a_search_reads_one_page_a_step),
        EACH_BACKEND(searches_in_memory_stop_announcing),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
