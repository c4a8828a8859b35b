// Packets between the two ends of a socket: one descriptor at most, none is left open, and nothing is cut silently.
#include "tests/lib/harness.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "proto/packet.h"

struct pair {
    int a, b;
};

static void pair_init(struct pair *p)
{
    int fds[2];

    assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, fds), 0);
    *p = (struct pair){fds[0], fds[1]};
}

static void pair_deinit(struct pair *p)
{
    close(p->a);
    close(p->b);
}

// N descriptors of /dev/null with one packet.
static void send_many(int sock, size_t n_bytes, size_t n_fds)
{
    union {
        struct cmsghdr align;
        char bytes[CMSG_SPACE(64 * sizeof(int))];
    } control = {0};
    char bytes[16] = "";
    struct iovec data = {.iov_base = bytes, .iov_len = n_bytes};
    struct msghdr m = {.msg_iov = &data, .msg_iovlen = 1, .msg_control = control.bytes};
    int fds[64], null = open("/dev/null", O_RDONLY | O_CLOEXEC);
    struct cmsghdr *c;

    for (size_t i = 0; i < n_fds; i++)
        fds[i] = null;
    m.msg_controllen = CMSG_SPACE(n_fds * sizeof(int));
    c = CMSG_FIRSTHDR(&m);
    c->cmsg_level = SOL_SOCKET;
    c->cmsg_type = SCM_RIGHTS;
    c->cmsg_len = CMSG_LEN(n_fds * sizeof(int));
    memcpy(CMSG_DATA(c), fds, n_fds * sizeof(int));
    assert_int_equal(sendmsg(sock, &m, MSG_NOSIGNAL), n_bytes);
    close(null);
}

static void packets_keep_their_borders(void **state)
{
    struct pair p;
    char buffer[64];
    int fd = 4711;

    (void)state;
    pair_init(&p);
    assert_int_equal(packet_send(p.a, "one", 3, -1, 0), 0);
    assert_int_equal(packet_send(p.a, "three", 5, -1, 0), 0);
    assert_int_equal(packet_receive(p.b, buffer, sizeof buffer, 0, &fd), 3);
    assert_memory_equal(buffer, "one", 3);
    assert_int_equal(fd, -1);
    assert_int_equal(packet_receive(p.b, buffer, sizeof buffer, 0, &fd), 5);
    assert_memory_equal(buffer, "three", 5);
    assert_int_equal(packet_receive(p.b, buffer, sizeof buffer, MSG_DONTWAIT, &fd), -EAGAIN);
    pair_deinit(&p);
}

static void the_longest_packet_arrives_whole(void **state)
{
    static char sent[PACKET_MAX], received[PACKET_MAX];
    struct pair p;
    int fd;

    (void)state;
    pair_init(&p);
    memset(sent, 'x', sizeof sent);
    assert_int_equal(packet_send(p.a, sent, sizeof sent, -1, 0), 0);
    assert_int_equal(packet_receive(p.b, received, sizeof received, 0, &fd), sizeof sent);
    assert_memory_equal(sent, received, sizeof sent);
    pair_deinit(&p);
}

static void a_descriptor_arrives_and_is_not_inherited_by_programs(void **state)
{
    struct pair p;
    struct stat a, b;
    char buffer[8];
    int fd = -1, null = open("/dev/null", O_RDONLY);

    (void)state;
    pair_init(&p);
    assert_int_equal(packet_send(p.a, "x", 1, null, 0), 0);
    assert_int_equal(fstat(null, &a), 0);
    assert_int_equal(packet_receive(p.b, buffer, sizeof buffer, 0, &fd), 1);
    assert_true(fd >= 0);
    assert_int_equal(fstat(fd, &b), 0);
    assert_true(a.st_rdev == b.st_rdev);
    assert_true(fcntl(fd, F_GETFD) & FD_CLOEXEC);
    close(fd);
    close(null);
    pair_deinit(&p);
}

static void more_than_one_descriptor_is_refused_and_none_stays_open(void **state)
{
    static const size_t counts[] = {2, 4, 5, 60};

    (void)state;
    for (size_t i = 0; i < sizeof counts / sizeof counts[0]; i++) {
        struct pair p;
        char buffer[8];
        int fd = -1;

        pair_init(&p);
        send_many(p.a, 1, counts[i]);
        assert_int_equal(packet_receive(p.b, buffer, sizeof buffer, 0, &fd), -EBADMSG);
        assert_int_equal(fd, -1);
        assert_int_equal(packet_send(p.a, "x", 1, -1, 0), 0);
        assert_int_equal(packet_receive(p.b, buffer, sizeof buffer, 0, &fd), 1);
        pair_deinit(&p);
    }
}

static void a_packet_longer_than_the_room_is_refused_with_its_descriptor(void **state)
{
    struct pair p;
    char buffer[4];
    int fd = -1, null = open("/dev/null", O_RDONLY | O_CLOEXEC);

    (void)state;
    pair_init(&p);
    assert_int_equal(packet_send(p.a, "12345", 5, null, 0), 0);
    assert_int_equal(packet_receive(p.b, buffer, sizeof buffer, 0, &fd), -EMSGSIZE);
    assert_int_equal(fd, -1);
    close(null);
    pair_deinit(&p);
}

static void an_empty_packet_is_no_end_and_the_end_is_no_packet(void **state)
{
    struct pair p;
    char buffer[4];
    int fd = -1;

    (void)state;
    pair_init(&p);
    assert_int_equal(send(p.a, "", 0, 0), 0);
    assert_int_equal(packet_receive(p.b, buffer, sizeof buffer, 0, &fd), -EBADMSG);
    send_many(p.a, 0, 1);
    assert_int_equal(packet_receive(p.b, buffer, sizeof buffer, 0, &fd), -EBADMSG);
    assert_int_equal(fd, -1);
    assert_int_equal(shutdown(p.a, SHUT_WR), 0);
    assert_int_equal(packet_receive(p.b, buffer, sizeof buffer, 0, &fd), 0);
    pair_deinit(&p);
}

static void what_was_said_before_the_end_is_still_received(void **state)
{
    struct pair p;
    char buffer[4];
    int fd = -1;

    (void)state;
    pair_init(&p);
    assert_int_equal(packet_send(p.a, "bye", 3, -1, 0), 0);
    close(p.a);
    assert_int_equal(packet_receive(p.b, buffer, sizeof buffer, 0, &fd), 3);
    assert_int_equal(packet_receive(p.b, buffer, sizeof buffer, 0, &fd), 0);
    close(p.b);
}

static void a_peer_that_has_gone_is_an_error_and_no_signal(void **state)
{
    struct pair p;

    (void)state;
    pair_init(&p);
    close(p.b);
    assert_int_equal(packet_send(p.a, "x", 1, -1, 0), -EPIPE);
    close(p.a);
}

static void a_full_socket_is_said_and_nothing_is_sent_in_part(void **state)
{
    static char bytes[PACKET_MAX];
    struct pair p;
    size_t n = 0;
    int fd, r;

    (void)state;
    pair_init(&p);
    while ((r = packet_send(p.a, bytes, sizeof bytes, -1, MSG_DONTWAIT)) == 0)
        n++;
    assert_int_equal(r, -EAGAIN);
    assert_true(n > 0);
    for (; n > 0; n--)
        assert_int_equal(packet_receive(p.b, bytes, sizeof bytes, MSG_DONTWAIT, &fd), sizeof bytes);
    assert_int_equal(packet_receive(p.b, bytes, sizeof bytes, MSG_DONTWAIT, &fd), -EAGAIN);
    pair_deinit(&p);
}

static void a_descriptor_that_does_not_fit_this_process_is_noticed(void **state)
{
    struct rlimit before, tight;
    struct pair p;
    char buffer[4];
    int fd = -1, null;

    (void)state;
    pair_init(&p);
    null = open("/dev/null", O_RDONLY | O_CLOEXEC);
    assert_int_equal(packet_send(p.a, "x", 1, null, 0), 0);
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &before), 0);
    tight = before;
    tight.rlim_cur = 0;
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &tight), 0);
    assert_int_equal(packet_receive(p.b, buffer, sizeof buffer, 0, &fd), -EBADMSG);
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &before), 0);
    assert_int_equal(fd, -1);
    close(null);
    pair_deinit(&p);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(packets_keep_their_borders),
        TEST(the_longest_packet_arrives_whole),
        TEST(a_descriptor_arrives_and_is_not_inherited_by_programs),
        TEST(more_than_one_descriptor_is_refused_and_none_stays_open),
        TEST(a_packet_longer_than_the_room_is_refused_with_its_descriptor),
        TEST(an_empty_packet_is_no_end_and_the_end_is_no_packet),
        TEST(what_was_said_before_the_end_is_still_received),
        TEST(a_peer_that_has_gone_is_an_error_and_no_signal),
        TEST(a_full_socket_is_said_and_nothing_is_sent_in_part),
        TEST(a_descriptor_that_does_not_fit_this_process_is_noticed),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
