// Kernels whose pages have 16 or 64 KiB.  The library is told that pages are that large: then everything that it
// maps, protects or advises begins and ends at such a page.  With a daemon and embedded.
#include "tests/lib/test_backend.h"

#include <inttypes.h>

#include "proto/util/page.h"

enum { BLOCK = 4096, UNIT = 65536 };

DISKALLOC_VEC_DEFINE(u64vec, uint64_t)

struct odd {
    char bytes[200];
};
DISKALLOC_VEC_DEFINE(oddvec, struct odd)

// Every mapping between FROM and TO begins and ends at a multiple of the page.
static void expect_whole_pages(const struct diskalloc_region *r)
{
    uintptr_t base = (uintptr_t)diskalloc_region_data(r), end = base + diskalloc_region_reserve(r), from, to;
    FILE *maps = fopen("/proc/self/maps", "re");
    char line[512];
    size_t n = 0;

    assert_non_null(maps);
    while (fgets(line, sizeof line, maps)) {
        if (sscanf(line, "%" SCNxPTR "-%" SCNxPTR, &from, &to) != 2 || from < base || from >= end)
            continue;
        n++;
        if (from % page_size() != 0 || to % page_size() != 0)
            fail_msg("a mapping that begins or ends within a page: %s", line);
    }
    fclose(maps);
    assert_true(n > 0);
}

static bool is_accessible(const struct diskalloc_region *r, uint64_t offset)
{
    uintptr_t at = (uintptr_t)diskalloc_region_data(r) + offset, from, to;
    FILE *maps = fopen("/proc/self/maps", "re");
    char line[512], access[8] = "";

    assert_non_null(maps);
    while (fgets(line, sizeof line, maps))
        if (sscanf(line, "%" SCNxPTR "-%" SCNxPTR " %7s", &from, &to, access) == 3 && from <= at && at < to)
            break;
    fclose(maps);
    return access[1] == 'w';
}

static void grow_and_shrink(struct test_backend *b)
{
    struct diskalloc_region *r = make_region(b->da, 1);

    expect_whole_pages(r);
    for (uint64_t size = 1; size < 8 * MIB; size = size * 3 + 4097) {
        assert_int_equal(diskalloc_region_resize(r, size), 0);
        ((char *)diskalloc_region_data(r))[size - 1] = 1;
        expect_whole_pages(r);
    }
    for (uint64_t size = diskalloc_region_size(r); size > 0; size = size / 5) {
        assert_int_equal(diskalloc_region_resize(r, size), 0);
        expect_whole_pages(r);
    }
    diskalloc_region_close(r);
}

static void push_and_advise(struct test_backend *b)
{
    struct u64vec v;
    struct oddvec o;

    assert_int_equal(u64vec_init(&v, b->da), 0);
    for (uint64_t i = 0; i < 2 * MIB; i++)
        assert_int_equal(u64vec_push(&v, i), 0);
    for (int advice = 0; advice <= DISKALLOC_ADVICE_COLD; advice++) {
        assert_int_equal(diskalloc_region_advise(v.region, 5000, 300000, advice), 0);
        assert_int_equal(u64vec_advise(&v, advice), 0);
        expect_whole_pages(v.region);
    }
    for (uint64_t i = 0; i < 2 * MIB; i++)
        assert_int_equal(v.data[i], i);
    u64vec_deinit(&v);
    assert_int_equal(oddvec_init(&o, b->da), 0);
    for (uint64_t i = 0; i < 50000; i++)
        assert_int_equal(oddvec_push(&o, (struct odd){{(char)i}}), 0);
    expect_whole_pages(o.region);
    assert_int_equal(o.data[49999].bytes[0], (char)49999);
    oddvec_deinit(&o);
}

static void discard_and_restore(struct test_backend *b)
{
    struct diskalloc_region *r;
    uint64_t granted;
    char *data;

    if (b->remote)
        test_wait_until(nothing_is_charged, b->da, 30, "nothing is charged");
    r = make_region(b->da, 16 * UNIT + BLOCK);
    data = diskalloc_region_data(r);
    granted = usage_of(b->da).bytes;

    memset(data, 7, 16 * UNIT + BLOCK);
    // Less than a page: nothing is discarded.
    assert_int_equal(diskalloc_region_discard(r, 2 * UNIT + BLOCK, page_size()), 0);
    assert_true(is_accessible(r, 2 * UNIT + BLOCK));
    if (b->remote)
        assert_int_equal(usage_of(b->da).bytes, granted);
    assert_int_equal(diskalloc_region_discard(r, 2 * UNIT - 1, 4 * UNIT + 1), 0);
    expect_whole_pages(r);
    assert_true(is_accessible(r, 2 * UNIT - 1));
    assert_false(is_accessible(r, 2 * UNIT));
    assert_false(is_accessible(r, 6 * UNIT - 1));
    assert_int_equal(data[6 * UNIT], 7);
    if (b->remote)
        assert_int_equal(usage_of(b->da).bytes, granted - 4 * UNIT);
    // A whole page is granted again.
    assert_int_equal(diskalloc_region_restore(r, 3 * UNIT + BLOCK, 1), 0);
    expect_whole_pages(r);
    assert_true(is_accessible(r, 3 * UNIT + BLOCK));
    assert_int_equal(data[3 * UNIT + BLOCK], 0);
    assert_false(is_accessible(r, 2 * UNIT));
    // The new end lies in a discarded page.
    assert_int_equal(diskalloc_region_resize(r, 5 * UNIT + 2 * BLOCK), 0);
    expect_whole_pages(r);
    data[5 * UNIT + BLOCK] = 1;
    assert_false(is_accessible(r, 4 * UNIT));
    assert_int_equal(diskalloc_region_restore(r, 0, 5 * UNIT), 0);
    expect_whole_pages(r);
    memset(data, 1, 5 * UNIT);
    diskalloc_region_close(r);
}

// A region that was made where pages are small: its discarded parts are no whole pages here.
static void use_a_region_of_another_machine(struct test_backend *b)
{
    struct diskalloc_region *r = NULL, *other = NULL;
    uint64_t page = page_size();
    char *data;

    page_size_pretend(0);
    assert_int_equal(open_named(b->da, "moved", 8 * UNIT, DISKALLOC_REGION_CREATE, &r), 0);
    memset(diskalloc_region_data(r), 7, 8 * UNIT);
    assert_int_equal(diskalloc_region_discard(r, BLOCK, BLOCK), 0);
    assert_int_equal(diskalloc_region_discard(r, 2 * UNIT - BLOCK, 2 * UNIT + 3 * BLOCK), 0);
    diskalloc_region_close(r);
    page_size_pretend(page);
    assert_int_equal(open_named(b->da, "moved", 0, 0, &r), 0);
    expect_whole_pages(r);
    data = diskalloc_region_data(r);
    assert_int_equal(data[BLOCK - 1], 7);
    assert_int_equal(data[2 * BLOCK], 7);
    assert_int_equal(data[2 * UNIT - BLOCK - 1], 7);
    assert_int_equal(data[4 * UNIT + 2 * BLOCK], 7);
    assert_false(is_accessible(r, 2 * UNIT));
    assert_false(is_accessible(r, 4 * UNIT - 1));
    if (!b->remote) {
        close(diskalloc_region_fd(r));
        assert_int_equal(diskalloc_region_resize(r, 9 * UNIT), 0);
        expect_whole_pages(r);
        assert_int_equal(data[BLOCK - 1], 7);
        assert_false(is_accessible(r, 2 * UNIT));
    }
    // Another user grants the first part again; this region takes that over.
    assert_int_equal(open_named(b->da, "moved", 0, 0, &other), 0);
    assert_int_equal(diskalloc_region_restore(other, 0, 2 * BLOCK), 0);
    diskalloc_region_close(other);
    assert_int_equal(diskalloc_region_refresh(r), 1);
    expect_whole_pages(r);
    assert_int_equal(data[BLOCK], 0);
    assert_int_equal(data[2 * UNIT - BLOCK - 1], 7);
    assert_false(is_accessible(r, 2 * UNIT));
    assert_int_equal(diskalloc_region_restore(r, 0, 5 * UNIT), 0);
    expect_whole_pages(r);
    assert_int_equal(data[2 * UNIT], 0);
    assert_int_equal(data[2 * BLOCK], 7);
    memset(data, 1, 8 * UNIT);
    diskalloc_region_close(r);
    assert_int_equal(diskalloc_region_unlink(b->da, "moved"), 0);
}

static void with_both_sizes(struct test_backend *b, void (*body)(struct test_backend *b))
{
    page_size_pretend(16384);
    body(b);
    page_size_pretend(UNIT);
    body(b);
    page_size_pretend(0);
}

static void growing_and_shrinking_keep_to_whole_pages(struct test_backend *b)
{
    with_both_sizes(b, grow_and_shrink);
}

static void vectors_and_advice_keep_to_whole_pages(struct test_backend *b)
{
    with_both_sizes(b, push_and_advise);
}

static void whole_pages_are_discarded_and_granted_again(struct test_backend *b)
{
    with_both_sizes(b, discard_and_restore);
}

static void a_region_that_was_made_with_small_pages_can_be_used(struct test_backend *b)
{
    with_both_sizes(b, use_a_region_of_another_machine);
}

FOR_EACH_BACKEND(growing_and_shrinking_keep_to_whole_pages)
FOR_EACH_BACKEND(vectors_and_advice_keep_to_whole_pages)
FOR_EACH_BACKEND(whole_pages_are_discarded_and_granted_again)
FOR_EACH_BACKEND(a_region_that_was_made_with_small_pages_can_be_used)

int main(void)
{
    const struct CMUnitTest tests[] = {
        EACH_BACKEND(growing_and_shrinking_keep_to_whole_pages),
        EACH_BACKEND(vectors_and_advice_keep_to_whole_pages),
        EACH_BACKEND(whole_pages_are_discarded_and_granted_again),
        EACH_BACKEND(a_region_that_was_made_with_small_pages_can_be_used),
    };

    if (UNIT % page_size() != 0 || page_size() > 16384)
        test_skip_all("pages are large already");
    return cmocka_run_group_tests(tests, NULL, NULL);
}
