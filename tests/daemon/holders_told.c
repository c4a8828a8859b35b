// The holders of a region, by what their requests say: requests that are repeated, detach, or know no holders.
#include "tests/lib/actor.h"
#include "tests/lib/holders_scene.h"
#include "tests/lib/raw_client.h"
#include "tests/lib/test_backend.h"

// As an OpenRegion whose answer was lost: it says nothing about who maps the region.
static void a_request_that_is_repeated_is_no_return(void **state)
{
    struct scene *s = scene_start(true);
    Diskalloc__V1__OpenRegion m = DISKALLOC__V1__OPEN_REGION__INIT;
    RawRequest q = RAW_REQUEST_INIT;
    struct raw_handle h;
    struct actor a;
    RawReply *reply;
    struct raw c;

    (void)state;
    actor_start(&a, hold_only, s, (uid_t)-1);
    actor_await(&a);
    test_daemon_kill(&s->daemon, SIGKILL);
    test_daemon_restart(&s->daemon);
    assert_int_equal(raw_open(&c, s->daemon.socket), RAW_CODE(OK));
    m.name = raw_text("shared");
    m.repeated = true;
    q.body_case = RAW_BODY(OPEN_REGION);
    q.open_region = &m;
    reply = raw_call(&c, &q);
    assert_int_equal(raw_code(reply), RAW_CODE(OK));
    memcpy(h.bytes, reply->region->handle.data, sizeof h.bytes);
    raw_free(reply);
    assert_int_equal(raw_shrink(&c, &h, 4096, SIZE), RAW_CODE(BUSY));
    raw_close(&c);
    actor_kill(&a);
    scene_end(s);
}

// The replies are unread when the client closes its socket; its last words count all the same.
static void what_was_detached_before_the_end_is_not_held(void **state)
{
    enum { N = 20 };
    struct scene *s = scene_start(true);
    struct diskalloc_region *r[N];
    struct raw_handle handles[N];
    struct diskalloc *two;
    struct raw one;
    char text[33];

    (void)state;
    assert_int_equal(raw_open(&one, s->daemon.socket), RAW_CODE(OK));
    assert_int_equal(diskalloc_open(s->daemon.address, NULL, &two), 0);
    for (int i = 0; i < N; i++) {
        handles[i] = raw_handle_new();
        assert_int_equal(raw_create(&one, &handles[i], SIZE), RAW_CODE(OK));
        for (size_t k = 0; k < sizeof handles[i].bytes; k++)
            snprintf(text + 2 * k, 3, "%02x", handles[i].bytes[k]);
        assert_int_equal(diskalloc_region_attach(two, text, NULL, &r[i]), 0);
    }
    test_daemon_halt(&s->daemon);
    for (int i = 0; i < N; i++) {
        Diskalloc__V1__DetachRegion m = DISKALLOC__V1__DETACH_REGION__INIT;
        RawRequest q = RAW_REQUEST_INIT;

        m.handle = raw_bytes(&handles[i]);
        q.body_case = RAW_BODY(DETACH_REGION);
        q.detach_region = &m;
        assert_true(raw_send(&one, &q) > 0);
    }
    raw_close(&one);
    test_daemon_go_on(&s->daemon);
    for (int i = 0; i < N; i++) {
        expect_granted(r[i]);
        diskalloc_region_close(r[i]);
    }
    diskalloc_close(two);
    scene_end(s);
}

static int raw_attach(struct raw *c, const struct raw_handle *h)
{
    Diskalloc__V1__AttachRegion m = DISKALLOC__V1__ATTACH_REGION__INIT;
    RawRequest q = RAW_REQUEST_INIT;

    m.handle = raw_bytes(h);
    q.body_case = RAW_BODY(ATTACH_REGION);
    q.attach_region = &m;
    return raw_done(c, &q);
}

// Its library does not know the feature: what it attaches by handle, it held.
static void an_old_client_may_shrink_when_it_has_come_back(void **state)
{
    struct scene *s = scene_start(true);
    struct diskalloc_region *r;
    struct diskalloc *da;
    struct raw_handle h;
    struct raw c;

    (void)state;
    assert_int_equal(diskalloc_open(s->daemon.address, NULL, &da), 0);
    assert_int_equal(open_named(da, "own", SIZE, DISKALLOC_REGION_CREATE, &r), 0);
    h = raw_handle_of(diskalloc_region_handle(r));
    diskalloc_region_close(r);
    diskalloc_close(da);
    assert_int_equal(raw_open(&c, s->daemon.socket), RAW_CODE(OK));
    assert_int_equal(raw_attach(&c, &h), RAW_CODE(OK));
    for (int i = 0; i < 3; i++) {
        struct raw next;

        if (i == 1) {
            test_daemon_kill(&s->daemon, SIGKILL);
            test_daemon_restart(&s->daemon);
        }
        assert_int_equal(raw_open(&next, s->daemon.socket), RAW_CODE(OK));
        assert_int_equal(raw_attach(&next, &h), RAW_CODE(OK)); // before the daemon knows that the other has ended
        raw_close(&c);
        c = next;
        assert_int_equal(raw_shrink(&c, &h, (uint64_t)(SIZE - 4096 * (i + 1)), (uint64_t)(SIZE - 4096 * i)),
                         RAW_CODE(OK));
    }
    raw_close(&c);
    scene_end(s);
}

static int raw_detach(struct raw *c, const struct raw_handle *h)
{
    Diskalloc__V1__DetachRegion m = DISKALLOC__V1__DETACH_REGION__INIT;
    RawRequest q = RAW_REQUEST_INIT;

    m.handle = raw_bytes(h);
    q.body_case = RAW_BODY(DETACH_REGION);
    q.detach_region = &m;
    return raw_done(c, &q);
}

// Two processes map the region when the daemon starts anew, and both are awaited.  This one comes back again and again;
// the other one does not.
static void a_process_that_comes_back_twice_does_not_stand_for_another(void **state)
{
    struct scene *s = scene_start(true);
    struct raw_handle h;
    struct raw c[3];
    struct actor a;

    (void)state;
    actor_start(&a, hold_only, s, (uid_t)-1);
    actor_await(&a);
    for (size_t i = 0; i < sizeof h.bytes; i++)
        assert_int_equal(sscanf(s->handle + 2 * i, "%2hhx", &h.bytes[i]), 1);
    assert_int_equal(raw_open(&c[0], s->daemon.socket), RAW_CODE(OK));
    assert_int_equal(raw_attach(&c[0], &h), RAW_CODE(OK));
    test_daemon_kill(&s->daemon, SIGKILL);
    test_daemon_restart(&s->daemon);
    raw_close(&c[0]);
    for (int i = 0; i < 2; i++) {
        assert_int_equal(raw_open(&c[i], s->daemon.socket), RAW_CODE(OK));
        assert_int_equal(raw_attach(&c[i], &h), RAW_CODE(OK)); // on the second, before the end of the first
        assert_int_equal(raw_attach(&c[i], &h), RAW_CODE(OK));
    }
    raw_close(&c[0]);
    assert_int_equal(raw_open(&c[2], s->daemon.socket), RAW_CODE(OK));
    assert_int_equal(raw_attach(&c[2], &h), RAW_CODE(OK));
    assert_int_equal(raw_detach(&c[1], &h), RAW_CODE(OK));
    assert_int_equal(raw_shrink(&c[2], &h, 4096, SIZE), RAW_CODE(BUSY));
    actor_kill(&a);
    raw_close(&c[1]);
    raw_close(&c[2]);
    scene_end(s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_request_that_is_repeated_is_no_return),
        TEST(what_was_detached_before_the_end_is_not_held),
        TEST(an_old_client_may_shrink_when_it_has_come_back),
        TEST(a_process_that_comes_back_twice_does_not_stand_for_another),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
