// Requests that a client may repeat after a lost reply are done once and charged once.
#include "tests/lib/frozen_disk.h"
#include "tests/lib/scratch.h"
#include "tests/lib/test_backend.h"
#include "tests/lib/test_daemon.h"

#include <dirent.h>
#include <linux/sockios.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "proto/diskalloc.pb-c.h"
#include "proto/packet.h"

typedef Diskalloc__V1__Request Request;
typedef Diskalloc__V1__Reply Reply;

static int dial(const struct test_daemon *d)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    int sock = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);

    assert_return_code(sock, errno);
    assert_true(strlen(d->socket) < sizeof(address.sun_path));
    strcpy(address.sun_path, d->socket);
    assert_return_code(connect(sock, (struct sockaddr *)&address, sizeof(address)), errno);
    return sock;
}

static void send_request(int sock, Request *request)
{
    uint8_t bytes[4096];
    size_t n = diskalloc__v1__request__get_packed_size(request);

    assert_true(n <= sizeof(bytes));
    diskalloc__v1__request__pack(request, bytes);
    assert_int_equal(packet_send(sock, bytes, n, -1, 0), 0);
}

// The reply to the request with ID; others on the way (events) are passed over.
static Reply *receive_reply(int sock, uint64_t id)
{
    uint8_t bytes[PACKET_MAX];
    Reply *reply;
    ssize_t n;
    int fd;

    for (;;) {
        n = packet_receive(sock, bytes, sizeof(bytes), 0, &fd);
        assert_true(n > 0);
        reply = diskalloc__v1__reply__unpack(NULL, (size_t)n, bytes);
        assert_non_null(reply);
        assert_int_equal(reply->has_fd, fd >= 0);
        if (fd >= 0)
            close(fd);
        if (reply->id == id)
            return reply;
        diskalloc__v1__reply__free_unpacked(reply, NULL);
    }
}

static void say_hello(int sock)
{
    Diskalloc__V1__Hello hello = DISKALLOC__V1__HELLO__INIT;
    Request request = DISKALLOC__V1__REQUEST__INIT;
    Reply *reply;

    hello.version_min = 1;
    hello.version_max = 1;
    request.id = 1;
    request.body_case = DISKALLOC__V1__REQUEST__BODY_HELLO;
    request.hello = &hello;
    send_request(sock, &request);
    reply = receive_reply(sock, 1);
    assert_null(reply->error);
    assert_int_equal(reply->body_case, DISKALLOC__V1__REPLY__BODY_HELLO);
    diskalloc__v1__reply__free_unpacked(reply, NULL);
}

static uint8_t handle[16] = {0xc0, 0xff, 0xee, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13};

static void create(int sock, uint64_t id, uint64_t size)
{
    Diskalloc__V1__CreateRegion body = DISKALLOC__V1__CREATE_REGION__INIT;
    Request request = DISKALLOC__V1__REQUEST__INIT;

    body.handle.data = handle;
    body.handle.len = sizeof(handle);
    body.size = size;
    request.id = id;
    request.body_case = DISKALLOC__V1__REQUEST__BODY_CREATE_REGION;
    request.create_region = &body;
    send_request(sock, &request);
}

static void grow(int sock, uint64_t id, uint64_t size)
{
    Diskalloc__V1__GrowRegion body = DISKALLOC__V1__GROW_REGION__INIT;
    Request request = DISKALLOC__V1__REQUEST__INIT;

    body.handle.data = handle;
    body.handle.len = sizeof(handle);
    body.size = size;
    request.id = id;
    request.body_case = DISKALLOC__V1__REQUEST__BODY_GROW_REGION;
    request.grow_region = &body;
    send_request(sock, &request);
}

static void shrink(int sock, uint64_t id, uint64_t size, uint64_t known_size)
{
    Diskalloc__V1__ShrinkRegion body = DISKALLOC__V1__SHRINK_REGION__INIT;
    Request request = DISKALLOC__V1__REQUEST__INIT;

    body.handle.data = handle;
    body.handle.len = sizeof(handle);
    body.size = size;
    body.known_size = known_size;
    request.id = id;
    request.body_case = DISKALLOC__V1__REQUEST__BODY_SHRINK_REGION;
    request.shrink_region = &body;
    send_request(sock, &request);
}

static void expect_size(int sock, uint64_t id, uint64_t size)
{
    Reply *reply = receive_reply(sock, id);

    if (reply->error)
        fail_msg("request %u: %s", (unsigned)id, reply->error->message);
    assert_int_equal(reply->body_case, DISKALLOC__V1__REPLY__BODY_REGION);
    assert_int_equal(reply->region->size, size);
    diskalloc__v1__reply__free_unpacked(reply, NULL);
}

static void expect_stale(int sock, uint64_t id, uint64_t size)
{
    Reply *reply = receive_reply(sock, id);

    assert_non_null(reply->error);
    assert_int_equal(reply->error->code, DISKALLOC__V1__ERROR_CODE__STALE);
    assert_int_equal(reply->error->size, size);
    diskalloc__v1__reply__free_unpacked(reply, NULL);
}

static void check_charge(struct test_backend *b, uint64_t bytes)
{
    assert_int_equal(usage_of(b->da).bytes, bytes);
    assert_int_equal(usage_of(b->da).regions, bytes ? 1 : 0);
    assert_int_equal(test_sum_sizes(b->daemon.spill), bytes);
}

static void a_repeated_create_makes_and_charges_one_region(void **state)
{
    struct test_backend b;
    int first, second;

    (void)state;
    backend_start(&b, true, NULL, NULL);
    first = dial(&b.daemon);
    say_hello(first);
    // Twice at once, then again when the answer is known, then on a new connection: the first one's reply was lost.
    create(first, 2, 100000);
    create(first, 3, 100000);
    expect_size(first, 2, 100000);
    expect_size(first, 3, 100000);
    create(first, 4, 100000);
    expect_size(first, 4, 100000);
    check_charge(&b, 25 * 4096);
    second = dial(&b.daemon);
    say_hello(second);
    create(second, 2, 100000);
    expect_size(second, 2, 100000);
    check_charge(&b, 25 * 4096);
    close(first);
    grow(second, 3, 200000);
    expect_size(second, 3, 200000);
    check_charge(&b, 49 * 4096);
    close(second);
    backend_stop(&b);
}

static void a_repeated_create_after_a_restart_finds_the_region(void **state)
{
    struct test_backend b;
    int before, after, mapped_fd;
    uint8_t bytes[PACKET_MAX];

    (void)state;
    backend_start(&b, true, NULL, NULL);
    before = dial(&b.daemon);
    say_hello(before);
    create(before, 2, 100000);
    assert_true(packet_receive(before, bytes, sizeof(bytes), 0, &mapped_fd) > 0);
    assert_true(mapped_fd >= 0); // holds the region as a mapping would
    test_daemon_kill(&b.daemon, 9);
    test_daemon_restart(&b.daemon);
    check_charge(&b, 25 * 4096);
    after = dial(&b.daemon);
    say_hello(after);
    create(after, 2, 100000);
    expect_size(after, 2, 100000);
    check_charge(&b, 25 * 4096);
    close(mapped_fd);
    close(before);
    close(after);
    backend_stop(&b);
}

// A thread of the daemon waits for the disk.
static bool hangs(void *data)
{
    const struct test_daemon *d = data;
    const struct dirent *entry;
    char path[64], state = 0;
    DIR *tasks;

    snprintf(path, sizeof path, "/proc/%d/task", (int)d->pid);
    tasks = opendir(path);
    assert_non_null(tasks);
    while (state != 'D' && (entry = readdir(tasks))) {
        FILE *f;

        snprintf(path, sizeof path, "/proc/%d/task/%.20s/stat", (int)d->pid, entry->d_name);
        f = fopen(path, "re");
        if (f && fscanf(f, "%*d (%*[^)]) %c", &state) != 1)
            state = 0;
        if (f)
            fclose(f);
    }
    closedir(tasks);
    return state == 'D';
}

static bool has_been_read(void *data)
{
    const int *sock = data;
    int bytes = 1;

    assert_return_code(ioctl(*sock, SIOCOUTQ, &bytes), errno);
    return bytes == 0;
}

// The removal has begun when the client is back: the region is made anew behind it.
static void a_create_that_is_repeated_while_the_region_is_removed_as_an_orphan_makes_it_anew(void **state)
{
    struct frozen_disk ice;
    struct test_daemon d;
    struct diskalloc *da;
    int first, second;

    (void)state;
    if (!frozen_disk_prepare(&ice, 64 * MIB))
        skip();
    assert_return_code(chmod(ice.mount.at, 0700), errno);
    test_daemon_start(&d, NULL, ice.mount.at);
    assert_int_equal(diskalloc_open(d.address, NULL, &da), 0);
    first = dial(&d);
    second = dial(&d);
    say_hello(first);
    say_hello(second);
    create(first, 2, 100000);
    expect_size(first, 2, 100000);
    frozen_disk_freeze(&ice);
    close(first);
    test_wait_until(hangs, &d, 60, "the region is being removed");
    create(second, 2, 200000);
    test_wait_until(has_been_read, &second, 60, "the daemon has the request");
    frozen_disk_thaw(&ice);
    expect_size(second, 2, 200000);
    assert_int_equal(usage_of(da).bytes, 49 * 4096);
    assert_int_equal(usage_of(da).regions, 1);
    grow(second, 3, 300000);
    expect_size(second, 3, 300000);
    close(second);
    test_wait_until(nothing_is_charged, da, 30, "the region has gone");
    diskalloc_close(da);
    test_daemon_stop_and_remove(&d);
    frozen_disk_end(&ice);
}

static void a_repeated_grow_or_shrink_does_its_work_once(void **state)
{
    struct test_backend b;
    int sock;

    (void)state;
    backend_start(&b, true, NULL, NULL);
    sock = dial(&b.daemon);
    say_hello(sock);
    create(sock, 2, 0);
    expect_size(sock, 2, 0);
    for (uint64_t id = 3; id < 6; id++) {
        grow(sock, id, 300000);
        expect_size(sock, id, 300000);
        check_charge(&b, 74 * 4096);
    }
    grow(sock, 6, 10); // "at least"
    expect_size(sock, 6, 300000);
    shrink(sock, 7, 5000, 300000);
    expect_size(sock, 7, 5000);
    check_charge(&b, 8192);
    shrink(sock, 8, 5000, 300000);
    expect_stale(sock, 8, 5000);
    shrink(sock, 9, 1, 4999);
    expect_stale(sock, 9, 5000);
    check_charge(&b, 8192);
    close(sock);
    backend_stop(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_repeated_create_makes_and_charges_one_region),
        TEST(a_repeated_create_after_a_restart_finds_the_region),
        TEST(a_create_that_is_repeated_while_the_region_is_removed_as_an_orphan_makes_it_anew),
        TEST(a_repeated_grow_or_shrink_does_its_work_once),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
