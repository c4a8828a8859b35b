// The heap: its calls behave as their namesakes, in one region that grows and gives back.  With a daemon and embedded.
#include "tests/lib/heap_blocks.h"

#include <signal.h>
#include <sys/wait.h>

#include "client/heap/classes.h"
#include "client/heap/format.h"

static struct diskalloc_heap *new_heap(struct test_backend *b)
{
    struct diskalloc_heap *h = NULL;

    assert_int_equal(diskalloc_heap_new(b->da, &h), 0);
    assert_string_equal(diskalloc_last_error(), "");
    return h;
}

static void the_size_classes_are_in_order_and_waste_little(void **state)
{
    (void)state;
    for (size_t size = 0; size <= CLASS_SIZE_MAX; size++) {
        unsigned c = class_of(size);

        assert_true(c < CLASS_N && class_size(c) >= size);
        assert_true(c == 0 || class_size(c - 1) < size);
        assert_true(size < 16 || class_size(c) - size <= size / 4 + 16);
    }
    for (unsigned c = 0; c < CLASS_N; c++) {
        uint32_t bytes = class_slab_units(c) * (uint32_t)UNIT;

        assert_true(class_slab_units(c) <= SLAB_UNITS_MAX && class_blocks(c) >= 4);
        assert_true(bytes - class_blocks(c) * class_size(c) <= bytes / 16);
        assert_true(class_blocks(c) <= class_slab_units(c) * BITS_WORDS * 64);
        for (uint32_t offset = 0; offset < bytes; offset++)
            assert_int_equal((uint64_t)offset * class_reciprocal(c) >> 32, offset / class_size(c));
    }
    assert_int_equal(class_size(class_of_aligned(100, 64)), 128);
    assert_int_equal(class_size(class_of_aligned(5000, 4096)), 8192);
    assert_int_equal(class_of_aligned(20000, 16384), class_of(32768));
}

static void blocks_keep_what_is_stored_in_them(struct test_backend *b)
{
    struct diskalloc_heap *h = new_heap(b);
    struct block *table = blocks_new(h);

    for (uint64_t seed = 1; seed <= 4; seed++)
        blocks_step(h, table, seed, SANITIZED ? 2000 : 5000, seed % 2 ? 40000 : 3000000);
    blocks_free(h, table);
    diskalloc_heap_close(h);
}
FOR_EACH_BACKEND(blocks_keep_what_is_stored_in_them)

static void sizes_of_nothing_and_of_too_much(struct test_backend *b)
{
    struct diskalloc_heap *h = new_heap(b);
    void *p = diskalloc_heap_malloc(h, 0), *q = diskalloc_heap_calloc(h, 0, 5);

    assert_non_null(p);
    assert_non_null(q);
    assert_ptr_not_equal(p, q);
    assert_null(diskalloc_heap_realloc(h, p, 0));
    p = diskalloc_heap_realloc(h, NULL, 0);
    assert_non_null(p);
    diskalloc_heap_free(h, p);
    diskalloc_heap_free(h, q);
    diskalloc_heap_free(h, NULL);
    assert_int_equal(diskalloc_heap_usable_size(h, NULL), 0);
    errno = 0;
    assert_null(diskalloc_heap_malloc(h, SIZE_MAX));
    assert_int_equal(errno, ENOMEM);
    assert_non_null(strstr(diskalloc_last_error(), "diskalloc_heap_malloc"));
    errno = 0;
    assert_null(diskalloc_heap_calloc(h, SIZE_MAX / 2, 3));
    assert_int_equal(errno, ENOMEM);
    errno = 0;
    assert_null(diskalloc_heap_malloc(h, (size_t)1 << 40)); // above the reserve
    assert_int_equal(errno, ENOMEM);
    for (size_t alignment = 0; alignment < 64; alignment = alignment * 2 + 3) {
        errno = 0;
        assert_null(diskalloc_heap_memalign(h, alignment, 8));
        assert_int_equal(errno, EINVAL);
    }
    errno = 0;
    assert_null(diskalloc_heap_memalign(h, (size_t)1 << 62, 8));
    assert_int_equal(errno, ENOMEM);
    assert_null(diskalloc_heap_realloc(h, NULL, SIZE_MAX));
    assert_non_null(strstr(diskalloc_last_error(), "diskalloc_heap_realloc"));
    p = diskalloc_heap_malloc(h, 100);
    assert_null(diskalloc_heap_realloc(h, p, (size_t)1 << 40));
    assert_non_null(strstr(diskalloc_last_error(), "diskalloc_heap_realloc"));
    diskalloc_heap_free(h, p);
    assert_null(diskalloc_heap_calloc(h, 1, (size_t)1 << 40));
    assert_non_null(strstr(diskalloc_last_error(), "diskalloc_heap_calloc"));
    errno = 77;
    p = diskalloc_heap_malloc(h, 100);
    diskalloc_heap_free(h, p);
    assert_int_equal(errno, 77);
    diskalloc_heap_close(h);
    diskalloc_heap_close(NULL);
}
FOR_EACH_BACKEND(sizes_of_nothing_and_of_too_much)

static void large_blocks_grow_where_they_are(struct test_backend *b)
{
    struct diskalloc_heap *h = new_heap(b);
    char *p = diskalloc_heap_malloc(h, MIB), *q;
    unsigned moves = 0;

    assert_non_null(p);
    memset(p, 7, MIB);
    for (size_t size = MIB; size <= 512 * MIB; size += size / 2) {
        q = diskalloc_heap_realloc(h, p, size);
        assert_non_null(q);
        moves += q != p;
        p = q;
        assert_true(diskalloc_heap_usable_size(h, p) - size < UNIT);
        assert_int_equal(p[MIB - 1], 7);
        p[size - 1] = 7;
    }
    assert_true(moves <= 3); // where notes of the heap lie in the way
    assert_ptr_equal(diskalloc_heap_realloc(h, p, 2 * MIB), p);
    assert_int_equal(diskalloc_heap_usable_size(h, p), 2 * MIB);
    q = diskalloc_heap_malloc(h, MIB); // behind it
    assert_non_null(q);
    memset(q, 8, MIB);
    p = diskalloc_heap_realloc(h, p, 4 * MIB);
    assert_non_null(p);
    assert_int_equal(p[MIB - 1], 7);
    p = diskalloc_heap_realloc(h, p, 100); // now a small one
    assert_int_equal(diskalloc_heap_usable_size(h, p), 112);
    assert_int_equal(p[99], 7);
    p = diskalloc_heap_realloc(h, p, 50000);
    assert_int_equal(p[99], 7);
    assert_int_equal(q[MIB - 1], 8);
    diskalloc_heap_free(h, p);
    diskalloc_heap_free(h, q);
    diskalloc_heap_close(h);
}
FOR_EACH_BACKEND(large_blocks_grow_where_they_are)

struct wrong {
    struct test_backend *b;
    unsigned which;
};

// In a process of its own, with a heap of its own.
static void free_wrongly(void *data)
{
    const struct wrong *w = data;
    struct diskalloc_heap *h = new_heap(w->b);
    char *small = diskalloc_heap_malloc(h, 100), *large = diskalloc_heap_malloc(h, 100000);
    char *base = diskalloc_heap_base(h);
    char *wrong[] = {small + 16,  small + 1,  large + UNIT, large + 8,     base,
                     base - 4096, (char *)&h, base + UNIT,  base + 1 * GIB};

    close(STDERR_FILENO);
    signal(SIGABRT, SIG_DFL);
    if (w->which < sizeof wrong / sizeof *wrong) {
        diskalloc_heap_free(h, wrong[w->which]);
    } else if (w->which == 9) {
        diskalloc_heap_free(h, small);
        diskalloc_heap_free(h, small);
    } else if (w->which == 10) {
        diskalloc_heap_free(h, large);
        diskalloc_heap_free(h, large);
    } else {
        // noticed when the thread gives its free blocks back
        char *other = diskalloc_heap_malloc(h, 100);

        diskalloc_heap_free(h, small);
        diskalloc_heap_free(h, other);
        diskalloc_heap_free(h, small);
        diskalloc_heap_close(h);
    }
    _exit(0);
}

static void a_pointer_that_is_no_block_ends_the_program(struct test_backend *b)
{
    struct wrong w = {.b = b};

    for (w.which = 0; w.which < 12; w.which++) {
        int status = test_in_child(free_wrongly, &w, (uid_t)-1);

        if (!WIFSIGNALED(status) || WTERMSIG(status) != SIGABRT)
            fail_msg("case %u: status %d", w.which, status);
    }
}
FOR_EACH_BACKEND(a_pointer_that_is_no_block_ends_the_program)

static void realloc_of_what_is_no_block_is_refused(struct test_backend *b)
{
    struct diskalloc_heap *h = new_heap(b);
    int x;

    errno = 0;
    assert_null(diskalloc_heap_realloc(h, &x, 10));
    assert_int_equal(errno, EINVAL);
    errno = 0;
    assert_null(diskalloc_heap_realloc(h, &x, 0));
    assert_int_equal(errno, EINVAL);
    assert_int_equal(diskalloc_heap_set_root(h, &x), -EINVAL);
    assert_int_equal(diskalloc_heap_set_root(h, (char *)diskalloc_heap_base(h) + 16), -EINVAL);
    assert_null(diskalloc_heap_root(h));
    diskalloc_heap_close(h);
}
FOR_EACH_BACKEND(realloc_of_what_is_no_block_is_refused)

static void calls_without_a_heap_are_refused(struct test_backend *b)
{
    struct diskalloc_heap *h = NULL;

    errno = 0;
    assert_null(diskalloc_heap_malloc(NULL, 8));
    assert_int_equal(errno, EINVAL);
    assert_null(diskalloc_heap_calloc(NULL, 1, 8));
    assert_null(diskalloc_heap_memalign(NULL, 8, 8));
    assert_null(diskalloc_heap_realloc(NULL, NULL, 8));
    assert_int_equal(diskalloc_heap_usable_size(NULL, &h), 0);
    EXPECT_FAILURE(-EINVAL, "diskalloc_heap_set_root", diskalloc_heap_set_root(NULL, NULL));
    EXPECT_FAILURE(-EINVAL, "diskalloc_heap_new", diskalloc_heap_new(NULL, &h));
    EXPECT_FAILURE(-EINVAL, "diskalloc_heap_new", diskalloc_heap_new(b->da, NULL));
    EXPECT_FAILURE(-EINVAL, "diskalloc_heap_open", diskalloc_heap_open(NULL, &h));
    assert_null(h);
}
FOR_EACH_BACKEND(calls_without_a_heap_are_refused)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(the_size_classes_are_in_order_and_waste_little),
        EACH_BACKEND(blocks_keep_what_is_stored_in_them),
        EACH_BACKEND(sizes_of_nothing_and_of_too_much),
        EACH_BACKEND(large_blocks_grow_where_they_are),
        EACH_BACKEND(a_pointer_that_is_no_block_ends_the_program),
        EACH_BACKEND(realloc_of_what_is_no_block_is_refused),
        EACH_BACKEND(calls_without_a_heap_are_refused),
    };

    return cmocka_run_group_tests_name("heap", tests, NULL, NULL);
}
