// A client ends that had very many regions, connections or requests: others are served before all of that is done, and
// nothing is left when it is done.  The daemon stands still while everything comes at once, so that the order in which
// it serves does not depend on the time.
#include "tests/lib/actor.h"
#include "tests/lib/quota_usage.h"
#include "tests/lib/test_daemon.h"

enum { REGIONS = 12000, CONNECTIONS = 500, UID = 4242 };

static const char config[] =
    "[daemon]\nkeep_free = 0\n[quota default]\nregions = 50000\nconnections = 10000\nbytes = 64M\n";

struct scene {
    struct test_daemon d;
    char shared[40]; // the test's user, as others name it
};

static struct scene scene;

static int open_region_named(struct raw *c, const char *name, uint64_t size, uint32_t flags, struct raw_handle *h)
{
    Diskalloc__V1__OpenRegion body = DISKALLOC__V1__OPEN_REGION__INIT;
    RawRequest q = RAW_REQUEST_INIT;
    RawReply *reply;
    int code;

    if (flags)
        body.handle = raw_bytes(h);
    else
        body.user = raw_text(scene.shared);
    body.name = raw_text(name);
    body.flags = flags;
    body.mode = flags ? 0666 : 0;
    body.size = size;
    q.body_case = RAW_BODY(OPEN_REGION);
    q.open_region = &body;
    reply = raw_call(c, &q);
    code = raw_code(reply);
    raw_free(reply);
    return code;
}

static unsigned count_attachments(struct raw *c, const struct raw_handle *h)
{
    Diskalloc__V1__StatRegion body = DISKALLOC__V1__STAT_REGION__INIT;
    RawRequest q = RAW_REQUEST_INIT;
    RawReply *reply;
    unsigned n;

    body.handle = raw_bytes(h);
    q.body_case = RAW_BODY(STAT_REGION);
    q.stat_region = &body;
    reply = raw_call(c, &q);
    assert_int_equal(raw_code(reply), RAW_CODE(OK));
    n = reply->region->attachments;
    raw_free(reply);
    return n;
}

static void send_stat(struct raw *c, const struct raw_handle *h)
{
    Diskalloc__V1__StatRegion body = DISKALLOC__V1__STAT_REGION__INIT;
    RawRequest q = RAW_REQUEST_INIT;

    body.handle = raw_bytes(h);
    q.body_case = RAW_BODY(STAT_REGION);
    q.stat_region = &body;
    assert_true(raw_send(c, &q) > 0);
}

static void send_usage(struct raw *c, const char *subject)
{
    Diskalloc__V1__GetUsage body = DISKALLOC__V1__GET_USAGE__INIT;
    RawRequest q = RAW_REQUEST_INIT;

    body.subject = raw_text(subject);
    q.body_case = RAW_BODY(GET_USAGE);
    q.get_usage = &body;
    assert_true(raw_send(c, &q) > 0);
}

static void send_detach(struct raw *c, const struct raw_handle *h)
{
    Diskalloc__V1__DetachRegion body = DISKALLOC__V1__DETACH_REGION__INIT;
    RawRequest q = RAW_REQUEST_INIT;

    body.handle = raw_bytes(h);
    q.body_case = RAW_BODY(DETACH_REGION);
    q.detach_region = &body;
    NEED(raw_send(c, &q) > 0);
}

static void send_shrink(struct raw *c, const struct raw_handle *h, uint64_t size, uint64_t known)
{
    Diskalloc__V1__ShrinkRegion body = DISKALLOC__V1__SHRINK_REGION__INIT;
    RawRequest q = RAW_REQUEST_INIT;

    body.handle = raw_bytes(h);
    body.size = size;
    body.known_size = known;
    q.body_case = RAW_BODY(SHRINK_REGION);
    q.shrink_region = &body;
    assert_true(raw_send(c, &q) > 0);
}

static int answer_code(struct raw *c)
{
    RawReply *reply = raw_answer(c);
    int code = raw_code(reply);

    raw_free(reply);
    return code;
}

struct crowd {
    struct raw_handle shared;
    unsigned n; // regions beside the shared one
};

static void take_regions(const struct crowd *crowd, struct raw *c)
{
    NEED(raw_open(c, scene.d.socket) == RAW_CODE(OK));
    for (unsigned i = 0; i < crowd->n; i++) {
        struct raw_handle h = raw_handle_new();

        NEED(raw_create(c, &h, 0) == RAW_CODE(OK));
    }
    NEED(open_region_named(c, "shared", 0, 0, NULL) == RAW_CODE(OK)); // the last one
}

static void hold_regions(struct actor *self, void *data)
{
    struct raw c;

    take_regions(data, &c);
    actor_done(self);
    pause();
}

// The process lives on.  It detaches the shared region on a new connection while the old one is ending.
static void end_a_connection_and_let_the_shared_region_go(struct actor *self, void *data)
{
    struct crowd *crowd = data;
    struct raw c, next;

    NEED(raw_open(&next, scene.d.socket) == RAW_CODE(OK));
    take_regions(crowd, &c);
    actor_next(self);
    raw_close(&c);
    send_detach(&next, &crowd->shared);
    actor_done(self);
    pause();
}

static bool begin(struct raw *owner, struct crowd *crowd)
{
    if (geteuid() != 0) {
        print_message("[ NOTE     ] only root can be other users\n");
        return false;
    }
    snprintf(scene.shared, sizeof scene.shared, "+%u", (unsigned)geteuid());
    test_daemon_start(&scene.d, config, NULL);
    assert_int_equal(raw_open(owner, scene.d.socket), RAW_CODE(OK));
    crowd->shared = raw_handle_new();
    assert_int_equal(open_region_named(owner, "shared", MIB, DISKALLOC__V1__REGION_FLAG__REGION_CREATE, &crowd->shared),
                     RAW_CODE(OK));
    return true;
}

static bool only_the_shared_region_is_left(void *data)
{
    return USAGE_OF(data, "total", connections) == 1 && USAGE_OF(data, "total", regions) == 1;
}

static void finish(struct raw *owner)
{
    test_wait_until(only_the_shared_region_is_left, owner, 60, "nothing else is charged");
    raw_close(owner);
    test_daemon_stop_and_remove(&scene.d);
}

static void others_are_served_before_all_regions_are_detached(void **state)
{
    struct crowd crowd = {.n = 2000};
    struct actor client;
    struct raw owner;
    RawReply *reply;

    (void)state;
    if (!begin(&owner, &crowd)) {
        skip();
        return;
    }
    actor_start(&client, hold_regions, &crowd, UID);
    actor_await(&client);
    test_daemon_halt(&scene.d);
    actor_kill(&client);
    send_stat(&owner, &crowd.shared);
    test_daemon_go_on(&scene.d);
    reply = raw_answer(&owner);
    assert_int_equal(raw_code(reply), RAW_CODE(OK));
    assert_int_equal(reply->region->attachments, 2); // the turn of the client's last region has not come
    raw_free(reply);
    while (count_attachments(&owner, &crowd.shared) > 1)
        continue;
    finish(&owner);
}

// Until the region has been detached, it counts as one that is shared.
static void a_shrink_waits_until_a_client_that_has_ended_is_detached(void **state)
{
    struct crowd crowd = {.n = REGIONS};
    struct actor client;
    struct raw owner;

    (void)state;
    if (!begin(&owner, &crowd)) {
        skip();
        return;
    }
    actor_start(&client, hold_regions, &crowd, UID);
    actor_await(&client);
    test_daemon_halt(&scene.d);
    actor_kill(&client);
    send_shrink(&owner, &crowd.shared, 4096, MIB);
    test_daemon_go_on(&scene.d);
    assert_int_equal(answer_code(&owner), RAW_CODE(OK));
    finish(&owner);
}

static void what_a_client_lets_go_while_its_connection_ends_is_not_lost(void **state)
{
    struct crowd crowd = {.n = 2000};
    struct actor client;
    struct raw owner;

    (void)state;
    if (!begin(&owner, &crowd)) {
        skip();
        return;
    }
    actor_start(&client, end_a_connection_and_let_the_shared_region_go, &crowd, UID);
    actor_await(&client);
    test_daemon_halt(&scene.d);
    actor_go(&client);
    actor_await(&client);
    test_daemon_go_on(&scene.d);
    while (count_attachments(&owner, &crowd.shared) > 1)
        continue;
    assert_int_equal(raw_shrink(&owner, &crowd.shared, 4096, MIB), RAW_CODE(OK));
    actor_kill(&client);
    finish(&owner);
}

static void open_many(struct actor *self, void *data)
{
    static struct raw c[CONNECTIONS];

    (void)data;
    for (int i = 0; i < CONNECTIONS; i++)
        NEED(raw_open(&c[i], scene.d.socket) == RAW_CODE(OK));
    actor_done(self);
    pause();
}

static void others_are_served_before_all_connections_are_closed(void **state)
{
    struct crowd crowd = {0};
    struct actor client;
    struct raw owner;
    RawReply *usage;

    (void)state;
    if (!begin(&owner, &crowd)) {
        skip();
        return;
    }
    actor_start(&client, open_many, NULL, UID);
    actor_await(&client);
    test_daemon_halt(&scene.d);
    actor_kill(&client);
    send_usage(&owner, "total");
    test_daemon_go_on(&scene.d);
    usage = raw_answer(&owner);
    assert_int_equal(raw_code(usage), RAW_CODE(OK));
    assert_in_range(usage->usage->connections, CONNECTIONS / 2, CONNECTIONS + 1);
    raw_free(usage);
    finish(&owner);
}

static void wait_for_what_never_comes(struct actor *self, void *data)
{
    Diskalloc__V1__GetUsage body = DISKALLOC__V1__GET_USAGE__INIT;
    struct raw_handle h = raw_handle_new();
    RawRequest q = RAW_REQUEST_INIT;
    struct raw c;

    (void)data;
    NEED(raw_open(&c, scene.d.socket) == RAW_CODE(OK) && raw_create(&c, &h, MIB) == RAW_CODE(OK));
    for (int i = 0; i < CONNECTIONS; i++)
        NEED(raw_send_grow(&c, &h, 64 * MIB, INT64_MAX) > 0);
    q.body_case = RAW_BODY(GET_USAGE);
    q.get_usage = &body;
    NEED(raw_done(&c, &q) == RAW_CODE(OK)); // the daemon has read them all
    actor_done(self);
    pause();
}

static void hold_most_bytes(struct actor *self, void *data)
{
    struct raw_handle h = raw_handle_new();
    struct raw c;

    (void)data;
    NEED(raw_open(&c, scene.d.socket) == RAW_CODE(OK) && raw_create(&c, &h, 40 * MIB) == RAW_CODE(OK));
    actor_done(self);
    pause();
}

static void others_are_served_before_all_requests_are_cancelled(void **state)
{
    struct crowd crowd = {0};
    struct actor holder, client;
    struct raw owner;
    RawReply *usage;

    (void)state;
    if (!begin(&owner, &crowd)) {
        skip();
        return;
    }
    actor_start(&holder, hold_most_bytes, NULL, UID);
    actor_await(&holder);
    actor_start(&client, wait_for_what_never_comes, NULL, UID);
    actor_await(&client);
    AWAIT_USAGE(&owner, "user:+4242", waiters, CONNECTIONS);
    test_daemon_halt(&scene.d);
    actor_kill(&client);
    send_usage(&owner, "user:+4242");
    test_daemon_go_on(&scene.d);
    usage = raw_answer(&owner);
    assert_int_equal(raw_code(usage), RAW_CODE(OK));
    assert_in_range(usage->usage->waiters, CONNECTIONS / 2, CONNECTIONS);
    raw_free(usage);
    AWAIT_USAGE(&owner, "user:+4242", waiters, 0);
    actor_kill(&holder);
    finish(&owner);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(others_are_served_before_all_regions_are_detached),
        TEST(a_shrink_waits_until_a_client_that_has_ended_is_detached),
        TEST(what_a_client_lets_go_while_its_connection_ends_is_not_lost),
        TEST(others_are_served_before_all_connections_are_closed),
        TEST(others_are_served_before_all_requests_are_cancelled),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
