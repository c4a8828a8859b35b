// Vectors that are consumed from their front: what was consumed goes back to the disk and the quota, and the rest stays
// where it is.
#include "tests/lib/actor.h"
#include "tests/lib/numbers.h"
#include "tests/lib/region_bytes.h"
#include "tests/lib/scratch.h"
#include "tests/lib/test_backend.h"

#include <diskalloc/order.h>
#include <fcntl.h>
#include <sys/stat.h>

#include "client/region/region.h"

DISKALLOC_VEC_DEFINE(drained, uint64_t)

static inline int comes_before(const uint64_t *a, const uint64_t *b)
{
    return *a < *b;
}
DISKALLOC_VEC_DEFINE_ORDER(drained, uint64_t, comes_before)

enum { BLOCK = 4096, IN_BLOCK = BLOCK / 8, IN_MIB = MIB / 8 };

static void fill(struct drained *v, size_t n)
{
    while (v->len < n)
        assert_int_equal(drained_push(v, v->len), 0);
}

static void make(struct test_backend *b, struct drained *v, size_t n)
{
    assert_int_equal(drained_init(v, b->da), 0);
    fill(v, n);
}

static void expect_numbers(const struct drained *v, size_t from)
{
    for (size_t i = from; i < v->len; i++)
        assert_int_equal(v->data[i], i);
}

// By the daemon's account; in a directory, by the file's blocks.
static uint64_t held(struct test_backend *b, const struct drained *v)
{
    struct stat st;

    if (b->remote)
        return usage_of(b->da).bytes;
    assert_return_code(fstat(diskalloc_region_fd(v->region), &st), errno);
    return (uint64_t)st.st_blocks * 512;
}

static bool is_gone(const struct drained *v, size_t i)
{
    return !can_store(v->region, i * sizeof *v->data);
}

// No early grow changes what is charged.
static void settle(struct drained *v)
{
    pthread_mutex_lock(&v->region->lock);
    region_settle_early(v->region, true);
    v->region->early_refused = v->region->size;
    pthread_mutex_unlock(&v->region->lock);
}

static void what_is_consumed_goes_back_and_the_rest_stays_in_place(struct test_backend *b)
{
    const uint64_t *data;
    struct drained v;
    uint64_t before;

    make(b, &v, 8 * IN_MIB);
    data = v.data;
    settle(&v);
    before = held(b, &v);
    assert_int_equal(drained_discard_front(&v, 3 * IN_MIB + IN_BLOCK + 7), 0);
    assert_int_equal(v.len, 8 * IN_MIB);
    assert_ptr_equal(v.data, data);
    assert_int_equal(v.front, 3 * IN_MIB + IN_BLOCK + 7);
    if (b->remote)
        assert_int_equal(held(b, &v), before - 3 * MIB - BLOCK);
    else
        assert_true(held(b, &v) <= before - 3 * MIB);
    assert_true(is_gone(&v, 0));
    assert_true(is_gone(&v, 3 * IN_MIB + IN_BLOCK - 1));
    assert_false(is_gone(&v, 3 * IN_MIB + IN_BLOCK));
    expect_numbers(&v, v.front);
    fill(&v, 9 * IN_MIB);
    expect_numbers(&v, v.front);
    drained_deinit(&v);
}
FOR_EACH_BACKEND(what_is_consumed_goes_back_and_the_rest_stays_in_place)

static void small_steps_are_collected_and_everything_is_given_back_in_time(struct test_backend *b)
{
    struct drained v;
    uint64_t before;

    make(b, &v, 8 * IN_MIB);
    settle(&v);
    before = held(b, &v);
    for (size_t n = 0; n < 7 * IN_MIB; n += 100)
        assert_int_equal(drained_discard_front(&v, n), 0);
    assert_true(held(b, &v) <= before - 4 * MIB);
    assert_true(is_gone(&v, 4 * IN_MIB));
    // A call that does not come soon after another one, and one that consumes all that is left.
    v.region->drained_at = 1;
    assert_int_equal(drained_discard_front(&v, 7 * IN_MIB), 0);
    if (b->remote)
        assert_int_equal(held(b, &v), before - 7 * MIB);
    assert_true(is_gone(&v, 7 * IN_MIB - 1));
    expect_numbers(&v, 7 * IN_MIB);
    assert_int_equal(drained_discard_front(&v, v.len), 0);
    assert_true(is_gone(&v, 8 * IN_MIB - 1));
    if (b->remote)
        assert_int_equal(held(b, &v), before - 8 * MIB);
    drained_deinit(&v);
}
FOR_EACH_BACKEND(small_steps_are_collected_and_everything_is_given_back_in_time)

static void consumed_elements_are_out_of_reach_for_the_other_calls(struct test_backend *b)
{
    struct drained v;
    uint64_t value = 0, key;

    make(b, &v, 4 * IN_MIB);
    assert_int_equal(drained_discard_front(&v, 3 * IN_MIB), 0);
    assert_int_equal(drained_discard_front(&v, 1), 0); // less than before: nothing new
    assert_int_equal(v.front, 3 * IN_MIB);
    EXPECT_FAILURE(-EINVAL, "drained_insert", drained_insert(&v, 3 * IN_MIB - 1, 0));
    EXPECT_FAILURE(-EINVAL, "drained_remove", drained_remove(&v, 0, NULL));
    EXPECT_FAILURE(-EINVAL, "drained_swap_remove", drained_swap_remove(&v, 3 * IN_MIB - 1, NULL));
    EXPECT_FAILURE(-EINVAL, "drained_sort", drained_sort(&v));
    EXPECT_FAILURE(-EINVAL, "drained_discard_front", drained_discard_front(&v, v.len + 1));
    assert_int_equal(v.front, 3 * IN_MIB);
    assert_true(drained_is_sorted(&v));
    key = 3 * IN_MIB + 5;
    assert_int_equal(drained_lower_bound(&v, &key), key);
    assert_int_equal(drained_upper_bound(&v, &key), key + 1);
    key = 5;
    assert_int_equal(drained_lower_bound(&v, &key), v.front);
    key = UINT64_MAX;
    assert_int_equal(drained_lower_bound(&v, &key), v.len);
    assert_int_equal(drained_insert(&v, v.front, 3 * IN_MIB), 0);
    assert_int_equal(drained_dedup(&v), 1);
    expect_numbers(&v, v.front);
    assert_int_equal(drained_remove(&v, v.front, &value), 0);
    assert_int_equal(value, 3 * IN_MIB);
    for (size_t i = v.len; i > v.front; i--)
        assert_int_equal(drained_pop(&v, NULL), 0);
    EXPECT_FAILURE(-ENODATA, "drained_pop", drained_pop(&v, &value));
    assert_int_equal(v.len, 3 * IN_MIB);
    assert_int_equal(drained_dedup(&v), 0);
    assert_true(drained_is_sorted(&v));
    assert_int_equal(drained_lower_bound(&v, &key), v.len);
    drained_deinit(&v);
}
FOR_EACH_BACKEND(consumed_elements_are_out_of_reach_for_the_other_calls)

// A queue that has run empty begins anew, or goes back a little.
static void a_vector_that_is_cut_below_is_filled_again(struct test_backend *b)
{
    struct drained v;
    uint64_t before;

    make(b, &v, 8 * IN_MIB);
    assert_int_equal(drained_discard_front(&v, 8 * IN_MIB), 0);
    assert_int_equal(drained_truncate(&v, 0), 0);
    assert_int_equal(v.front, 0);
    before = held(b, &v);
    fill(&v, 10);
    assert_true(held(b, &v) < before + 2 * MIB);
    fill(&v, 9 * IN_MIB);
    expect_numbers(&v, 0);
    assert_int_equal(drained_discard_front(&v, 4 * IN_MIB), 0);
    assert_int_equal(drained_truncate(&v, 2 * IN_MIB), 0);
    assert_int_equal(v.front, 2 * IN_MIB);
    assert_int_equal(drained_resize(&v, 5 * IN_MIB), 0);
    for (size_t i = 2 * IN_MIB; i < v.len; i++)
        assert_int_equal(v.data[i], 0);
    assert_true(is_gone(&v, 2 * IN_MIB - 1));
    assert_int_equal(drained_truncate(&v, 2 * IN_MIB), 0);
    assert_int_equal(drained_reserve_wait(&v, IN_MIB, 0), 0);
    fill(&v, 6 * IN_MIB);
    expect_numbers(&v, 2 * IN_MIB);
    drained_deinit(&v);
}
FOR_EACH_BACKEND(a_vector_that_is_cut_below_is_filled_again)

static void what_was_discarded_is_consumed_for_who_opens_it_later(struct test_backend *b)
{
    struct diskalloc_region_options o = DISKALLOC_REGION_OPTIONS_INIT;
    struct drained v;

    o.flags = DISKALLOC_REGION_CREATE;
    assert_int_equal(drained_open(&v, b->da, "queue", &o), 0);
    fill(&v, 4 * IN_MIB);
    assert_int_equal(drained_discard_front(&v, 3 * IN_MIB + 1), 0);
    assert_int_equal(drained_refresh(&v), 0);
    assert_int_equal(v.front, 3 * IN_MIB + 1);
    assert_int_equal(drained_commit(&v, 0), 0);
    drained_deinit(&v);
    assert_int_equal(drained_open(&v, b->da, "queue", NULL), 0);
    assert_int_equal(v.len, 4 * IN_MIB);
    assert_int_equal(v.front, 3 * IN_MIB);
    expect_numbers(&v, v.front);
    assert_int_equal(drained_discard_front(&v, 4 * IN_MIB - 1), 0);
    drained_deinit(&v);
    o.flags = DISKALLOC_REGION_READ_ONLY;
    assert_int_equal(drained_open(&v, b->da, "queue", &o), 0);
    assert_int_equal(v.front, 4 * IN_MIB - IN_BLOCK);
    EXPECT_FAILURE(-EROFS, "drained_discard_front", drained_discard_front(&v, v.len));
    drained_deinit(&v);
    assert_int_equal(diskalloc_region_unlink(b->da, "queue"), 0);
}
FOR_EACH_BACKEND(what_was_discarded_is_consumed_for_who_opens_it_later)

static void with_others_attached_nothing_is_consumed(struct test_backend *b)
{
    struct diskalloc_region *other = NULL;
    struct drained v;

    make(b, &v, 4 * IN_MIB);
    assert_int_equal(diskalloc_region_attach(b->da, diskalloc_region_handle(v.region), NULL, &other), 0);
    EXPECT_FAILURE(-EBUSY, "drained_discard_front", drained_discard_front(&v, 3 * IN_MIB));
    assert_int_equal(v.front, 0);
    expect_numbers(&v, 0);
    diskalloc_region_close(other);
    usage_of(b->da); // waits until the client's thread has unmapped it
    assert_int_equal(drained_discard_front(&v, 3 * IN_MIB), 0);
    expect_numbers(&v, v.front);
    drained_deinit(&v);
}
FOR_EACH_BACKEND(with_others_attached_nothing_is_consumed)

static void vectors_that_have_nothing_to_give_back_are_told(struct test_backend *b)
{
    struct diskalloc_region_options o = DISKALLOC_REGION_OPTIONS_INIT;
    struct drained v = {0};

    EXPECT_FAILURE(-EINVAL, "drained_discard_front", drained_discard_front(&v, 1));
    assert_int_equal(drained_init(&v, b->da), 0);
    assert_int_equal(drained_discard_front(&v, 0), 0);
    fill(&v, 10);
    assert_int_equal(drained_discard_front(&v, 10), 0);
    EXPECT_FAILURE(-ENODATA, "drained_pop", drained_pop(&v, NULL));
    fill(&v, 4 * IN_MIB);
    expect_numbers(&v, 10);
    drained_deinit(&v);
    o.flags = DISKALLOC_REGION_SPARSE;
    assert_int_equal(drained_init_with(&v, b->da, &o), 0);
    fill(&v, 4 * IN_MIB);
    EXPECT_FAILURE(-EOPNOTSUPP, "drained_discard_front", drained_discard_front(&v, 3 * IN_MIB));
    expect_numbers(&v, 0);
    drained_deinit(&v);
}
FOR_EACH_BACKEND(vectors_that_have_nothing_to_give_back_are_told)

// What is needed again may be refused: then nothing has changed.
static void a_vector_that_is_filled_again_may_be_refused(void **state)
{
    struct diskalloc_region *hog = NULL;
    struct test_backend b;
    struct drained v;

    (void)state;
    backend_start(&b, true, "[daemon]\nkeep_free = 0\n[quota default]\nbytes = 16M\n", NULL);
    make(&b, &v, 8 * IN_MIB);
    settle(&v);
    assert_int_equal(drained_discard_front(&v, 8 * IN_MIB), 0);
    assert_int_equal(drained_truncate(&v, 0), 0);
    hog = make_region(b.da, usage_of(b.da).grantable_bytes);
    EXPECT_FAILURE(-EDQUOT, "drained_push", drained_push(&v, 0));
    assert_int_equal(v.len, 0);
    EXPECT_FAILURE(-EDQUOT, "drained_reserve_wait", drained_reserve_wait(&v, 1, 1));
    assert_int_equal(diskalloc_region_resize(hog, diskalloc_region_size(hog) - 2 * BLOCK), 0);
    fill(&v, 2 * IN_BLOCK); // less than what growing asks for
    EXPECT_FAILURE(-EDQUOT, "drained_push", drained_push(&v, 0));
    expect_numbers(&v, 0);
    diskalloc_region_close(hog);
    fill(&v, 8 * IN_MIB);
    expect_numbers(&v, 0);
    drained_deinit(&v);
    backend_stop(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        EACH_BACKEND(what_is_consumed_goes_back_and_the_rest_stays_in_place),
        EACH_BACKEND(small_steps_are_collected_and_everything_is_given_back_in_time),
        EACH_BACKEND(consumed_elements_are_out_of_reach_for_the_other_calls),
        EACH_BACKEND(a_vector_that_is_cut_below_is_filled_again),
        EACH_BACKEND(what_was_discarded_is_consumed_for_who_opens_it_later),
        EACH_BACKEND(with_others_attached_nothing_is_consumed),
        EACH_BACKEND(vectors_that_have_nothing_to_give_back_are_told),
        TEST(a_vector_that_is_filled_again_may_be_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
