// What a heap asks for and gives back, and refusals.  With a daemon and embedded.
#include "tests/lib/heap_blocks.h"

#include <sys/stat.h>

#include "client/heap/heap.h"
#include "client/region/region.h"

static uint64_t granted(struct diskalloc_heap *h)
{
    return h->region->size - h->region->backing->discarded.sum;
}

static void what_is_free_goes_back_to_the_disk(struct test_backend *b)
{
    enum { N = 4000, SIZE = 30000 };
    static char *blocks[N];
    struct diskalloc_heap *h = NULL;
    struct stat st;

    assert_int_equal(diskalloc_heap_new(b->da, &h), 0);
    for (int round = 0; round < 3; round++) {
        for (size_t i = 0; i < N; i++) {
            blocks[i] = diskalloc_heap_malloc(h, SIZE);
            assert_non_null(blocks[i]);
            memset(blocks[i], (int)i, SIZE);
        }
        assert_true(granted(h) >= (uint64_t)N * SIZE);
        // The last block stays: what is free lies before it.
        for (size_t i = 0; i < N - 1; i++) {
            assert_int_equal(blocks[i][SIZE - 1], (char)i);
            diskalloc_heap_free(h, blocks[i]);
        }
        assert_true(granted(h) < 20 * MIB);
        assert_true(h->region->size > 100 * MIB);
        if (b->remote)
            assert_int_equal(usage_of(b->da).bytes, granted(h));
        assert_return_code(fstat(diskalloc_region_fd(h->region), &st), errno);
        assert_true((uint64_t)st.st_blocks * 512 < 22 * MIB);
        assert_int_equal(blocks[N - 1][SIZE - 1], (char)(N - 1));
        diskalloc_heap_free(h, blocks[N - 1]);
    }
    diskalloc_heap_close(h);
}
FOR_EACH_BACKEND(what_is_free_goes_back_to_the_disk)

// As a program leaves it that is killed while it cuts the region: the bytes behind the heap are there still, and parts
// of them are discarded.  A new region is only marked as a heap.
static void lengthen(struct test_backend *b, const char *name, uint64_t hole, uint64_t hole_size)
{
    struct diskalloc_region *r = NULL;

    assert_int_equal(open_named(b->da, name, 0, DISKALLOC_REGION_CREATE, &r), 0);
    if (diskalloc_region_size(r) == 0)
        assert_int_equal(diskalloc_region_commit(r, 0, REGION_OF_A_HEAP, 0), 0);
    assert_int_equal(diskalloc_region_resize(r, 64 * MIB), 0);
    memset((char *)diskalloc_region_data(r) + hole, 9, hole_size);
    assert_int_equal(diskalloc_region_discard(r, hole, hole_size), 0);
    diskalloc_region_close(r);
}

static void a_heap_grows_over_what_was_given_back_behind_its_end(struct test_backend *b)
{
    for (uint64_t hole = 3 * MIB; hole < 48 * MIB; hole += 20 * MIB) {
        struct diskalloc_heap *h = open_heap(b, "cut");
        char *p;

        assert_int_equal(diskalloc_heap_set_root(h, strcpy(diskalloc_heap_malloc(h, 100), "kept")), 0);
        diskalloc_heap_close(h);
        lengthen(b, "cut", hole == 3 * MIB ? 512 * KIB : hole, 16 * MIB);
        h = open_heap(b, "cut");
        assert_string_equal((char *)diskalloc_heap_root(h), "kept");
        for (size_t size = 100 * KIB; size <= 100 * MIB; size *= 10) {
            p = diskalloc_heap_calloc(h, 1, size);
            assert_non_null(p);
            for (size_t i = 0; i < size; i++)
                if (p[i] != 0)
                    fail_msg("byte %zu of %zu", i, size);
            memset(p, 5, size);
        }
        assert_string_equal((char *)diskalloc_heap_root(h), "kept");
        diskalloc_heap_close(h);
        assert_int_equal(diskalloc_region_unlink(b->da, "cut"), 0);
    }
}
FOR_EACH_BACKEND(a_heap_grows_over_what_was_given_back_behind_its_end)

// The region was marked as a heap, and not made one yet.
static void a_heap_is_made_where_parts_were_given_back(struct test_backend *b)
{
    for (uint64_t hole = 2 * UNIT; hole < 64 * MIB; hole += 24 * MIB) {
        struct diskalloc_heap *h;

        lengthen(b, "made", hole, 8 * MIB);
        h = open_heap(b, "made");
        for (size_t i = 0; i < 100; i++)
            memset(diskalloc_heap_malloc(h, MIB), 3, MIB);
        diskalloc_heap_close(h);
        assert_int_equal(diskalloc_region_unlink(b->da, "made"), 0);
    }
}
FOR_EACH_BACKEND(a_heap_is_made_where_parts_were_given_back)

static void the_end_of_the_heap_is_cut(struct test_backend *b)
{
    struct diskalloc_heap *h = NULL;
    void *p;

    assert_int_equal(diskalloc_heap_new(b->da, &h), 0);
    for (int i = 0; i < 3; i++) {
        p = diskalloc_heap_malloc(h, 100 * MIB);
        assert_non_null(p);
        diskalloc_heap_free(h, p);
        assert_true(h->region->size < 20 * MIB);
        assert_int_equal(granted(h), h->region->size);
    }
    diskalloc_heap_close(h);
}
FOR_EACH_BACKEND(the_end_of_the_heap_is_cut)

static void memory_of_calloc_is_zero_wherever_it_comes_from(struct test_backend *b)
{
    struct diskalloc_heap *h = NULL;

    assert_int_equal(diskalloc_heap_new(b->da, &h), 0);
    for (uint64_t i = 1; i < 200; i++) {
        size_t size = i * 7919 % (i % 4 ? 3 * MIB : 30 * MIB);
        char *p = diskalloc_heap_calloc(h, 1, size), *q;

        assert_non_null(p);
        for (size_t at = 0; at < size; at += 512)
            assert_int_equal(p[at], 0);
        memset(p, 7, size);
        q = diskalloc_heap_malloc(h, 5000);
        if (i % 3)
            diskalloc_heap_free(h, p);
        diskalloc_heap_free(h, q);
    }
    diskalloc_heap_close(h);
}
FOR_EACH_BACKEND(memory_of_calloc_is_zero_wherever_it_comes_from)

static uint64_t allocate_until_refused(struct diskalloc_heap *h, size_t size)
{
    uint64_t n = 0;

    for (;;) {
        char *p;

        errno = 0;
        p = diskalloc_heap_malloc(h, size);
        if (!p)
            return n;
        p[0] = p[size - 1] = 7;
        n++;
    }
}

// A quota that refuses: all that it leaves is used first.
static void a_quota_that_refuses_is_named(void **state)
{
    struct diskalloc_error_info info;
    struct diskalloc_heap *h = NULL;
    struct test_backend b;
    void *p;

    (void)state;
    backend_start(&b, true, "[daemon]\nkeep_free = 0\n[quota default]\nbytes = 20M\n", NULL);
    assert_int_equal(diskalloc_heap_new(b.da, &h), 0);
    for (int i = 0; i < 3; i++) {
        p = diskalloc_heap_malloc(h, 5 * MIB);
        assert_non_null(p);
        assert_true(allocate_until_refused(h, 1000) > 13000);
        assert_int_equal(errno, EDQUOT);
        assert_non_null(strstr(diskalloc_last_error(), "diskalloc_heap_malloc: "));
        assert_non_null(strstr(diskalloc_last_error(), "bytes: limit 20"));
        assert_int_equal(diskalloc_last_error_info(&info, sizeof info), 0);
        assert_int_equal(info.code, -EDQUOT);
        assert_int_equal(info.limit, 20 * MIB);
        errno = 0;
        assert_null(diskalloc_heap_realloc(h, p, 30 * MIB));
        assert_int_equal(errno, EDQUOT);
        assert_int_equal(diskalloc_heap_usable_size(h, p), 5 * MIB);
        // What others get in between is not there when the heap wants it again.
        diskalloc_heap_free(h, p);
        p = diskalloc_heap_malloc(h, 4 * MIB);
        assert_non_null(p);
        diskalloc_heap_free(h, p);
        diskalloc_heap_close(h);
        assert_int_equal(diskalloc_heap_new(b.da, &h), 0);
    }
    diskalloc_heap_close(h);
    backend_stop(&b);
}

static void a_restore_that_is_refused_is_named_and_changes_nothing(void **state)
{
    struct diskalloc_heap *h = NULL;
    struct diskalloc_region *other;
    struct test_backend b;
    char *first, *last;

    (void)state;
    backend_start(&b, true, "[daemon]\nkeep_free = 0\n[quota default]\nbytes = 120M\n", NULL);
    assert_int_equal(diskalloc_heap_new(b.da, &h), 0);
    first = diskalloc_heap_malloc(h, 80 * MIB);
    last = diskalloc_heap_malloc(h, MIB);
    assert_non_null(first);
    memset(last, 9, MIB);
    diskalloc_heap_free(h, first); // discarded in part
    assert_true(h->region->backing->discarded.sum > 60 * MIB);
    other = make_region(b.da, 100 * MIB);
    errno = 0;
    assert_null(diskalloc_heap_malloc(h, 80 * MIB));
    assert_int_equal(errno, EDQUOT);
    assert_non_null(strstr(diskalloc_last_error(), "limit 120"));
    diskalloc_region_close(other);
    first = diskalloc_heap_calloc(h, 1, 80 * MIB);
    assert_non_null(first);
    for (size_t i = 0; i < 80 * MIB; i += 4096)
        assert_int_equal(first[i], 0);
    memset(first, 1, 80 * MIB);
    assert_int_equal(last[MIB - 1], 9);
    diskalloc_heap_close(h);
    backend_stop(&b);
}

// A region that can't be given back in parts keeps what is free, and uses it again.
static void a_sparse_region_is_used_again_as_it_is(struct test_backend *b)
{
    struct diskalloc_region_options o = DISKALLOC_REGION_OPTIONS_INIT;
    struct diskalloc_region *r = NULL;
    struct diskalloc_heap *h = NULL;
    char *p, *q, *again;

    o.flags = DISKALLOC_REGION_SPARSE;
    assert_int_equal(diskalloc_region_create(b->da, &o, &r), 0);
    assert_int_equal(diskalloc_heap_open(r, &h), 0);
    p = diskalloc_heap_malloc(h, 50 * MIB);
    q = diskalloc_heap_malloc(h, MIB);
    assert_non_null(q);
    diskalloc_heap_free(h, p);
    again = diskalloc_heap_malloc(h, 50 * MIB);
    assert_ptr_equal(again, p);
    memset(again, 7, 50 * MIB);
    diskalloc_heap_close(h);
}
FOR_EACH_BACKEND(a_sparse_region_is_used_again_as_it_is)

// Others have the region attached: nothing can be taken away from them.
static void while_others_read_nothing_is_given_back(struct test_backend *b)
{
    struct diskalloc_heap *h = open_heap(b, "read"), *reader;
    char *p = diskalloc_heap_malloc(h, 40 * MIB), *q = diskalloc_heap_malloc(h, 100);
    uint64_t all = granted(h);
    int e;

    assert_non_null(q);
    reader = try_open_heap(b, "read", DISKALLOC_REGION_READ_ONLY, &e);
    assert_int_equal(e, 0);
    diskalloc_heap_free(h, p);
    assert_int_equal(granted(h), all);
    p = diskalloc_heap_malloc(h, 40 * MIB);
    assert_int_equal(granted(h), all);
    memset(p, 1, 40 * MIB);
    diskalloc_heap_free(h, p);
    diskalloc_heap_close(reader);
    // Tried again when twice as much is free.
    p = diskalloc_heap_malloc(h, 120 * MIB);
    assert_non_null(p);
    diskalloc_heap_free(h, p);
    assert_true(granted(h) < 30 * MIB);
    diskalloc_heap_close(h);
    assert_int_equal(diskalloc_region_unlink(b->da, "read"), 0);
}
FOR_EACH_BACKEND(while_others_read_nothing_is_given_back)

// The heap had ended where the region was to be cut: all of its units are used again.
static void a_cut_that_is_refused_leaves_the_heap_whole(struct test_backend *b)
{
    enum { N = 60 };
    struct diskalloc_heap *h = open_heap(b, "cut"), *reader;
    char *blocks[N];
    uint64_t all;
    int e;

    for (int i = 0; i < N; i++)
        assert_non_null(blocks[i] = diskalloc_heap_malloc(h, MIB));
    all = granted(h);
    reader = try_open_heap(b, "cut", DISKALLOC_REGION_READ_ONLY, &e);
    assert_int_equal(e, 0);
    for (int i = N; i-- > 0;)
        diskalloc_heap_free(h, blocks[i]);
    for (int i = 0; i < N; i++) {
        assert_non_null(blocks[i] = diskalloc_heap_malloc(h, MIB));
        assert_true(diskalloc_heap_usable_size(h, blocks[i]) >= MIB);
        memset(blocks[i], i, MIB);
    }
    assert_int_equal(granted(h), all);
    diskalloc_heap_close(reader);
    assert_int_equal(diskalloc_heap_set_root(h, blocks[N - 1]), 0);
    diskalloc_heap_close(h);
    h = open_heap(b, "cut");
    assert_int_equal(*(char *)diskalloc_heap_root(h), N - 1);
    diskalloc_heap_close(h);
    assert_int_equal(diskalloc_region_unlink(b->da, "cut"), 0);
}
FOR_EACH_BACKEND(a_cut_that_is_refused_leaves_the_heap_whole)

// The heap of a region with little address space.
static void a_heap_ends_with_the_reserve_of_its_region(struct test_backend *b)
{
    struct diskalloc_region_options o = DISKALLOC_REGION_OPTIONS_INIT;
    struct diskalloc_region *r = NULL;
    struct diskalloc_heap *h = NULL;
    char *block;

    o.reserve = 8 * MIB;
    assert_int_equal(diskalloc_region_create(b->da, &o, &r), 0);
    assert_int_equal(diskalloc_heap_open(r, &h), 0);
    block = diskalloc_heap_malloc(h, 30000);
    assert_non_null(block);
    block[4999] = 7;
    assert_true(allocate_until_refused(h, 1000) > 7000);
    assert_int_equal(errno, ENOMEM);
    assert_non_null(strstr(diskalloc_last_error(), "reserve"));
    // Shrinking never fails, also where there is no room for a smaller block: the block stays.
    allocate_until_refused(h, 5000);
    assert_ptr_equal(diskalloc_heap_realloc(h, block, 5000), block);
    assert_int_equal(block[4999], 7);
    diskalloc_heap_close(h);
}
FOR_EACH_BACKEND(a_heap_ends_with_the_reserve_of_its_region)

int main(void)
{
    const struct CMUnitTest tests[] = {
        EACH_BACKEND(what_is_free_goes_back_to_the_disk),
        EACH_BACKEND(a_heap_grows_over_what_was_given_back_behind_its_end),
        EACH_BACKEND(a_heap_is_made_where_parts_were_given_back),
        EACH_BACKEND(the_end_of_the_heap_is_cut),
        EACH_BACKEND(memory_of_calloc_is_zero_wherever_it_comes_from),
        TEST(a_quota_that_refuses_is_named),
        TEST(a_restore_that_is_refused_is_named_and_changes_nothing),
        EACH_BACKEND(a_sparse_region_is_used_again_as_it_is),
        EACH_BACKEND(while_others_read_nothing_is_given_back),
        EACH_BACKEND(a_cut_that_is_refused_leaves_the_heap_whole),
        EACH_BACKEND(a_heap_ends_with_the_reserve_of_its_region),
    };

    return cmocka_run_group_tests_name("heap_space", tests, NULL, NULL);
}
