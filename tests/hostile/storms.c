// Storms (tests/lib/storm.h) of what the protocol has had from the first: connections that come and go, packets that
// mean nothing, attachments by the thousand, requests that wait, lists, replies that nobody reads.
#include "tests/lib/actor.h"
#include "tests/lib/quota_usage.h"
#include "tests/lib/storm.h"
#include "tests/lib/test_daemon.h"

enum { REGIONS = 2000 };

static const char config[] = "[daemon]\nkeep_free = 0\n[quota default]\nregions = 10000\nconnections = 1024\n";

static struct test_daemon d;
static char shared[80]; // a region of the test's that everybody may write to, as a client names it

// A new connection that has not said Hello; -1: refused.
static int connect_only(void)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);

    strcpy(address.sun_path, d.socket);
    if (fd >= 0 && connect(fd, (struct sockaddr *)&address, sizeof address) == 0)
        return fd;
    close(fd);
    return -1;
}

static void open_or_fail(struct raw *c)
{
    NEED(raw_open(c, d.socket) == RAW_CODE(OK));
}

static void come_and_go(void)
{
    struct raw c;

    raw_open(&c, d.socket);
    raw_close(&c);
}

static void say_nothing(void)
{
    static int fds[2000];
    static unsigned n;

    if (fds[n % 2000] > 0)
        close(fds[n % 2000]);
    fds[n++ % 2000] = connect_only();
}

static void send_garbage(void)
{
    static const size_t sizes[] = {1, 2, 100, PACKET_MAX, PACKET_MAX + 1};
    static uint8_t bytes[PACKET_MAX + 1];
    static unsigned n;
    int fd = connect_only();

    if (fd < 0)
        return;
    memset(bytes, (int)n % 256, sizeof bytes);
    send(fd, bytes, sizes[n % 5], MSG_NOSIGNAL);
    send(fd, bytes, 0, MSG_NOSIGNAL);
    send(fd, bytes, sizes[n++ % 5], MSG_NOSIGNAL);
    close(fd);
}

static void say_hello_again(void)
{
    Diskalloc__V1__Hello hello = DISKALLOC__V1__HELLO__INIT;
    RawRequest q = RAW_REQUEST_INIT;
    struct raw c;

    if (raw_open(&c, d.socket) == RAW_CODE(OK)) {
        hello.version_min = hello.version_max = 1;
        hello.client_name = raw_text("again");
        q.body_case = RAW_BODY(HELLO);
        q.hello = &hello;
        for (int i = 0; i < 60; i++)
            raw_send(&c, &q);
    }
    raw_close(&c);
}

static int open_shared(struct raw *c, struct raw_handle *ret)
{
    Diskalloc__V1__OpenRegion body = DISKALLOC__V1__OPEN_REGION__INIT;
    RawRequest q = RAW_REQUEST_INIT;
    RawReply *reply;
    int code;

    body.user = raw_text(shared);
    body.name = raw_text("shared");
    q.body_case = RAW_BODY(OPEN_REGION);
    q.open_region = &body;
    reply = raw_call(c, &q);
    code = raw_code(reply);
    if (code == RAW_CODE(OK) && reply->region->handle.len == sizeof ret->bytes)
        memcpy(ret->bytes, reply->region->handle.data, sizeof ret->bytes);
    raw_free(reply);
    return code;
}

static void detach(struct raw *c, const struct raw_handle *h)
{
    Diskalloc__V1__DetachRegion body = DISKALLOC__V1__DETACH_REGION__INIT;
    RawRequest q = RAW_REQUEST_INIT;

    body.handle = raw_bytes(h);
    q.body_case = RAW_BODY(DETACH_REGION);
    q.detach_region = &body;
    raw_free(raw_call(c, &q));
}

static void attach_and_detach(void)
{
    static struct raw c[8];
    static unsigned n;
    struct raw *one = &c[n++ % 8];
    struct raw_handle h;

    if (n <= 8)
        open_or_fail(one);
    NEED(open_shared(one, &h) == RAW_CODE(OK));
    if (n % 3)
        detach(one, &h);
    if (n % 50 == 0) {
        raw_close(one);
        open_or_fail(one);
    }
}

static void ask_for_one(struct raw *c, const struct raw_handle *h)
{
    Diskalloc__V1__AttachRegion body = DISKALLOC__V1__ATTACH_REGION__INIT;
    RawRequest q = RAW_REQUEST_INIT;

    body.handle = raw_bytes(h);
    q.body_case = RAW_BODY(ATTACH_REGION);
    q.attach_region = &body;
    raw_free(raw_call(c, &q));
}

static struct raw_handle many[REGIONS];

static void make_many_regions(void)
{
    struct raw c;
    char name[32];

    open_or_fail(&c);
    for (int i = 0; i < REGIONS; i++) {
        snprintf(name, sizeof name, "many-%d", i);
        many[i] = raw_handle_new();
        NEED(raw_create_named(&c, name, &many[i], 0) == RAW_CODE(OK));
    }
    raw_close(&c);
}

// The process lives, so that each end of a connection loses it for each of its regions.
static void lose_many_regions(void)
{
    struct raw c;

    open_or_fail(&c);
    for (int i = 0; i < REGIONS; i++)
        ask_for_one(&c, &many[i]);
    raw_close(&c);
}

static void wait_and_leave(void)
{
    struct raw_handle h = raw_handle_new();
    struct raw c;

    if (raw_open(&c, d.socket) == RAW_CODE(OK) && raw_create(&c, &h, 0) == RAW_CODE(OK))
        for (int i = 0; i < 60; i++)
            raw_send_grow(&c, &h, TIB, 60 * 1000);
    raw_close(&c);
}

static void never_read(void)
{
    static struct raw c[64];
    static unsigned n;
    Diskalloc__V1__GetUsage body = DISKALLOC__V1__GET_USAGE__INIT;
    RawRequest q = RAW_REQUEST_INIT;
    struct raw *one = &c[n % 64];
    uint8_t bytes[256];

    if (n++ < 64)
        open_or_fail(one);
    q.id = n;
    q.body_case = RAW_BODY(GET_USAGE);
    q.get_usage = &body;
    send(one->sock, bytes, diskalloc__v1__request__pack(&q, bytes), MSG_DONTWAIT | MSG_NOSIGNAL);
}

static void list_all(void)
{
    static struct raw c;
    static bool opened;
    Diskalloc__V1__ListRegions body = DISKALLOC__V1__LIST_REGIONS__INIT;
    RawRequest q = RAW_REQUEST_INIT;

    if (!opened)
        open_or_fail(&c);
    opened = true;
    q.body_case = RAW_BODY(LIST_REGIONS);
    q.list_regions = &body;
    for (int i = 0; i < 32; i++)
        raw_send(&c, &q);
    for (int i = 0; i < 32; i++)
        raw_free(raw_answer(&c));
}

static const struct storm storms[] = {
    {"connections that come and go", come_and_go, NULL},
    {"connections that say nothing", say_nothing, NULL},
    {"packets that mean nothing", send_garbage, NULL},
    {"Hello again and again", say_hello_again, NULL},
    {"attach and detach", attach_and_detach, NULL},
    {"connections that end with thousands of attachments", lose_many_regions, make_many_regions},
    {"waits of connections that are gone", wait_and_leave, NULL},
    {"replies that nobody reads", never_read, NULL},
    {"lists of regions", list_all, NULL},
};

static void storms_pass(void **state)
{
    struct raw_handle h = raw_handle_new();
    struct raw owner;
    Diskalloc__V1__OpenRegion body = DISKALLOC__V1__OPEN_REGION__INIT;
    RawRequest q = RAW_REQUEST_INIT;
    struct storm_place place = {.d = &d, .bytes = MIB};

    (void)state;
    if (geteuid() != 0) {
        print_message("[ NOTE     ] only root can be other users\n");
        skip();
        return;
    }
    test_daemon_start(&d, config, NULL);
    snprintf(shared, sizeof shared, "+%u", (unsigned)geteuid());
    assert_int_equal(raw_open(&owner, d.socket), RAW_CODE(OK));
    body.name = raw_text("shared");
    body.handle = raw_bytes(&h);
    body.flags = DISKALLOC__V1__REGION_FLAG__REGION_CREATE;
    body.mode = 0666;
    body.size = MIB;
    q.body_case = RAW_BODY(OPEN_REGION);
    q.open_region = &body;
    assert_int_equal(raw_done(&owner, &q), RAW_CODE(OK));
    detach(&owner, &h);
    raw_close(&owner);
    storm_compare(&place);
    storms_run(&place, storms, sizeof storms / sizeof *storms);
    test_daemon_stop_and_remove(&d);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(storms_pass),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
