// What one process does with a region that others have attached: they hear of it, and take it over.
#include "tests/lib/actor.h"
#include "tests/lib/sharing_scene.h"

#include <poll.h>

static void a_resize_is_an_event_for_the_others(struct test_backend *b)
{
    struct pair p;

    pair_open(&p, b, 0);
    assert_int_equal(diskalloc_region_resize(p.a, 2 * SIZE), 0);
    if (b->remote) {
        expect_event(p.theirs, p.b, DISKALLOC_EVENT_REGION_RESIZED, 2 * SIZE);
        expect_no_event(p.mine);
    }
    assert_int_equal(diskalloc_region_size(p.b), SIZE);
    assert_int_equal(diskalloc_region_refresh(p.b), 1);
    assert_int_equal(diskalloc_region_size(p.b), 2 * SIZE);
    assert_true(has_access(p.b, 2 * SIZE - 1));
    // The program takes none of many events: the newest size is enough.
    for (uint64_t i = 3; i < 100; i++)
        assert_int_equal(diskalloc_region_resize(p.a, i * SIZE), 0);
    assert_int_equal(diskalloc_region_refresh(p.b), 1);
    assert_int_equal(diskalloc_region_size(p.b), 99 * SIZE);
    if (b->remote) {
        struct diskalloc_event e = {0};
        unsigned n = 0;

        while (e.size != 99 * SIZE) {
            struct pollfd poll_for = {.fd = diskalloc_event_fd(p.theirs), .events = POLLIN};

            n += diskalloc_next_event(p.theirs, &e, sizeof e) == 1;
            if (e.size != 99 * SIZE)
                assert_true(poll(&poll_for, 1, 60000) > 0);
        }
        assert_true(n < 99);
    }
    pair_close(&p);
}
FOR_EACH_BACKEND(a_resize_is_an_event_for_the_others)

static void an_event_has_as_many_bytes_as_the_program_knows(struct test_backend *b)
{
    char bytes[offsetof(struct diskalloc_event, size) + 1];
    struct pair p;

    pair_open(&p, b, 0);
    assert_int_equal(diskalloc_region_resize(p.a, 2 * SIZE), 0);
    expect_event(p.theirs, p.b, DISKALLOC_EVENT_REGION_RESIZED, 2 * SIZE);
    assert_int_equal(diskalloc_region_resize(p.a, 3 * SIZE), 0);
    memset(bytes, 0x77, sizeof bytes);
    while (diskalloc_next_event(p.theirs, (struct diskalloc_event *)(void *)bytes,
                                offsetof(struct diskalloc_event, size)) == 0)
        continue;
    assert_int_equal(bytes[sizeof bytes - 1], 0x77);
    pair_close(&p);
}
WITH_A_DAEMON(an_event_has_as_many_bytes_as_the_program_knows)

// As soon as a change is answered, a refresh finds it.
static void a_refresh_misses_no_change(struct test_backend *b)
{
    struct u64s writer, reader;
    struct pair p;

    pair_open(&p, b, 0);
    for (uint64_t i = 0; i < 300; i++) {
        uint64_t size = SIZE + (i + 1) * 4096;

        assert_int_equal(diskalloc_region_refresh(p.b), 0);
        assert_int_equal(diskalloc_region_resize(p.a, size), 0);
        assert_int_equal(diskalloc_region_refresh(p.b), 1);
        assert_int_equal(diskalloc_region_size(p.b), size);
    }
    assert_int_equal(u64s_init_region(&writer, p.a), 0);
    assert_int_equal(u64s_init_region(&reader, p.b), 0);
    for (size_t i = 0; i < 300; i++) {
        assert_int_equal(u64s_push(&writer, i), 0);
        assert_int_equal(u64s_commit(&writer, 0), 0);
        assert_int_equal(u64s_refresh(&reader), 1);
        assert_int_equal(reader.len, writer.len);
        assert_int_equal(u64s_refresh(&reader), 0);
    }
    u64s_deinit(&reader);
    u64s_deinit(&writer);
    p.a = p.b = NULL;
    pair_close(&p);
}
FOR_EACH_BACKEND(a_refresh_misses_no_change)

static void both_sides_may_resize(struct test_backend *b)
{
    struct pair p;

    pair_open(&p, b, 0);
    for (uint64_t i = 1; i < 200; i++) {
        struct diskalloc_region *one = i % 2 ? p.a : p.b, *other = i % 2 ? p.b : p.a;

        assert_int_equal(diskalloc_region_resize(one, (i + 1) * SIZE / 8 + SIZE), 0);
        assert_int_equal(diskalloc_region_refresh(other), 1);
        assert_int_equal(diskalloc_region_size(other), (i + 1) * SIZE / 8 + SIZE);
        assert_int_equal(diskalloc_region_refresh(one), 0);
    }
    pair_close(&p);
}
FOR_EACH_BACKEND(both_sides_may_resize)

// A daemon that is stopped answers nobody.
static void a_refresh_asks_nobody_while_nothing_has_changed(struct test_backend *b)
{
    struct u64s v;
    struct pair p;

    pair_open(&p, b, 0);
    assert_int_equal(diskalloc_region_commit(p.a, 800, 8, 0), 0);
    assert_int_equal(u64s_init_region(&v, p.b), 0);
    assert_int_equal(u64s_refresh(&v), 0);
    test_daemon_halt(&b->daemon);
    for (int i = 0; i < 1000; i++) {
        assert_int_equal(u64s_refresh(&v), 0);
        assert_int_equal(diskalloc_region_refresh(v.region), 0);
    }
    test_daemon_go_on(&b->daemon);
    assert_int_equal(diskalloc_region_resize(p.a, 2 * SIZE), 0);
    assert_int_equal(u64s_refresh(&v), 1);
    assert_int_equal(v.cap, 2 * SIZE / 8);
    u64s_deinit(&v);
    p.b = NULL;
    pair_close(&p);
}
WITH_A_DAEMON(a_refresh_asks_nobody_while_nothing_has_changed)

// The daemon tells other connections only.
static void two_regions_of_one_client_see_each_others_resize(struct test_backend *b)
{
    struct diskalloc_region *one = NULL, *two = NULL;

    assert_int_equal(open_named(b->da, "twice", SIZE, DISKALLOC_REGION_CREATE, &one), 0);
    assert_int_equal(diskalloc_region_refresh(one), 0);
    assert_int_equal(open_named(b->da, "twice", 0, 0, &two), 0);
    for (uint64_t i = 2; i < 50; i++) {
        assert_int_equal(diskalloc_region_refresh(one), 0);
        assert_int_equal(diskalloc_region_refresh(two), 0);
        assert_int_equal(diskalloc_region_resize(two, i * SIZE), 0);
        assert_int_equal(diskalloc_region_refresh(one), 1);
        assert_int_equal(diskalloc_region_size(one), i * SIZE);
    }
    diskalloc_region_close(two);
    diskalloc_region_close(one);
    assert_int_equal(diskalloc_region_unlink(b->da, "twice"), 0);
}
FOR_EACH_BACKEND(two_regions_of_one_client_see_each_others_resize)

static void a_refresh_after_a_restart_asks_again(struct test_backend *b)
{
    struct pair p;

    pair_open(&p, b, 0);
    assert_int_equal(diskalloc_region_refresh(p.b), 0);
    test_daemon_kill(&b->daemon, SIGKILL);
    test_daemon_restart(&b->daemon);
    assert_int_equal(diskalloc_region_resize(p.a, 2 * SIZE), 0);
    assert_int_equal(diskalloc_region_refresh(p.b), 1);
    assert_int_equal(diskalloc_region_size(p.b), 2 * SIZE);
    pair_close(&p);
}
WITH_A_DAEMON(a_refresh_after_a_restart_asks_again)

int main(void)
{
    const struct CMUnitTest tests[] = {
        EACH_BACKEND(a_resize_is_an_event_for_the_others),
        ONE(an_event_has_as_many_bytes_as_the_program_knows),
        EACH_BACKEND(a_refresh_misses_no_change),
        EACH_BACKEND(both_sides_may_resize),
        ONE(a_refresh_asks_nobody_while_nothing_has_changed),
        EACH_BACKEND(two_regions_of_one_client_see_each_others_resize),
        ONE(a_refresh_after_a_restart_asks_again),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
