// Storms (tests/lib/storm.h) of requests that copy regions: clones and moves, of clients that wait for them and of
// clients that end meanwhile.
#include "tests/lib/actor.h"
#include "tests/lib/quota_usage.h"
#include "tests/lib/scratch.h"
#include "tests/lib/storm.h"

#include <sys/stat.h>

#define SHARED_SIZE (32 * MIB)
#define OWN_SIZE (8 * MIB)

enum { AT_ONCE = 16 }; // clones; regions of each attacker's that move

static struct test_daemon d;
static char parents[2][120], dirs[2][128];
static char shared[80]; // the user who has a region that everybody may read

static void open_or_fail(struct raw *c)
{
    NEED(raw_open(c, d.socket) == RAW_CODE(OK));
}

static int open_region(struct raw *c, const char *user, const char *name, struct raw_handle *h, uint64_t size,
                       int *ret_fd)
{
    Diskalloc__V1__OpenRegion body = DISKALLOC__V1__OPEN_REGION__INIT;
    uint8_t bytes[4096], reply_bytes[4096];
    RawRequest q = RAW_REQUEST_INIT;
    RawReply *reply;
    ssize_t n;
    int code;

    body.user = raw_text(user);
    body.name = raw_text(name);
    body.size = size;
    body.mode = 0644;
    if (size > 0) {
        body.handle = raw_bytes(h);
        body.flags = DISKALLOC__V1__REGION_FLAG__REGION_CREATE;
    } else {
        body.flags = DISKALLOC__V1__REGION_FLAG__REGION_READ_ONLY;
    }
    q.id = ++c->last_id;
    q.body_case = RAW_BODY(OPEN_REGION);
    q.open_region = &body;
    NEED(packet_send(c->sock, bytes, diskalloc__v1__request__pack(&q, bytes), -1, 0) == 0);
    *ret_fd = -1;
    n = packet_receive(c->sock, reply_bytes, sizeof reply_bytes, 0, ret_fd);
    reply = n > 0 ? diskalloc__v1__reply__unpack(NULL, (size_t)n, reply_bytes) : NULL;
    code = raw_code(reply);
    if (code == RAW_CODE(OK))
        memcpy(h->bytes, reply->region->handle.data, sizeof h->bytes);
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

static void send_clone(struct raw *c, const struct raw_handle *source, const struct raw_handle *copy)
{
    Diskalloc__V1__CloneRegion body = DISKALLOC__V1__CLONE_REGION__INIT;
    RawRequest q = RAW_REQUEST_INIT;

    body.source = raw_bytes(source);
    body.handle = raw_bytes(copy);
    q.body_case = RAW_BODY(CLONE_REGION);
    q.clone_region = &body;
    NEED(raw_send(c, &q) != 0);
}

static void attach_shared(struct raw *c, struct raw_handle *source)
{
    int fd;

    open_or_fail(c);
    NEED(open_region(c, shared, "shared", source, 0, &fd) == RAW_CODE(OK));
    close(fd);
}

static void clone_and_detach(void)
{
    static struct raw_handle source, copies[AT_ONCE];
    static struct raw c;

    if (c.last_id == 0)
        attach_shared(&c, &source);
    for (int i = 0; i < AT_ONCE; i++) {
        copies[i] = raw_handle_new();
        send_clone(&c, &source, &copies[i]);
    }
    for (int i = 0; i < AT_ONCE; i++)
        raw_free(raw_answer(&c));
    for (int i = 0; i < AT_ONCE; i++)
        detach(&c, &copies[i]);
}

// At a moment that is another one each time.
static void clone_and_end(void)
{
    static unsigned n;
    struct raw_handle source;
    struct raw c;

    attach_shared(&c, &source);
    for (int i = 0; i < AT_ONCE; i++) {
        struct raw_handle copy = raw_handle_new();

        send_clone(&c, &source, &copy);
    }
    usleep(n++ % 64 * 500);
    raw_close(&c);
}

static void send_move(struct raw *c, unsigned i, const char *dir)
{
    Diskalloc__V1__MoveRegion body = DISKALLOC__V1__MOVE_REGION__INIT;
    RawRequest q = RAW_REQUEST_INIT;
    char name[16];

    snprintf(name, sizeof name, "own-%u", i);
    body.name = raw_text(name);
    body.disk = raw_text(dir);
    q.body_case = RAW_BODY(MOVE_REGION);
    q.move_region = &body;
    NEED(raw_send(c, &q) != 0);
}

static void move_to_and_fro(void)
{
    static struct raw c;
    static unsigned n;

    if (c.last_id == 0)
        open_or_fail(&c);
    for (unsigned i = 0; i < AT_ONCE; i++)
        send_move(&c, i, dirs[n % 2]);
    for (unsigned i = 0; i < AT_ONCE; i++)
        raw_free(raw_answer(&c));
    n++;
}

static void move_and_end(void)
{
    static unsigned n;
    struct raw c;

    open_or_fail(&c);
    for (unsigned i = 0; i < AT_ONCE; i++)
        send_move(&c, i, dirs[n % 2]);
    usleep(n++ % 64 * 500);
    raw_close(&c);
}

static const struct storm storms[] = {
    {"clones", clone_and_detach, NULL},
    {"clones of clients that end", clone_and_end, NULL},
    {"moves", move_to_and_fro, NULL},
    {"moves of clients that end", move_and_end, NULL},
};

static void make_named(struct raw *c, const char *name, uint64_t size)
{
    static char bytes[MIB];
    struct raw_handle h = raw_handle_new();
    int fd;

    assert_int_equal(open_region(c, "", name, &h, size, &fd), RAW_CODE(OK));
    memset(bytes, 7, sizeof bytes);
    for (uint64_t at = 0; at < size; at += sizeof bytes)
        assert_int_equal(pwrite(fd, bytes, sizeof bytes, (off_t)at), sizeof bytes);
    close(fd);
    detach(c, &h);
}

static void make_regions(void)
{
    struct raw c;
    char name[16];

    open_or_fail(&c);
    make_named(&c, "shared", SHARED_SIZE);
    raw_close(&c);
    for (int i = 0; i < STORM_ATTACKERS; i++) {
        assert_int_equal(raw_open_as(&c, d.socket, STORM_FIRST_UID + (uid_t)i), RAW_CODE(OK));
        for (int k = 0; k < AT_ONCE; k++) {
            snprintf(name, sizeof name, "own-%d", k);
            make_named(&c, name, OWN_SIZE);
        }
        raw_close(&c);
    }
}

static void start(void)
{
    char text[500];

    for (int i = 0; i < 2; i++) {
        scratch_make_dir(parents[i], sizeof parents[i]);
        snprintf(dirs[i], sizeof dirs[i], "%.100s/spill", parents[i]);
        assert_return_code(mkdir(dirs[i], 0700), errno);
    }
    snprintf(text, sizeof text,
             "[daemon]\nspill_dir = %s\nspill_dir = %s\nkeep_free = 0\n"
             "[quota default]\nregions = 10000\nconnections = 1024\n",
             dirs[0], dirs[1]);
    test_daemon_start(&d, text, "");
}

static void storms_pass(void **state)
{
    struct storm_place place = {.d = &d, .bytes = SHARED_SIZE + STORM_ATTACKERS * AT_ONCE * OWN_SIZE};

    (void)state;
    if (geteuid() != 0) {
        print_message("[ NOTE     ] only root can be other users\n");
        skip();
        return;
    }
    start();
    snprintf(shared, sizeof shared, "+%u", (unsigned)geteuid());
    make_regions();
    storm_compare(&place);
    storms_run(&place, storms, sizeof storms / sizeof *storms);
    test_daemon_stop_and_remove(&d);
    for (int i = 0; i < 2; i++)
        scratch_remove_tree(parents[i]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(storms_pass),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
