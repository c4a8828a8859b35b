// The connection to a daemon that fails in chosen places: a daemon of a few lines that answers as it is told.
#include "tests/backends.h"

#include <fcntl.h>
#include <pthread.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "proto/diskalloc.pb-c.h"
#include "proto/name.h"
#include "proto/packet.h"

// What is done with each request of a connection in turn; after the last one requests are answered.
//   .  do it and answer         x  close without doing it       d  do it and close without an answer
//   -  do it, do not answer     n  refuse: NOT_FOUND            s  refuse: SHUTTING_DOWN
//   <  do it, answer after the next one's answer
struct play {
    const char *connections[4];
    int listener, file;
    char seen[256]; // a letter per request: Hello Create Attach Detach Grow Shrink sTat Unlink openFile Query
    size_t n_seen;
    struct handle handle;
    uint64_t size;
    uint64_t held; // id of the reply held back
    pthread_t thread;
    struct fixture {
        char dir[150], address[176];
    } at;
};

static void answer(const struct play *p, int sock, const Diskalloc__V1__Request *q, Diskalloc__V1__ErrorCode code)
{
    Diskalloc__V1__Reply reply = DISKALLOC__V1__REPLY__INIT;
    Diskalloc__V1__Error error = DISKALLOC__V1__ERROR__INIT;
    Diskalloc__V1__Region region = DISKALLOC__V1__REGION__INIT;
    Diskalloc__V1__HelloReply hello = DISKALLOC__V1__HELLO_REPLY__INIT;
    Diskalloc__V1__Usage usage = DISKALLOC__V1__USAGE__INIT;
    uint8_t bytes[1024];

    reply.id = q->id;
    hello.version = 1;
    region.handle = (ProtobufCBinaryData){sizeof p->handle.bytes, (uint8_t *)p->handle.bytes};
    region.size = p->size;
    usage.bytes = q->id;
    error.code = code;
    if (code != DISKALLOC__V1__ERROR_CODE__OK) {
        reply.error = &error;
    } else if (q->body_case == DISKALLOC__V1__REQUEST__BODY_HELLO) {
        reply.body_case = DISKALLOC__V1__REPLY__BODY_HELLO;
        reply.hello = &hello;
    } else if (q->body_case == DISKALLOC__V1__REQUEST__BODY_GET_USAGE) {
        reply.body_case = DISKALLOC__V1__REPLY__BODY_USAGE;
        reply.usage = &usage;
    } else {
        reply.body_case = DISKALLOC__V1__REPLY__BODY_REGION;
        reply.region = &region;
        reply.has_fd = q->body_case == DISKALLOC__V1__REQUEST__BODY_CREATE_REGION ||
                       q->body_case == DISKALLOC__V1__REQUEST__BODY_ATTACH_REGION ||
                       q->body_case == DISKALLOC__V1__REQUEST__BODY_OPEN_FILE;
    }
    packet_send(sock, bytes, diskalloc__v1__reply__pack(&reply, bytes), reply.has_fd ? p->file : -1, 0);
}

static void carry_out(struct play *p, const Diskalloc__V1__Request *q)
{
    if (q->body_case == DISKALLOC__V1__REQUEST__BODY_CREATE_REGION)
        memcpy(p->handle.bytes, q->create_region->handle.data, sizeof p->handle.bytes);
    if (q->body_case == DISKALLOC__V1__REQUEST__BODY_GROW_REGION && q->grow_region->size > p->size)
        p->size = q->grow_region->size;
    if (q->body_case == DISKALLOC__V1__REQUEST__BODY_SHRINK_REGION)
        p->size = q->shrink_region->size;
    if (ftruncate(p->file, (off_t)p->size) < 0)
        abort();
}

static void note(struct play *p, const Diskalloc__V1__Request *q)
{
    static const char letters[] = "??HCOADGSTMUFQ";

    p->seen[p->n_seen++] = q->body_case < sizeof letters - 1 ? letters[q->body_case] : '?';
}

// False: the connection is to be closed.
static bool serve_one(struct play *p, int sock, const Diskalloc__V1__Request *q, char action)
{
    Diskalloc__V1__Request held = *q;

    note(p, q);
    if (action == 'x')
        return false;
    if (action == 'n' || action == 's') {
        answer(p, sock, q,
               action == 'n' ? DISKALLOC__V1__ERROR_CODE__NOT_FOUND : DISKALLOC__V1__ERROR_CODE__SHUTTING_DOWN);
        return true;
    }
    carry_out(p, q);
    if (action == '<')
        p->held = q->id;
    if (action != '.')
        return action != 'd';
    answer(p, sock, q, DISKALLOC__V1__ERROR_CODE__OK);
    if (p->held) {
        held.id = p->held;
        p->held = 0;
        answer(p, sock, &held, DISKALLOC__V1__ERROR_CODE__OK);
    }
    return true;
}

static void serve(struct play *p, int sock, const char *actions)
{
    static uint8_t bytes[PACKET_MAX];
    bool open = true;

    while (open) {
        int fd = -1;
        ssize_t n = packet_receive(sock, bytes, sizeof bytes, 0, &fd);
        Diskalloc__V1__Request *q = n > 0 ? diskalloc__v1__request__unpack(NULL, (size_t)n, bytes) : NULL;

        if (!q)
            break;
        open = serve_one(p, sock, q, *actions ? *actions++ : '.');
        diskalloc__v1__request__free_unpacked(q, NULL);
    }
    close(sock);
}

static void *run(void *data)
{
    struct play *p = data;

    for (size_t i = 0; p->connections[i]; i++) {
        int sock = accept4(p->listener, NULL, NULL, SOCK_CLOEXEC);

        if (sock < 0)
            return NULL;
        serve(p, sock, p->connections[i]);
    }
    return NULL;
}

static void play_start(struct play *p)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};

    fixture_make_dir(p->at.dir, sizeof p->at.dir);
    assert_true((size_t)snprintf(p->at.address, sizeof p->at.address, "unix:%s/s", p->at.dir) < 100);
    strcpy(address.sun_path, p->at.address + strlen("unix:"));
    p->listener = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
    p->file = open(p->at.dir, O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
    assert_true(p->listener >= 0 && p->file >= 0);
    assert_return_code(bind(p->listener, (struct sockaddr *)&address, sizeof address), errno);
    assert_return_code(listen(p->listener, 8), errno);
    assert_int_equal(pthread_create(&p->thread, NULL, run, p), 0);
}

// After the client is closed.
static void play_end(struct play *p)
{
    shutdown(p->listener, SHUT_RDWR);
    pthread_join(p->thread, NULL);
    close(p->listener);
    close(p->file);
    fixture_remove_tree(p->at.dir);
}

static struct diskalloc *client_of(const struct play *p, int reconnect_timeout_ms)
{
    struct diskalloc_options o = DISKALLOC_OPTIONS_INIT;
    struct diskalloc *da = NULL;

    o.reconnect_timeout_ms = reconnect_timeout_ms;
    assert_int_equal(diskalloc_open(p->at.address, &o, &da), 0);
    return da;
}

static void a_grow_whose_answer_was_lost_is_repeated(void **state)
{
    struct play p = {.connections = {"..d", ""}};
    struct diskalloc *da;
    struct diskalloc_region *r;

    (void)state;
    play_start(&p);
    da = client_of(&p, -1);
    r = make_region(da, 0);
    assert_int_equal(diskalloc_region_resize(r, 5000), 0);
    assert_int_equal(diskalloc_region_size(r), 5000);
    ((char *)diskalloc_region_data(r))[4999] = 1;
    diskalloc_region_close(r);
    diskalloc_close(da);
    play_end(&p);
    assert_string_equal(p.seen, "HCGHAGD");
}

static void a_shrink_that_was_done_is_not_done_twice(void **state)
{
    struct play p = {.connections = {"...d", ""}};
    struct diskalloc *da;
    struct diskalloc_region *r;

    (void)state;
    play_start(&p);
    da = client_of(&p, -1);
    r = make_region(da, 0);
    assert_int_equal(diskalloc_region_resize(r, 50000), 0);
    assert_int_equal(diskalloc_region_resize(r, 5000), 0);
    assert_int_equal(diskalloc_region_size(r), 5000);
    diskalloc_region_close(r);
    diskalloc_close(da);
    play_end(&p);
    assert_string_equal(p.seen, "HCGSHATD");
}

static void a_shrink_that_was_not_done_is_asked_for_again(void **state)
{
    struct play p = {.connections = {"...x", ""}};
    struct diskalloc *da;
    struct diskalloc_region *r;

    (void)state;
    play_start(&p);
    da = client_of(&p, -1);
    r = make_region(da, 0);
    assert_int_equal(diskalloc_region_resize(r, 50000), 0);
    assert_int_equal(diskalloc_region_resize(r, 5000), 0);
    assert_int_equal(diskalloc_region_size(r), 5000);
    assert_int_equal(p.size, 5000);
    diskalloc_region_close(r);
    diskalloc_close(da);
    play_end(&p);
    assert_string_equal(p.seen, "HCGSHATSD");
}

static void a_daemon_that_shuts_down_is_left_for_the_next(void **state)
{
    struct play p = {.connections = {"..s", ""}};
    struct diskalloc *da;
    struct diskalloc_region *r;

    (void)state;
    play_start(&p);
    da = client_of(&p, -1);
    r = make_region(da, 0);
    assert_int_equal(diskalloc_region_resize(r, 5000), 0);
    diskalloc_region_close(r);
    diskalloc_close(da);
    play_end(&p);
    assert_string_equal(p.seen, "HCGHAGD");
}

static void an_unlink_that_was_done_already_is_done(void **state)
{
    struct play p = {.connections = {".d", ".n"}}, again = {.connections = {".n"}};
    struct diskalloc *da;

    (void)state;
    play_start(&p);
    da = client_of(&p, -1);
    assert_int_equal(diskalloc_region_unlink(da, "name"), 0);
    diskalloc_close(da);
    play_end(&p);
    play_start(&again);
    da = client_of(&again, -1);
    EXPECT_FAILURE(-ENOENT, "diskalloc_region_unlink", diskalloc_region_unlink(da, "name"));
    diskalloc_close(da);
    play_end(&again);
}

static void a_region_that_the_next_daemon_does_not_know_is_stale_and_keeps_its_memory(void **state)
{
    struct play p = {.connections = {"...x", ".nn"}};
    struct diskalloc *da;
    struct diskalloc_region *r;

    (void)state;
    play_start(&p);
    da = client_of(&p, -1);
    r = make_region(da, 0);
    assert_int_equal(diskalloc_region_resize(r, 5000), 0);
    memset(diskalloc_region_data(r), 3, 5000);
    EXPECT_FAILURE(-ESTALE, "diskalloc_region_resize", diskalloc_region_resize(r, 6000));
    EXPECT_FAILURE(-ESTALE, "diskalloc_region_commit", diskalloc_region_commit(r, 1, 1, 0));
    EXPECT_FAILURE(-ESTALE, "diskalloc_region_refresh", diskalloc_region_refresh(r));
    assert_int_equal(diskalloc_region_size(r), 5000);
    assert_int_equal(((char *)diskalloc_region_data(r))[4999], 3);
    diskalloc_region_close(r);
    diskalloc_close(da);
    play_end(&p);
}

static void without_reconnecting_a_lost_daemon_stays_lost(void **state)
{
    struct play p = {.connections = {"..x", ""}};
    struct diskalloc *da;
    struct diskalloc_region *r;

    (void)state;
    play_start(&p);
    da = client_of(&p, 0);
    r = make_region(da, 0);
    EXPECT_FAILURE(-ECONNRESET, "diskalloc_region_resize", diskalloc_region_resize(r, 5000));
    EXPECT_FAILURE(-ECONNRESET, "diskalloc_region_resize", diskalloc_region_resize(r, 5000));
    assert_int_equal(diskalloc_region_size(r), 0);
    diskalloc_region_close(r);
    diskalloc_close(da);
    play_end(&p);
    assert_string_equal(p.seen, "HCG");
}

static void closing_waits_for_no_answer(void **state)
{
    struct play p = {.connections = {"..-"}};
    struct diskalloc *da;
    struct diskalloc_usage u;

    (void)state;
    play_start(&p);
    da = client_of(&p, -1);
    diskalloc_region_close(make_region(da, 0));
    assert_int_equal(diskalloc_get_usage(da, NULL, &u, sizeof u), 0);
    diskalloc_close(da);
    play_end(&p);
    assert_string_equal(p.seen, "HCDQ");
}

static void *ask_usage(void *data)
{
    struct diskalloc_usage u = {0};

    assert_int_equal(diskalloc_get_usage(data, NULL, &u, sizeof u), 0);
    return (void *)(uintptr_t)u.bytes; // the id of the request
}

static void replies_in_any_order_find_their_threads(void **state)
{
    struct play p = {.connections = {".<.<.<.<."}};
    struct diskalloc *da;
    uintptr_t ids = 0;
    pthread_t threads[8];

    (void)state;
    play_start(&p);
    da = client_of(&p, -1);
    for (int i = 0; i < 8; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, ask_usage, da), 0);
    for (int i = 0; i < 8; i++) {
        void *id;

        pthread_join(threads[i], &id);
        ids |= (uintptr_t)1 << (uintptr_t)id;
    }
    assert_int_equal(__builtin_popcountl(ids), 8); // each got another's never
    diskalloc_close(da);
    play_end(&p);
}

// The descriptor of the only socket that is connected to PATH.
static int find_socket(const char *path)
{
    for (int fd = 3; fd < 256; fd++) {
        struct sockaddr_un address = {0};
        socklen_t n = sizeof address;

        if (getpeername(fd, (struct sockaddr *)&address, &n) == 0 && strcmp(address.sun_path, path) == 0)
            return fd;
    }
    return -1;
}

static void a_socket_number_that_the_program_took_costs_a_reconnect_and_nothing_else(void **state)
{
    struct play p = {.connections = {"..", ""}};
    struct diskalloc *da;
    struct diskalloc_region *r;
    struct stat st;
    int taken = open(test_base_dir(), O_TMPFILE | O_RDWR | O_CLOEXEC, 0600), sock;

    (void)state;
    play_start(&p);
    da = client_of(&p, -1);
    r = make_region(da, 0);
    sock = find_socket(p.at.address + strlen("unix:"));
    assert_true(sock >= 0 && taken >= 0);
    assert_int_equal(dup3(taken, sock, O_CLOEXEC), sock);
    assert_int_equal(diskalloc_region_resize(r, 5000), 0);
    assert_return_code(fstat(sock, &st), errno); // it is still the program's
    assert_int_equal(st.st_size, 0);
    diskalloc_region_close(r);
    diskalloc_close(da);
    assert_return_code(fstat(sock, &st), errno);
    close(sock);
    close(taken);
    play_end(&p);
    assert_string_equal(p.seen, "HCHAGD");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_grow_whose_answer_was_lost_is_repeated),
        TEST(a_shrink_that_was_done_is_not_done_twice),
        TEST(a_shrink_that_was_not_done_is_asked_for_again),
        TEST(a_daemon_that_shuts_down_is_left_for_the_next),
        TEST(an_unlink_that_was_done_already_is_done),
        TEST(a_region_that_the_next_daemon_does_not_know_is_stale_and_keeps_its_memory),
        TEST(without_reconnecting_a_lost_daemon_stays_lost),
        TEST(closing_waits_for_no_answer),
        TEST(replies_in_any_order_find_their_threads),
        TEST(a_socket_number_that_the_program_took_costs_a_reconnect_and_nothing_else),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
