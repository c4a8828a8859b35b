// A shrink of a region that others have attached, and vectors: what a vector gives up, and when it asks.
#include "tests/lib/sharing_scene.h"

#include "proto/util/clock.h"

// The elements of a reader are the region's; a writer's own are not given up.
static void a_vector_agrees_unless_it_has_elements_of_its_own(struct test_backend *b)
{
    struct u64s writer, reader;
    struct pair p;
    struct cut c;

    pair_open(&p, b, 0);
    assert_int_equal(diskalloc_region_commit(p.a, SIZE, 8, 0), 0);
    assert_int_equal(u64s_init_region(&reader, p.b), 0);
    assert_int_equal(reader.len, SIZE / 8);
    cut_begin(&c, p.a, LESS, -1);
    expect_event(p.theirs, reader.region, DISKALLOC_EVENT_SHRINK_ASKED, LESS);
    assert_int_equal(u64s_refresh(&reader), 1);
    assert_int_equal(reader.len, LESS / 8);
    assert_true(reader.cap <= LESS / 8);
    assert_int_equal(cut_end(&c), 0);
    expect_event(p.theirs, reader.region, DISKALLOC_EVENT_REGION_RESIZED, LESS);
    assert_int_equal(u64s_refresh(&reader), 0);
    assert_int_equal(reader.len, LESS / 8);

    assert_int_equal(diskalloc_region_resize(p.a, SIZE), 0);
    assert_int_equal(u64s_refresh(&reader), 1);
    writer = reader;
    while (writer.len < SIZE / 16)
        assert_int_equal(u64s_push(&writer, 7), 0);
    expect_event(p.theirs, writer.region, DISKALLOC_EVENT_REGION_RESIZED, SIZE);
    cut_begin(&c, p.a, LESS, 300);
    expect_event(p.theirs, writer.region, DISKALLOC_EVENT_SHRINK_ASKED, LESS);
    assert_int_equal(u64s_refresh(&writer), 0);
    assert_int_equal(writer.len, SIZE / 16);
    assert_int_equal(writer.data[SIZE / 16 - 1], 7);
    assert_int_equal(cut_end(&c), -EBUSY);
    expect_event(p.theirs, writer.region, DISKALLOC_EVENT_REGION_RESIZED, SIZE);

    // It agrees once it has dropped them; and pushing more takes that back.
    cut_begin(&c, p.a, LESS, -1);
    expect_event(p.theirs, writer.region, DISKALLOC_EVENT_SHRINK_ASKED, LESS);
    assert_int_equal(u64s_truncate(&writer, LESS / 8), 0);
    assert_int_equal(u64s_refresh(&writer), 1);
    assert_int_equal(cut_end(&c), 0);
    while (writer.len < SIZE / 8)
        assert_int_equal(u64s_push(&writer, 9), 0);
    assert_int_equal(writer.data[SIZE / 8 - 1], 9);
    u64s_deinit(&writer);
    p.b = NULL;
    pair_close(&p);
}
WITH_A_DAEMON(a_vector_agrees_unless_it_has_elements_of_its_own)

static void a_vector_that_pushes_takes_its_agreement_back(struct test_backend *b)
{
    struct diskalloc_region *third_region = NULL;
    struct diskalloc *third = NULL;
    struct u64s v;
    struct pair p;
    struct cut c;

    pair_open(&p, b, 0);
    assert_int_equal(diskalloc_region_commit(p.a, LESS, 8, 0), 0);
    assert_int_equal(u64s_init_region(&v, p.b), 0);
    assert_int_equal(diskalloc_open(b->address, NULL, &third), 0);
    assert_int_equal(open_named(third, "shared", 0, 0, &third_region), 0);
    cut_begin(&c, p.a, LESS, 1000);
    expect_event(p.theirs, v.region, DISKALLOC_EVENT_SHRINK_ASKED, LESS);
    assert_int_equal(u64s_refresh(&v), 1);
    while (v.len < SIZE / 8 + 1)
        assert_int_equal(u64s_push(&v, 3), 0);
    assert_int_equal(v.data[SIZE / 8], 3);
    assert_int_equal(cut_end(&c), -EBUSY);
    diskalloc_region_close(third_region);
    diskalloc_close(third);
    u64s_deinit(&v);
    p.b = NULL;
    pair_close(&p);
}
WITH_A_DAEMON(a_vector_that_pushes_takes_its_agreement_back)

static void a_vector_shrinks_to_fit_when_its_reader_agrees(struct test_backend *b)
{
    struct u64s v;
    struct pair p;
    struct cut c;

    pair_open(&p, b, DISKALLOC_REGION_READ_ONLY);
    assert_int_equal(u64s_init_region(&v, p.a), 0);
    assert_int_equal(u64s_truncate(&v, LESS / 8), 0);
    assert_int_equal(u64s_shrink_to_fit(&v), -EBUSY); // nobody has agreed
    assert_int_equal(v.cap, SIZE / 8);
    expect_event(p.theirs, p.b, DISKALLOC_EVENT_SHRINK_ASKED, LESS);
    expect_event(p.theirs, p.b, DISKALLOC_EVENT_REGION_RESIZED, SIZE);
    cut_begin(&c, v.region, LESS, -1);
    expect_event(p.theirs, p.b, DISKALLOC_EVENT_SHRINK_ASKED, LESS);
    assert_int_equal(diskalloc_region_refresh(p.b), 1);
    assert_int_equal(cut_end(&c), 0);
    u64s_deinit(&v);
    p.a = NULL;
    pair_close(&p);
}
WITH_A_DAEMON(a_vector_shrinks_to_fit_when_its_reader_agrees)

// What nobody asked for is not given back while others have it: nobody waits a second for that.
static void the_end_of_a_vector_asks_nobody(struct test_backend *b)
{
    uint64_t before;
    struct u64s v;
    struct pair p;

    pair_open(&p, b, 0);
    assert_int_equal(u64s_init_region(&v, p.a), 0);
    assert_int_equal(u64s_reserve(&v, SIZE), 0);
    expect_event(p.theirs, p.b, DISKALLOC_EVENT_REGION_RESIZED, diskalloc_region_size(v.region));
    before = clock_now();
    u64s_deinit(&v);
    assert_true(clock_now() - before < 900);
    p.a = NULL;
    expect_no_event(p.theirs);
    pair_close(&p);
}
WITH_A_DAEMON(the_end_of_a_vector_asks_nobody)

int main(void)
{
    const struct CMUnitTest tests[] = {
        ONE(a_vector_agrees_unless_it_has_elements_of_its_own),
        ONE(a_vector_that_pushes_takes_its_agreement_back),
        ONE(a_vector_shrinks_to_fit_when_its_reader_agrees),
        ONE(the_end_of_a_vector_asks_nobody),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
