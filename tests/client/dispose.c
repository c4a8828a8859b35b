// The space of a closed region comes back by itself, and before any request is refused for want of it.
#include "tests/lib/actor.h"
#include "tests/lib/loop_mount.h"
#include "tests/lib/proc_self.h"
#include "tests/lib/scratch.h"
#include "tests/lib/test_backend.h"

#include <pthread.h>
#include <sys/mman.h>

#include "client/diskalloc.h"
#include "client/memory/dispose.h"
#include "client/region/region.h"

DISKALLOC_VEC_DEFINE(u64s, uint64_t)

static const char exactly_one[] = "[daemon]\nkeep_free = 0\n[quota default]\nbytes = 16M\n";

static void fill(struct diskalloc_region *r)
{
    memset(diskalloc_region_data(r), 1, diskalloc_region_size(r));
}

// Of another client, which waits for nothing that is closed here.
static void a_closed_regions_charge_is_returned(void **state)
{
    struct diskalloc *other = NULL;
    struct test_backend b;
    struct diskalloc_region *r;

    (void)state;
    backend_start(&b, true, NULL, NULL);
    assert_int_equal(diskalloc_open(b.address, NULL, &other), 0);
    r = make_region(b.da, 64 * MIB);
    fill(r);
    assert_int_equal(usage_of(other).bytes, 64 * MIB);
    diskalloc_region_close(r);
    test_wait_until(nothing_is_charged, other, 30, "the charge of what was closed is returned");
    assert_int_equal(test_count_files(b.daemon.spill), 0);
    diskalloc_close(other);
    backend_stop(&b);
}

// A daemon hears of it, and looks whether it is still mapped, by and by.
static void await_nothing_charged(struct test_backend *b)
{
    if (b->remote)
        test_wait_until(nothing_is_charged, b->da, 30, "what was closed is not charged");
    assert_int_equal(usage_of(b->da).bytes, 0);
    assert_int_equal(usage_of(b->da).regions, 0);
}

static void usage_does_not_count_for_long_what_was_closed(struct test_backend *b)
{
    for (int i = 0; i < 20; i++) {
        struct diskalloc_region *r = make_region(b->da, 40 * MIB);

        memset(diskalloc_region_data(r), 1, 8 * MIB);
        diskalloc_region_close(r);
        await_nothing_charged(b);
    }
}
FOR_EACH_BACKEND(usage_does_not_count_for_long_what_was_closed)

// By being made, by growing, by a vector.
static void at_a_limits_edge_what_was_closed_before_can_be_had_again(void **state)
{
    struct test_backend b;

    (void)state;
    backend_start(&b, true, exactly_one, NULL);
    for (int i = 0; i < 200; i++) {
        struct diskalloc_region *r = make_region(b.da, 16 * MIB), *grown;
        struct u64s v;

        memset(diskalloc_region_data(r), 1, 4 * MIB);
        diskalloc_region_close(r);
        grown = make_region(b.da, i % 2 ? 0 : 16 * MIB);
        assert_int_equal(diskalloc_region_resize(grown, 16 * MIB), 0);
        memset(diskalloc_region_data(grown), 1, MIB);
        diskalloc_region_close(grown);
        assert_int_equal(u64s_init(&v, b.da), 0);
        assert_int_equal(u64s_reserve(&v, 16 * MIB / 8), 0);
        assert_string_equal(diskalloc_last_error(), "");
        assert_int_equal(u64s_push(&v, 1), 0);
        EXPECT_FAILURE(-EDQUOT, "u64s_reserve", u64s_reserve(&v, 16 * MIB / 8));
        u64s_deinit(&v);
    }
    backend_stop(&b);
}

// The region that one grows while another is on its way back.
static void at_a_limits_edge_a_region_grows_into_what_was_closed_before(void **state)
{
    struct diskalloc_region *keeps, *goes;
    struct test_backend b;

    (void)state;
    backend_start(&b, true, exactly_one, NULL);
    keeps = make_region(b.da, 4096);
    for (int i = 0; i < 100; i++) {
        goes = make_region(b.da, 16 * MIB - 4096);
        memset(diskalloc_region_data(goes), 1, 4 * MIB);
        diskalloc_region_close(goes);
        assert_int_equal(diskalloc_region_resize(keeps, 16 * MIB), 0);
        assert_int_equal(diskalloc_region_resize(keeps, 4096), 0);
    }
    diskalloc_region_close(keeps);
    backend_stop(&b);
}

static void on_a_small_disk_what_was_closed_before_can_be_had_again(void **state)
{
    struct test_mount m;
    struct test_backend b;
    uint64_t room;

    (void)state;
    if (!test_mount(&m, "ext4", 64 * MIB)) {
        skip();
        return;
    }
    backend_start(&b, false, NULL, m.at);
    room = usage_of(b.da).grantable_bytes;
    room = room > 0 && room < 50 * MIB ? room / 4 * 3 : 32 * MIB;
    for (int i = 0; i < 100; i++) {
        struct diskalloc_region *r = make_region(b.da, room);

        memset(diskalloc_region_data(r), 1, 2 * MIB);
        diskalloc_region_close(r);
    }
    backend_stop(&b);
    test_unmount(&m);
}

// Of a region that this process had twice.
static void what_was_closed_before_keeps_nobody_from_cutting(struct test_backend *b)
{
    for (int i = 0; i < 100; i++) {
        struct diskalloc_region *r = make_region(b->da, 8 * MIB), *twice = NULL;

        assert_int_equal(diskalloc_region_attach(b->da, diskalloc_region_handle(r), NULL, &twice), 0);
        fill(twice);
        diskalloc_region_close(twice);
        if (i % 2)
            assert_int_equal(diskalloc_region_discard(r, MIB, MIB), 0);
        else
            assert_int_equal(diskalloc_region_resize(r, MIB), 0);
        diskalloc_region_close(r);
    }
}
FOR_EACH_BACKEND(what_was_closed_before_keeps_nobody_from_cutting)

static void what_was_closed_before_keeps_no_sole_writer_out(struct test_backend *b)
{
    struct diskalloc_region_options reader = DISKALLOC_REGION_OPTIONS_INIT, sole = DISKALLOC_REGION_OPTIONS_INIT;

    reader.flags = DISKALLOC_REGION_READ_ONLY;
    sole.flags = DISKALLOC_REGION_SOLE_WRITER;
    for (int i = 0; i < 100; i++) {
        struct diskalloc_region *r = make_region(b->da, 8 * MIB), *reads = NULL, *writes = NULL;

        assert_int_equal(diskalloc_region_attach(b->da, diskalloc_region_handle(r), &reader, &reads), 0);
        fill(r);
        diskalloc_region_close(r);
        assert_int_equal(diskalloc_region_attach(b->da, diskalloc_region_handle(reads), &sole, &writes), 0);
        diskalloc_region_close(writes);
        diskalloc_region_close(reads);
    }
}
FOR_EACH_BACKEND(what_was_closed_before_keeps_no_sole_writer_out)

static void named_regions_are_closed_at_once(struct test_backend *b)
{
    struct diskalloc_region *r = NULL;
    size_t n_mappings = count_mappings(), n_threads = count_threads();

    assert_int_equal(open_named(b->da, "book", 64 * MIB, DISKALLOC_REGION_CREATE, &r), 0);
    memset(diskalloc_region_data(r), 1, 2 * MIB);
    diskalloc_region_close(r);
    assert_int_equal(count_mappings(), n_mappings);
    assert_int_equal(count_threads(), n_threads);
    assert_int_equal(diskalloc_region_unlink(b->da, "book"), 0);
}
FOR_EACH_BACKEND(named_regions_are_closed_at_once)

static void closing_a_client_right_after_its_vector_leaves_nothing(struct test_backend *b)
{
    size_t n_threads = count_threads(), n_descriptors = count_descriptors(), n_mappings = count_mappings();

    for (int i = 0; i < 50; i++) {
        struct diskalloc *da = NULL;
        struct u64s v, last;

        assert_int_equal(diskalloc_open(b->address, NULL, &da), 0);
        assert_int_equal(u64s_init(&v, da), 0);
        assert_int_equal(u64s_init(&last, da), 0);
        while (v.len < 12 * MIB / 8)
            assert_int_equal(u64s_push(&v, v.len), 0);
        assert_int_equal(u64s_resize(&last, 2 * MIB / 8), 0);
        u64s_deinit(&v);
        if (i % 2)
            u64s_deinit(&last);
        diskalloc_close(da);
        if (i % 2 == 0)
            u64s_deinit(&last); // which takes the client with it
        assert_int_equal(count_descriptors(), n_descriptors);
        assert_int_equal(count_mappings(), n_mappings);
        await_threads(n_threads);
    }
}
FOR_EACH_BACKEND(closing_a_client_right_after_its_vector_leaves_nothing)

static void a_client_without_threads_gives_back_at_once(struct test_backend *b)
{
    struct diskalloc_options o = DISKALLOC_OPTIONS_INIT;
    size_t n_threads = count_threads(), n_mappings = count_mappings();
    struct diskalloc *da = NULL;
    struct diskalloc_region *r;

    o.flags = DISKALLOC_NO_THREADS;
    assert_int_equal(diskalloc_open(b->address, &o, &da), 0);
    r = make_region(da, 64 * MIB);
    memset(diskalloc_region_data(r), 1, 2 * MIB);
    diskalloc_region_close(r);
    assert_int_equal(count_mappings(), n_mappings);
    assert_int_equal(count_threads(), n_threads);
    diskalloc_close(da);
}
FOR_EACH_BACKEND(a_client_without_threads_gives_back_at_once)

// More than one piece of the thread's; sparse, for no disk needs to have that much.
static void a_region_of_many_pieces_comes_back_whole(struct test_backend *b)
{
    struct diskalloc_region_options o = DISKALLOC_REGION_OPTIONS_INIT;
    size_t n_mappings = count_mappings(), n_descriptors = count_descriptors();

    o.size = 5 * GIB + 4096;
    o.reserve = 6 * GIB;
    o.flags = DISKALLOC_REGION_SPARSE;
    for (int i = 0; i < 5; i++) {
        struct diskalloc_region *r = NULL;

        assert_int_equal(diskalloc_region_create(b->da, &o, &r), 0);
        for (uint64_t at = 0; at < o.size; at += GIB / 2)
            ((char *)diskalloc_region_data(r))[at] = 1;
        diskalloc_region_close(r);
        dispose_await(&b->da->background, 0);
        assert_int_equal(count_mappings(), n_mappings);
        assert_true(count_descriptors() <= n_descriptors);
    }
    await_nothing_charged(b);
}
FOR_EACH_BACKEND(a_region_of_many_pieces_comes_back_whole)

// ---- fork ----

struct inherited {
    struct diskalloc *da;
    struct diskalloc_region *r;
};

static void close_in_the_child(void *data)
{
    struct inherited *i = data;
    size_t n_threads = count_threads();

    diskalloc_region_close(i->r);
    NEED(count_mappings() == 0);
    NEED(count_threads() == n_threads);
    diskalloc_close(i->da);
}

static void a_child_that_closes_what_it_inherited_takes_nothing_from_its_parent(struct test_backend *b)
{
    struct inherited i = {.da = b->da, .r = make_region(b->da, 32 * MIB)};
    char *data = diskalloc_region_data(i.r);

    fill(i.r);
    assert_int_equal(test_in_child(close_in_the_child, &i, (uid_t)-1), 0);
    assert_int_equal(data[32 * MIB - 1], 1);
    assert_int_equal(usage_of(b->da).bytes, 32 * MIB);
    assert_int_equal(diskalloc_region_refresh(i.r), 0);
    assert_int_equal(diskalloc_region_resize(i.r, 33 * MIB), 0);
    data[33 * MIB - 1] = 1;
    diskalloc_region_close(i.r);
}
FOR_EACH_BACKEND(a_child_that_closes_what_it_inherited_takes_nothing_from_its_parent)

// Disposals that are queued, under way and done, as it happens.
static void look_for_leftovers(void *data)
{
    const size_t *n_descriptors = data;

    NEED(count_mappings() == 0);
    NEED(count_descriptors() <= *n_descriptors);
}

static void a_child_has_nothing_of_what_its_parent_had_closed(struct test_backend *b)
{
    enum { REGIONS = 6, FORKS = SANITIZED ? 20 : 60 };
    size_t n_descriptors;

    usage_of(b->da);
    n_descriptors = count_descriptors();
    for (int i = 0; i < FORKS; i++) {
        struct diskalloc_region *r[REGIONS];

        for (size_t n = 0; n < REGIONS; n++) {
            r[n] = make_region(b->da, 4 * MIB);
            memset(diskalloc_region_data(r[n]), 1, n * MIB / 2);
        }
        for (size_t n = 0; n < REGIONS; n++)
            diskalloc_region_close(r[n]);
        assert_int_equal(test_in_child(look_for_leftovers, &n_descriptors, (uid_t)-1), 0);
    }
    await_nothing_charged(b);
}
FOR_EACH_BACKEND(a_child_has_nothing_of_what_its_parent_had_closed)

struct half {
    struct background *background;
    size_t n_descriptors;
};

static void give_back_in_the_child(void *data)
{
    const struct half *h = data;

    NEED(count_mappings() == 0);
    NEED(count_descriptors() <= h->n_descriptors);
    dispose_await(h->background, 0); // for nothing of the parent's
}

// The thread is kept from its work by another client's fork, so to say.
static enum background_result stand_in_the_way(struct background_task *t)
{
    (void)t;
    sched_yield();
    return BACKGROUND_MORE;
}

static void what_is_queued_at_a_fork_is_given_back_in_the_child_too(struct test_backend *b)
{
    struct background_task obstacle = {.run = stand_in_the_way};
    struct half h = {&b->da->background, 0};

    usage_of(b->da);
    h.n_descriptors = count_descriptors();
    assert_int_equal(count_mappings(), 0);
    for (int i = 0; i < 20; i++) {
        struct diskalloc_region *one = make_region(b->da, 4 * MIB), *two = make_region(b->da, 4 * MIB);

        fill(one);
        fill(two);
        background_submit(h.background, &obstacle);
        diskalloc_region_close(one);
        diskalloc_region_close(two);
        assert_int_equal(test_in_child(give_back_in_the_child, &h, (uid_t)-1), 0);
        background_cancel(h.background, &obstacle);
    }
    await_nothing_charged(b);
    assert_int_equal(count_mappings(), 0);
}
FOR_EACH_BACKEND(what_is_queued_at_a_fork_is_given_back_in_the_child_too)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_closed_regions_charge_is_returned),
        EACH_BACKEND(usage_does_not_count_for_long_what_was_closed),
        TEST(at_a_limits_edge_what_was_closed_before_can_be_had_again),
        TEST(at_a_limits_edge_a_region_grows_into_what_was_closed_before),
        TEST(on_a_small_disk_what_was_closed_before_can_be_had_again),
        EACH_BACKEND(what_was_closed_before_keeps_nobody_from_cutting),
        EACH_BACKEND(what_was_closed_before_keeps_no_sole_writer_out),
        EACH_BACKEND(named_regions_are_closed_at_once),
        EACH_BACKEND(closing_a_client_right_after_its_vector_leaves_nothing),
        EACH_BACKEND(a_client_without_threads_gives_back_at_once),
        EACH_BACKEND(a_region_of_many_pieces_comes_back_whole),
        EACH_BACKEND(a_child_that_closes_what_it_inherited_takes_nothing_from_its_parent),
        EACH_BACKEND(a_child_has_nothing_of_what_its_parent_had_closed),
        EACH_BACKEND(what_is_queued_at_a_fork_is_given_back_in_the_child_too),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
