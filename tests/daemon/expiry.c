// Regions that are removed when nobody has used them for a time.
#include "tests/lib/actor.h"
#include "tests/lib/quota_usage.h"

// Sets the expiry of the caller's region NAME, or of USER's.  The code of the answer.
static int set_expiry(struct raw *c, const char *user, const char *name, uint64_t seconds)
{
    Diskalloc__V1__SetExpiry body = DISKALLOC__V1__SET_EXPIRY__INIT;
    RawRequest q = RAW_REQUEST_INIT;

    body.user = raw_text(user);
    body.name = raw_text(name);
    body.expires = seconds;
    q.body_case = RAW_BODY(SET_EXPIRY);
    q.set_expiry = &body;
    return raw_done(c, &q);
}

struct scene {
    struct test_backend b;
    struct raw raw;
};

static void scene_start(struct scene *s)
{
    backend_start(&s->b, true, NULL, NULL);
    assert_int_equal(raw_open(&s->raw, s->b.daemon.socket), RAW_CODE(OK));
}

static void scene_stop(struct scene *s)
{
    raw_close(&s->raw);
    backend_stop(&s->b);
}

static struct diskalloc_region *make(struct scene *s, const char *name)
{
    struct diskalloc_region *r = NULL;

    assert_int_equal(open_named(s->b.da, name, 8192, DISKALLOC_REGION_CREATE, &r), 0);
    return r;
}

static bool is_there(struct scene *s, const char *name, struct diskalloc_region_info *ret)
{
    uint64_t cursor = 0;

    while (diskalloc_next_region(s->b.da, &cursor, ret, sizeof *ret) == 1)
        if (strcmp(ret->name, name) == 0)
            return true;
    return false;
}

struct absence {
    struct scene *scene;
    const char *name;
};

static bool is_gone(void *data)
{
    struct absence *a = data;
    struct diskalloc_region_info info;

    return !is_there(a->scene, a->name, &info);
}

static void await_removal(struct scene *s, const char *name)
{
    struct absence a = {s, name};

    test_wait_until(is_gone, &a, 60, name);
    await_log(&s->b.daemon, name, 1);
    test_wait_until(nothing_is_charged, s->b.da, 60, "the charge is given back");
}

static void an_unused_region_is_removed_and_logged(void **state)
{
    struct diskalloc_region_info info;
    struct diskalloc_region *r;
    struct scene s;

    (void)state;
    scene_start(&s);
    r = make(&s, "brief");
    diskalloc_region_close(r);
    assert_int_equal(set_expiry(&s.raw, "", "brief", 1), RAW_CODE(OK));
    assert_true(is_there(&s, "brief", &info));
    assert_int_equal(info.expires_s, 1);
    await_removal(&s, "brief");
    assert_true(test_daemon_logged(&s.b.daemon, "the region brief of "));
    assert_true(test_daemon_logged(&s.b.daemon, "nobody has used it for 1s"));
    assert_int_equal(open_named(s.b.da, "brief", 0, 0, &r), -ENOENT);
    scene_stop(&s);
}

// Two regions expire: one that is used, and another one by which the test knows that time has passed.
static void a_used_region_stays_until_it_is_unused(void **state)
{
    struct diskalloc_region_info info;
    struct diskalloc_region *used, *other;
    struct scene s;

    (void)state;
    scene_start(&s);
    used = make(&s, "used");
    assert_int_equal(set_expiry(&s.raw, "", "used", 1), RAW_CODE(OK));
    other = make(&s, "clock-1");
    assert_int_equal(set_expiry(&s.raw, "", "clock-1", 2), RAW_CODE(OK));
    diskalloc_region_close(other);
    struct absence a = {&s, "clock-1"};
    test_wait_until(is_gone, &a, 60, "the other region expires");
    assert_true(is_there(&s, "used", &info));
    assert_int_equal(info.attached, 1);
    diskalloc_region_close(used);
    await_removal(&s, "used");
    scene_stop(&s);
}

static void what_was_set_survives_a_restart_and_can_be_taken_back(void **state)
{
    struct diskalloc_region_info info;
    struct diskalloc_region *r;
    struct scene s;

    (void)state;
    scene_start(&s);
    diskalloc_region_close(make(&s, "kept"));
    diskalloc_region_close(make(&s, "taken-back"));
    diskalloc_region_close(make(&s, "clock-2"));
    assert_int_equal(set_expiry(&s.raw, "", "kept", 100000), RAW_CODE(OK));
    assert_int_equal(set_expiry(&s.raw, "", "taken-back", 1), RAW_CODE(OK));
    assert_int_equal(set_expiry(&s.raw, "", "taken-back", 0), RAW_CODE(OK));
    assert_int_equal(set_expiry(&s.raw, "", "clock-2", 2), RAW_CODE(OK));
    test_daemon_kill(&s.b.daemon, SIGKILL);
    test_daemon_restart(&s.b.daemon);
    struct absence a = {&s, "clock-2"};
    test_wait_until(is_gone, &a, 60, "the region expires after the restart");
    assert_true(is_there(&s, "kept", &info));
    assert_int_equal(info.expires_s, 100000);
    assert_true(is_there(&s, "taken-back", &info));
    assert_int_equal(info.expires_s, 0);
    assert_int_equal(open_named(s.b.da, "kept", 0, 0, &r), 0);
    diskalloc_region_close(r);
    assert_int_equal(diskalloc_region_unlink(s.b.da, "kept"), 0);
    assert_int_equal(diskalloc_region_unlink(s.b.da, "taken-back"), 0);
    scene_stop(&s);
}

// Maps the region, and loses its connection.
static void map_and_stay(struct actor *self, void *data)
{
    struct diskalloc_options options = DISKALLOC_OPTIONS_INIT;
    struct diskalloc_region *r = NULL;
    struct diskalloc *da = NULL;

    options.reconnect_timeout_ms = 0;
    NEED(diskalloc_open(data, &options, &da) == 0);
    NEED(open_named(da, "mapped", 8192, DISKALLOC_REGION_CREATE, &r) == 0);
    strcpy(diskalloc_region_data(r), "mine");
    actor_next(self);
    NEED(strcmp(diskalloc_region_data(r), "mine") == 0);
    actor_done(self);
}

static void a_mapped_region_stays_although_nobody_has_attached_it(void **state)
{
    struct diskalloc_region_info info;
    struct actor holder;
    uint64_t n = 0;
    char uid[20];
    struct scene s;

    (void)state;
    scene_start(&s);
    actor_start(&holder, map_and_stay, s.b.address, (uid_t)-1);
    actor_await(&holder);
    assert_int_equal(set_expiry(&s.raw, "", "mapped", 1), RAW_CODE(OK));
    diskalloc_region_close(make(&s, "clock-3"));
    assert_int_equal(set_expiry(&s.raw, "", "clock-3", 3), RAW_CODE(OK));
    snprintf(uid, sizeof uid, "+%u", (unsigned)geteuid());
    assert_int_equal(raw_disconnect_user(&s.raw, uid, &n), RAW_CODE(OK));
    struct absence a = {&s, "clock-3"};
    test_wait_until(is_gone, &a, 60, "the other region expires");
    assert_true(is_there(&s, "mapped", &info));
    assert_int_equal(info.attached, 0);
    actor_go(&holder);
    actor_await(&holder);
    actor_finish(&holder);
    assert_int_equal(diskalloc_region_unlink(s.b.da, "mapped"), 0);
    scene_stop(&s);
}

static void others_may_not_set_it_and_nonsense_is_refused(void **state)
{
    struct raw stranger;
    struct scene s;
    char uid[20];

    (void)state;
    scene_start(&s);
    diskalloc_region_close(make(&s, "mine"));
    snprintf(uid, sizeof uid, "+%u", (unsigned)geteuid());
    assert_int_equal(set_expiry(&s.raw, uid, "mine", 100), RAW_CODE(OK));
    assert_int_equal(set_expiry(&s.raw, "", "mine", (uint64_t)UINT32_MAX + 1), RAW_CODE(INVALID));
    assert_int_equal(set_expiry(&s.raw, "", "none", 100), RAW_CODE(NOT_FOUND));
    assert_int_equal(set_expiry(&s.raw, "", "a b", 100), RAW_CODE(INVALID));
    assert_int_equal(set_expiry(&s.raw, "", "", 100), RAW_CODE(INVALID));
    if (geteuid() == 0) {
        assert_int_equal(raw_open_as(&stranger, s.b.daemon.socket, 3000001), RAW_CODE(OK));
        assert_int_equal(set_expiry(&stranger, uid, "mine", 1), RAW_CODE(ACCESS));
        raw_close(&stranger);
    }
    assert_int_equal(diskalloc_region_unlink(s.b.da, "mine"), 0);
    assert_int_equal(set_expiry(&s.raw, "", "mine", 100), RAW_CODE(NOT_FOUND));
    scene_stop(&s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(an_unused_region_is_removed_and_logged),
        TEST(a_used_region_stays_until_it_is_unused),
        TEST(what_was_set_survives_a_restart_and_can_be_taken_back),
        TEST(a_mapped_region_stays_although_nobody_has_attached_it),
        TEST(others_may_not_set_it_and_nonsense_is_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
