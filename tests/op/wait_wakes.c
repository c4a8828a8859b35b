// Anything that gives bytes back ends a wait.  A grow that can never be granted does not begin one.
#include "tests/lib/loop_mount.h"
#include "tests/lib/quota_usage.h"
#include "tests/lib/test_daemon.h"

#include <pthread.h>
#include <time.h>

DISKALLOC_VEC_DEFINE(bytes_vec, uint8_t)

#define CONFIG(total) "[daemon]\nkeep_free = 0\n[quota total]\nbytes = " total "\n"

struct waiting {
    pthread_t thread;
    struct diskalloc_region *r;
    uint64_t size;
    int code;
};

static void *wait_for_ever(void *data)
{
    struct waiting *w = data;

    w->code = diskalloc_region_resize_wait(w->r, w->size, -1);
    if (w->code != 0)
        print_error("%s\n", diskalloc_last_error());
    return NULL;
}

static bool somebody_waits(void *data)
{
    struct diskalloc_usage u;

    return diskalloc_get_usage(data, "total", &u, sizeof(u)) == 0 && u.waiters == 1;
}

struct scene {
    struct test_backend b;
    struct raw admin;
    struct diskalloc_region *held; // all that there is
    struct waiting w;              // for a part of it
};

// The waiter is in the daemon's queue when this returns.
static void scene_begin_waiting(struct scene *s, uint64_t size)
{
    s->w.r = make_region(s->b.da, 4096);
    s->w.size = size;
    assert_int_equal(pthread_create(&s->w.thread, NULL, wait_for_ever, &s->w), 0);
    test_wait_until(somebody_waits, s->b.da, 60, "the waiter is queued");
}

static void scene_start(struct scene *s, const char *config, const char *spill, uint64_t held)
{
    memset(s, 0, sizeof(*s));
    backend_start(&s->b, true, config, spill);
    assert_int_equal(raw_open(&s->admin, s->b.daemon.socket), RAW_CODE(OK));
    s->held = make_region(s->b.da, held);
}

// The waiting grow was granted, and the memory can be used.
static void scene_end_waiting(struct scene *s)
{
    assert_int_equal(pthread_join(s->w.thread, NULL), 0);
    assert_int_equal(s->w.code, 0);
    assert_int_equal(diskalloc_region_size(s->w.r), s->w.size);
    memset(diskalloc_region_data(s->w.r), 1, s->w.size);
    diskalloc_region_close(s->w.r);
    assert_false(somebody_waits(s->b.da));
}

static void scene_stop(struct scene *s)
{
    raw_close(&s->admin);
    diskalloc_region_close(s->held);
    backend_stop(&s->b);
}

static void shrink(struct scene *s)
{
    assert_int_equal(diskalloc_region_resize(s->held, 2 * MIB), 0);
}

static void discard(struct scene *s)
{
    assert_int_equal(diskalloc_region_discard(s->held, 0, MIB), 0);
}

static void close_region(struct scene *s)
{
    diskalloc_region_close(s->held);
    s->held = NULL;
}

static void remove_by_force(struct scene *s)
{
    Diskalloc__V1__RemoveRegion body = DISKALLOC__V1__REMOVE_REGION__INIT;
    RawRequest q = RAW_REQUEST_INIT;
    uint8_t handle[16];

    for (size_t i = 0; i < sizeof(handle); i++)
        assert_int_equal(sscanf(diskalloc_region_handle(s->held) + 2 * i, "%2hhx", &handle[i]), 1);
    body.handle = (ProtobufCBinaryData){.len = sizeof(handle), .data = handle};
    body.force = true;
    q.body_case = RAW_BODY(REMOVE_REGION);
    q.remove_region = &body;
    assert_int_equal(raw_done(&s->admin, &q), RAW_CODE(OK));
    close_region(s); // until then its holder keeps it, charged
}

static void raise_at_run_time(struct scene *s)
{
    assert_int_equal(raw_set_quota(&s->admin, "total", "bytes", "5M"), RAW_CODE(OK));
}

static void raise_by_reload(struct scene *s)
{
    reload(&s->b.daemon, CONFIG("unlimited"));
}

static void check_what_wakes(void (*act)(struct scene *s))
{
    struct scene s;

    scene_start(&s, CONFIG("4M"), NULL, 4 * MIB - 4096);
    scene_begin_waiting(&s, MIB);
    act(&s);
    scene_end_waiting(&s);
    scene_stop(&s);
}

#define WAKES(name, act)           \
    static void name(void **state) \
    {                              \
        (void)state;               \
        check_what_wakes(act);     \
    }

WAKES(a_shrink_wakes_who_waits, shrink)
WAKES(a_discard_wakes_who_waits, discard)
WAKES(a_region_that_is_closed_wakes_who_waits, close_region)
WAKES(a_region_that_is_removed_by_force_wakes_who_waits_when_its_holder_goes, remove_by_force)
WAKES(a_limit_raised_at_run_time_wakes_who_waits, raise_at_run_time)
WAKES(a_limit_raised_by_a_reload_wakes_who_waits, raise_by_reload)

static void restoring_at_the_limit_is_refused_and_does_not_wait(void **state)
{
    struct diskalloc_error_info info;
    struct scene s;

    (void)state;
    scene_start(&s, CONFIG("4M"), NULL, 3 * MIB);
    assert_int_equal(diskalloc_region_discard(s.held, 0, MIB), 0);
    scene_begin_waiting(&s, 2 * MIB + 4096);
    shrink(&s);
    scene_end_waiting(&s);
    s.w.r = make_region(s.b.da, 3 * MIB);
    info = EXPECT_FAILURE(-EDQUOT, "diskalloc_region_restore", diskalloc_region_restore(s.held, 0, MIB));
    assert_int_equal(info.limit, 4 * MIB);
    assert_int_equal(info.used, 4 * MIB);
    assert_int_equal(info.asked, MIB);
    diskalloc_region_close(s.w.r);
    scene_stop(&s);
}

static void hold_until_killed(struct actor *self, void *data)
{
    struct diskalloc_region_options o = DISKALLOC_REGION_OPTIONS_INIT;
    struct diskalloc_region *r = NULL;
    struct diskalloc *da = NULL;

    NEED(diskalloc_open(data, NULL, &da) == 0);
    o.size = 2 * MIB;
    NEED(diskalloc_region_create(da, &o, &r) == 0);
    actor_next(self);
}

static void the_death_of_another_wakes_who_waits(void **state)
{
    struct test_daemon d;
    struct actor a;
    struct scene s = {0};

    (void)state;
    test_daemon_start(&d, CONFIG("4M"), NULL);
    actor_start(&a, hold_until_killed, d.address, (uid_t)-1);
    actor_await(&a);
    assert_int_equal(diskalloc_open(d.address, NULL, &s.b.da), 0);
    scene_begin_waiting(&s, 3 * MIB);
    actor_kill(&a);
    scene_end_waiting(&s);
    diskalloc_close(s.b.da);
    test_daemon_stop_and_remove(&d);
}

static void what_is_above_a_limit_itself_is_refused_at_once(void **state)
{
    static const char *const limits[] = {"total]\nbytes = 4M", "default]\nbytes = 4M", "default]\nregion_bytes = 4M"};
    char config[100];

    (void)state;
    for (size_t i = 0; i < sizeof(limits) / sizeof(*limits); i++) {
        struct diskalloc_error_info info;
        struct diskalloc_region *r, *other;
        struct test_backend b;

        snprintf(config, sizeof(config), "[daemon]\nkeep_free = 0\n[quota %s\n", limits[i]);
        backend_start(&b, true, config, NULL);
        r = make_region(b.da, MIB);
        other = make_region(b.da, MIB);
        info =
            EXPECT_FAILURE(-EDQUOT, "diskalloc_region_resize_wait", diskalloc_region_resize_wait(r, 4 * MIB + 1, -1));
        assert_int_equal(info.limit, 4 * MIB);
        EXPECT_FAILURE(-EDQUOT, "diskalloc_region_resize_wait", diskalloc_region_resize_wait(r, 400 * GIB, -1));
        assert_int_equal(diskalloc_region_size(r), MIB);
        diskalloc_region_close(r);
        diskalloc_region_close(other);
        backend_stop(&b);
    }
}

static void a_vector_waits_too(void **state)
{
    struct bytes_vec v;
    struct scene s;

    (void)state;
    scene_start(&s, CONFIG("4M"), NULL, 3 * MIB);
    assert_int_equal(bytes_vec_init(&v, s.b.da), 0);
    EXPECT_FAILURE(-ETIMEDOUT, "bytes_vec_reserve_wait", bytes_vec_reserve_wait(&v, 2 * MIB, 1));
    EXPECT_FAILURE(-EDQUOT, "bytes_vec_reserve_wait", bytes_vec_reserve_wait(&v, 2 * MIB, 0));
    EXPECT_FAILURE(-EDQUOT, "bytes_vec_reserve_wait", bytes_vec_reserve_wait(&v, 5 * MIB, -1));
    assert_int_equal(v.cap, 0);
    shrink(&s);
    assert_int_equal(bytes_vec_reserve_wait(&v, 2 * MIB, -1), 0);
    assert_true(v.cap >= 2 * MIB);
    bytes_vec_deinit(&v);
    scene_stop(&s);
}

static uint64_t now_ms(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000;
}

struct passing {
    struct diskalloc_region *r;
    bool refused;
};

static bool is_held_back(void *data)
{
    struct passing *p = data;
    int code = diskalloc_region_resize(p->r, MIB);

    if (code == 0)
        assert_int_equal(diskalloc_region_resize(p->r, 0), 0);
    else
        assert_int_equal(code, -EDQUOT);
    return code != 0;
}

static void a_plain_resize_passes_a_young_waiter_and_leaves_an_old_one_what_it_needs(void **state)
{
    struct passing p = {0};
    struct scene s;
    uint64_t began;

    (void)state;
    scene_start(&s, CONFIG("4M"), NULL, 3 * MIB - 4096);
    p.r = make_region(s.b.da, 0);
    began = now_ms();
    scene_begin_waiting(&s, 2 * MIB);
    p.refused = is_held_back(&p);
    // On a machine that was busy for so long it was no young one any more.
    assert_true(!p.refused || now_ms() - began >= 1000);
    test_wait_until(is_held_back, &p, 60, "a plain resize does not take what an old waiter needs");
    assert_true(now_ms() - began >= 1000);
    // A region without bytes takes nothing that the waiting grow needs.
    diskalloc_region_close(make_region(s.b.da, 0));
    // Other regions may still shrink, and then the waiting grow is served.
    shrink(&s);
    scene_end_waiting(&s);
    assert_int_equal(diskalloc_region_resize(p.r, MIB), 0);
    diskalloc_region_close(p.r);
    scene_stop(&s);
}

static void write_ballast(const char *path, uint64_t size)
{
    int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);

    assert_true(fd >= 0);
    assert_return_code(fallocate(fd, 0, 0, (off_t)size), errno);
    close(fd);
}

static void space_that_others_free_on_a_full_disk_wakes_who_waits(void **state)
{
    struct test_mount m;
    char ballast[200], spill[180];
    struct scene s;

    (void)state;
    if (!test_mount(&m, "ext4", 96 * MIB)) {
        skip();
        return;
    }
    snprintf(ballast, sizeof(ballast), "%s/others", m.at);
    snprintf(spill, sizeof(spill), "%s/spill", m.at);
    assert_int_equal(mkdir(spill, 0700), 0);
    write_ballast(ballast, 48 * MIB);
    scene_start(&s, CONFIG("unlimited"), spill, 4096);
    s.w.r = make_region(s.b.da, 0);
    EXPECT_FAILURE(-ENOSPC, "diskalloc_region_resize", diskalloc_region_resize(s.w.r, 60 * MIB));
    EXPECT_FAILURE(-ETIMEDOUT, "diskalloc_region_resize_wait", diskalloc_region_resize_wait(s.w.r, 60 * MIB, 1));
    assert_int_equal(diskalloc_region_size(s.w.r), 0);
    // More than the disk is long will never be there.
    EXPECT_FAILURE(-ENOSPC, "diskalloc_region_resize_wait", diskalloc_region_resize_wait(s.w.r, 10 * GIB, 30000));
    diskalloc_region_close(s.w.r);
    scene_begin_waiting(&s, 60 * MIB);
    assert_return_code(unlink(ballast), errno);
    scene_end_waiting(&s);
    scene_stop(&s);
    test_unmount(&m);
}

static void a_keep_free_that_is_lowered_wakes_who_waits(void **state)
{
    struct test_mount m;
    char spill[180];
    struct scene s;

    (void)state;
    if (!test_mount(&m, "ext4", 96 * MIB)) {
        skip();
        return;
    }
    snprintf(spill, sizeof(spill), "%s/spill", m.at);
    assert_int_equal(mkdir(spill, 0700), 0);
    scene_start(&s, "[daemon]\nkeep_free = 60%\n[quota total]\nbytes = unlimited\n", spill, 4096);
    scene_begin_waiting(&s, 30 * MIB + 4096);
    reload(&s.b.daemon, "[daemon]\nkeep_free = 0\n");
    scene_end_waiting(&s);
    scene_stop(&s);
    test_unmount(&m);
}

// The grow was possible when it began to wait.
static void a_limit_lowered_below_a_request_ends_its_wait(void **state)
{
    struct scene s;

    (void)state;
    scene_start(&s, CONFIG("4M"), NULL, 3 * MIB);
    scene_begin_waiting(&s, 2 * MIB);
    assert_int_equal(raw_set_quota(&s.admin, "total", "bytes", "1M"), RAW_CODE(OK));
    assert_int_equal(pthread_join(s.w.thread, NULL), 0);
    assert_int_equal(s.w.code, -EDQUOT);
    diskalloc_region_close(s.w.r);
    scene_stop(&s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_shrink_wakes_who_waits),
        TEST(a_discard_wakes_who_waits),
        TEST(a_region_that_is_closed_wakes_who_waits),
        TEST(a_region_that_is_removed_by_force_wakes_who_waits_when_its_holder_goes),
        TEST(a_limit_raised_at_run_time_wakes_who_waits),
        TEST(a_limit_raised_by_a_reload_wakes_who_waits),
        TEST(restoring_at_the_limit_is_refused_and_does_not_wait),
        TEST(the_death_of_another_wakes_who_waits),
        TEST(what_is_above_a_limit_itself_is_refused_at_once),
        TEST(a_vector_waits_too),
        TEST(a_plain_resize_passes_a_young_waiter_and_leaves_an_old_one_what_it_needs),
        TEST(space_that_others_free_on_a_full_disk_wakes_who_waits),
        TEST(a_keep_free_that_is_lowered_wakes_who_waits),
        TEST(a_limit_lowered_below_a_request_ends_its_wait),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
