// The realloc face: with forks, and with limits on address space.
#include "tests/lib/test_backend.h"

#include <sys/resource.h>
#include <sys/wait.h>

static void a_block_behaves_as_one_of_malloc(struct test_backend *b)
{
    unsigned char *p = diskalloc_malloc(b->da, 10000), *q;

    assert_non_null(p);
    assert_int_equal((uintptr_t)p % (2 * MIB), 0);
    assert_int_equal(diskalloc_usable_size(p), 12288);
    assert_true(diskalloc_owns(p));
    assert_false(diskalloc_owns(p + 4096));
    assert_int_equal(diskalloc_usable_size(p + 1), 0);
    memset(p, 7, 12288);
    q = diskalloc_realloc(NULL, p, 5 * MIB);
    assert_ptr_equal(q, p);
    assert_int_equal(q[12287], 7);
    assert_int_equal(q[12288], 0);
    q = diskalloc_realloc(b->da, q, 1);
    assert_ptr_equal(q, p);
    assert_int_equal(diskalloc_usable_size(q), 4096);
    diskalloc_free(q);
    assert_false(diskalloc_owns(p));
}
FOR_EACH_BACKEND(a_block_behaves_as_one_of_malloc)

static void blocks_of_no_bytes_are_blocks_too(struct test_backend *b)
{
    void *p = diskalloc_malloc(b->da, 0), *q = diskalloc_realloc(b->da, NULL, 0);

    assert_non_null(p);
    assert_non_null(q);
    assert_ptr_not_equal(p, q);
    assert_null(diskalloc_realloc(b->da, p, 0));
    assert_false(diskalloc_owns(p));
    diskalloc_free(q);
    diskalloc_free(NULL);
    assert_int_equal(diskalloc_usable_size(NULL), 0);
}
FOR_EACH_BACKEND(blocks_of_no_bytes_are_blocks_too)

static void a_pointer_that_is_no_block_is_refused(struct test_backend *b)
{
    int x;

    errno = 0;
    assert_null(diskalloc_realloc(b->da, &x, 100));
    assert_int_equal(errno, EINVAL);
    assert_null(diskalloc_realloc(b->da, &x, 0));
    assert_int_equal(errno, EINVAL);
    errno = 0;
    assert_null(diskalloc_malloc(NULL, 100));
    assert_int_equal(errno, EINVAL);
    errno = 0;
    assert_null(diskalloc_malloc(b->da, SIZE_MAX));
    assert_int_equal(errno, ENOMEM);
}
FOR_EACH_BACKEND(a_pointer_that_is_no_block_is_refused)

static void a_thousand_blocks_are_told_apart(struct test_backend *b)
{
    static uint64_t *p[1000];

    for (uint64_t i = 0; i < 1000; i++) {
        p[i] = diskalloc_malloc(b->da, 4096);
        assert_non_null(p[i]);
        p[i][0] = i;
    }
    for (uint64_t i = 0; i < 1000; i += 2)
        diskalloc_free(p[i]);
    for (uint64_t i = 1; i < 1000; i += 2) {
        assert_int_equal(p[i][0], i);
        assert_int_equal(diskalloc_usable_size(p[i]), 4096);
        diskalloc_free(p[i]);
    }
}
FOR_EACH_BACKEND(a_thousand_blocks_are_told_apart)

struct inherited {
    struct test_backend *b;
    unsigned char *block;
};

// Growing moves the child's block away from its parent's; freeing takes nothing from the parent.
static void use_inherited_block(void *data)
{
    struct inherited *i = data;
    unsigned char *moved = diskalloc_realloc(i->b->da, i->block, MIB);

    assert_non_null(moved);
    assert_int_equal(moved[4095], 5);
    moved[0] = 6;
    diskalloc_free(moved);
}

static void a_forked_child_may_grow_and_free_its_blocks(struct test_backend *b)
{
    struct inherited i = {b, diskalloc_malloc(b->da, 4096)};
    int status;

    assert_non_null(i.block);
    memset(i.block, 5, 4096);
    status = test_in_child(use_inherited_block, &i, (uid_t)-1);
    assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
    assert_int_equal(i.block[0], 5);
    i.block = diskalloc_realloc(b->da, i.block, 2 * MIB);
    assert_int_equal(i.block[4095], 5);
    diskalloc_free(i.block);
}
FOR_EACH_BACKEND(a_forked_child_may_grow_and_free_its_blocks)

// As under `ulimit -v`.
static void live_in_little_address_space(void *data)
{
    struct test_backend *b = data;
    struct rlimit little = {4 * GIB, 4 * GIB};
    struct diskalloc_region_options o = DISKALLOC_REGION_OPTIONS_INIT;
    struct diskalloc_region *r = NULL, *none = NULL;
    void *block;

    assert_return_code(setrlimit(RLIMIT_AS, &little), errno);
    assert_int_equal(diskalloc_region_create(b->da, NULL, &r), 0);
    assert_true(diskalloc_region_reserve(r) < 4 * GIB);
    assert_int_equal(diskalloc_region_resize(r, 100 * MIB), 0);
    ((char *)diskalloc_region_data(r))[100 * MIB - 1] = 1;
    o.reserve = 64 * GIB;
    assert_int_equal(diskalloc_region_create(b->da, &o, &none), -ENOMEM);
    assert_non_null(strstr(diskalloc_last_error(), "64G"));
    block = diskalloc_malloc(b->da, 100 * MIB);
    assert_non_null(block);
    diskalloc_free(block);
    diskalloc_region_close(r);
}

static void regions_work_in_little_address_space(struct test_backend *b)
{
    int status;

    if (SANITIZED)
        return; // their shadow alone needs more
    status = test_in_child(live_in_little_address_space, b, (uid_t)-1);
    assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
}
FOR_EACH_BACKEND(regions_work_in_little_address_space)

int main(void)
{
    const struct CMUnitTest tests[] = {
        EACH_BACKEND(a_block_behaves_as_one_of_malloc),
        EACH_BACKEND(blocks_of_no_bytes_are_blocks_too),
        EACH_BACKEND(a_pointer_that_is_no_block_is_refused),
        EACH_BACKEND(a_thousand_blocks_are_told_apart),
        EACH_BACKEND(a_forked_child_may_grow_and_free_its_blocks),
        EACH_BACKEND(regions_work_in_little_address_space),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
