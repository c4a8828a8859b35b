// Early growth with a daemon that is stopped, so that the request stays on its way for as long as the test wants.
#include "tests/lib/early_growth.h"
#include "tests/lib/scratch.h"

#include "client/diskalloc.h"
#include "client/growth.h"

struct halted {
    struct test_backend *b;
    struct u64s v;
};

static void begin_halted(struct halted *h, struct test_backend *b, struct diskalloc_region *r)
{
    h->b = b;
    assert_int_equal(r ? u64s_init_region(&h->v, r) : u64s_init(&h->v, b->da), 0);
    push_to(&h->v, 3 * MIB / 2);
    if (is_on_its_way(&h->v))
        region_settle_early(h->v.region, true);
    test_daemon_halt(&b->daemon);
    push_until_asked(&h->v);
    assert_int_equal(region_settle_early(h->v.region, false), -EAGAIN);
}

static void resume(struct halted *h)
{
    test_daemon_go_on(&h->b->daemon);
}

static void what_is_closed_with_one_on_its_way_is_given_back_whole(void **state)
{
    struct diskalloc_region *r;
    struct halted h;
    struct test_backend b;

    (void)state;
    backend_start(&b, true, NULL, NULL);
    for (int i = 0; i < 5; i++) {
        begin_halted(&h, &b, NULL);
        u64s_deinit(&h.v); // waits for nobody
        resume(&h);
        test_wait_until(nothing_is_charged, b.da, 30, "it is given back");
        assert_int_equal(test_count_files(b.daemon.spill), 0);
    }
    begin_halted(&h, &b, NULL);
    u64s_deinit(&h.v);
    resume(&h);
    r = make_region(b.da, 4096); // the answer that nobody wants is nobody else's
    assert_int_equal(diskalloc_region_size(r), 4096);
    diskalloc_region_close(r);
    backend_stop(&b);
}

static void a_client_is_closed_with_one_on_its_way(void **state)
{
    struct diskalloc *other = NULL;
    struct halted h;
    struct test_backend b;

    (void)state;
    backend_start(&b, true, NULL, NULL);
    assert_int_equal(diskalloc_open(b.address, NULL, &other), 0);
    begin_halted(&h, &b, NULL);
    diskalloc_close(b.da);
    b.da = other;
    u64s_deinit(&h.v);
    resume(&h);
    test_wait_until(nothing_is_charged, b.da, 30, "it is given back");
    backend_stop(&b);
}

// Each of the calls finds the size as it is after the answer.
static void shrink_to_fit_has_the_last_word(struct halted *h)
{
    assert_int_equal(u64s_shrink_to_fit(&h->v), 0);
    assert_int_equal(diskalloc_region_size(h->v.region), h->v.len * 8);
}

static void resize_has_the_last_word(struct halted *h)
{
    assert_int_equal(diskalloc_region_resize(h->v.region, 3 * MIB + 5), 0);
    assert_int_equal(diskalloc_region_size(h->v.region), 3 * MIB + 5);
    h->v.cap = 3 * MIB / 8;
}

// The daemon grows the region before it discards; nobody knows when.
static void discard_goes_on(struct halted *h)
{
    uint64_t charged;

    assert_int_equal(diskalloc_region_discard(h->v.region, 0, 64 * KIB), 0);
    charged = usage_of(h->b->da).bytes;
    assert_int_equal(diskalloc_region_restore(h->v.region, 0, 64 * KIB), 0);
    assert_int_equal(usage_of(h->b->da).bytes, charged + 64 * KIB);
    for (uint64_t i = 0; i < 64 * KIB / 8; i++)
        h->v.data[i] = mix(i);
}

static void commit_goes_on(struct halted *h)
{
    assert_int_equal(u64s_commit(&h->v, 0), 0);
    assert_int_equal(diskalloc_region_used(h->v.region), h->v.len * 8);
}

static void waiting_for_room_goes_on(struct halted *h)
{
    assert_int_equal(diskalloc_region_resize_wait(h->v.region, 40 * MIB, 30000), 0);
    assert_int_equal(diskalloc_region_size(h->v.region), 40 * MIB);
}

static void read_from_a_child(void *data)
{
    struct halted *h = data;

    NEED(is_content_right(&h->v));
    NEED(u64s_shrink_to_fit(&h->v) == -EBUSY);
    while (h->v.len < h->v.cap)
        h->v.len++;
    NEED(u64s_reserve(&h->v, 100 * MIB) == -EBUSY);
    u64s_deinit(&h->v);
    diskalloc_close(h->b->da);
    _exit(0);
}

static void fork_goes_on(struct halted *h)
{
    assert_int_equal(test_in_child(read_from_a_child, h, (uid_t)-1), 0);
}

static void every_call_goes_on_with_one_on_its_way(void **state)
{
    static void (*const calls[])(struct halted * h) = {
        shrink_to_fit_has_the_last_word,
        resize_has_the_last_word,
        discard_goes_on,
        commit_goes_on,
        waiting_for_room_goes_on,
        fork_goes_on,
    };
    struct test_backend b;

    (void)state;
    backend_start(&b, true, NULL, NULL);
    for (size_t i = 0; i < 2 * sizeof(calls) / sizeof(*calls); i++) {
        struct diskalloc_region *r = NULL;
        struct halted h;

        // a region of the vector's own, and an adopted region
        if (i % 2)
            assert_int_equal(open_named(b.da, "book", 0, DISKALLOC_REGION_CREATE, &r), 0);
        begin_halted(&h, &b, r);
        resume(&h);
        calls[i / 2](&h);
        push_to(&h.v, 40 * MIB);
        assert_true(is_content_right(&h.v));
        assert_int_equal(diskalloc_region_refresh(h.v.region), 0);
        assert_int_equal(file_size(h.v.region), diskalloc_region_size(h.v.region));
        u64s_deinit(&h.v);
        if (i % 2)
            assert_int_equal(diskalloc_region_unlink(b.da, "book"), 0);
        test_wait_until(nothing_is_charged, b.da, 30, "it is given back");
    }
    backend_stop(&b);
}

static void a_child_forks_off_while_the_daemon_is_silent(void **state)
{
    struct halted h;
    struct test_backend b;
    pid_t pid;
    int status = -1;

    (void)state;
    backend_start(&b, true, NULL, NULL);
    begin_halted(&h, &b, NULL);
    pid = fork();
    if (pid == 0)
        read_from_a_child(&h);
    assert_int_equal(waitpid(pid, &status, 0), pid); // it waits for no answer of the parent's
    assert_int_equal(status, 0);
    resume(&h);
    push_to(&h.v, 20 * MIB);
    assert_true(is_content_right(&h.v));
    u64s_deinit(&h.v);
    backend_stop(&b);
}

// An adopted region has the same size before the vector and after it, also when the answer came last.
static void deinit_takes_early_growth_back_from_a_region_that_was_adopted(void **state)
{
    struct diskalloc_region *r = NULL;
    struct halted h;
    struct test_backend b;
    uint64_t filled;

    (void)state;
    backend_start(&b, true, NULL, NULL);
    assert_int_equal(open_named(b.da, "book", 4096, DISKALLOC_REGION_CREATE, &r), 0);
    diskalloc_region_close(r);
    assert_int_equal(open_named(b.da, "book", 0, 0, &r), 0);
    assert_int_equal(diskalloc_region_commit(r, 0, 8, 0), 0);
    begin_halted(&h, &b, r);
    filled = diskalloc_region_size(r);
    push_to(&h.v, filled); // so that but for the answer there is nothing to give back
    assert_int_equal(diskalloc_region_size(r), filled);
    resume(&h);
    u64s_deinit(&h.v);
    assert_int_equal(open_named(b.da, "book", 0, 0, &r), 0);
    assert_int_equal(diskalloc_region_size(r), filled);
    diskalloc_region_close(r);
    assert_int_equal(diskalloc_region_unlink(b.da, "book"), 0);
    backend_stop(&b);
}

// More requests than a connection may have in flight, while no thread reads the answers.
static void many_vectors_may_each_have_one_on_its_way(void **state)
{
    enum { VECTORS = 200 };
    static struct u64s v[VECTORS];
    struct diskalloc_region *r;
    struct test_backend b;
    size_t n = 0;

    (void)state;
    backend_start(&b, true, NULL, NULL);
    for (size_t i = 0; i < VECTORS; i++) {
        // A vector that begins with the size of the last ones would not ask before it needs more.
        b.da->first_size = GROWTH_FIRST_LEAST;
        assert_int_equal(u64s_init(&v[i], b.da), 0);
        push_to(&v[i], 128 * KIB);
        region_settle_early(v[i].region, true);
    }
    test_daemon_halt(&b.daemon);
    for (size_t i = 0; i < VECTORS; i++) {
        // what is there already: it waits for nobody
        while (!is_on_its_way(&v[i]) && v[i].len * 8 < diskalloc_region_size(v[i].region))
            push_to(&v[i], v[i].len * 8 + 8);
        n += is_on_its_way(&v[i]);
    }
    assert_true(n > 64);
    test_daemon_go_on(&b.daemon);
    r = make_region(b.da, 5000);
    assert_int_equal(diskalloc_region_resize(r, 9000), 0);
    assert_int_equal(usage_of(b.da).regions, VECTORS + 1);
    diskalloc_region_close(r);
    for (size_t i = 0; i < VECTORS; i++) {
        push_to(&v[i], 2 * MIB);
        assert_true(is_content_right(&v[i]));
    }
    for (size_t i = 0; i < VECTORS; i++)
        u64s_deinit(&v[i]);
    backend_stop(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(what_is_closed_with_one_on_its_way_is_given_back_whole),
        TEST(a_client_is_closed_with_one_on_its_way),
        TEST(every_call_goes_on_with_one_on_its_way),
        TEST(a_child_forks_off_while_the_daemon_is_silent),
        TEST(deinit_takes_early_growth_back_from_a_region_that_was_adopted),
        TEST(many_vectors_may_each_have_one_on_its_way),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
