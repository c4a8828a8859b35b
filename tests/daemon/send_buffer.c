// The send buffer that a connection gets: small, and large enough for the longest packet where the machine allows that.
#include "daemon/conn/connection.h"

#include <sys/socket.h>

#include "proto/packet.h"
#include "tests/lib/op_fixture.h"

enum { BOUND = 2 * 48 * 1024, USUAL = 212992 };

static int wmem_max; // as the sysctl net.core.wmem_max would be

int __real_setsockopt(int fd, int level, int option, const void *value, socklen_t size);
int __wrap_setsockopt(int fd, int level, int option, const void *value, socklen_t size);

int __wrap_setsockopt(int fd, int level, int option, const void *value, socklen_t size)
{
    int allowed;

    if (level != SOL_SOCKET || option != SO_SNDBUF)
        return __real_setsockopt(fd, level, option, value, size);
    allowed = *(const int *)value < wmem_max ? *(const int *)value : wmem_max;
    return __real_setsockopt(fd, level, option, &allowed, sizeof allowed);
}

struct scene {
    struct fixture f;
    struct conn_env env;
    struct conn c;
    int peer;
};

static int buffer_of(int fd)
{
    socklen_t length = sizeof(int);
    int size = 0;

    assert_return_code(getsockopt(fd, SOL_SOCKET, SO_SNDBUF, &size, &length), errno);
    return size;
}

// Whether the kernel gives a send buffer of USUAL bytes, and does not cut it down to net.core.wmem_max.
static bool kernel_allows_usual(void)
{
    const int half = USUAL / 2, fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
    bool allows;

    assert_return_code(fd, errno);
    assert_return_code(__real_setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &half, sizeof half), errno);
    allows = buffer_of(fd) == USUAL;
    close(fd);
    return allows;
}

// MAX: as net.core.wmem_max.  USUAL: bytes, as the kernel counts them, before the daemon sets anything.
static void begin(struct scene *s, int max, int usual)
{
    const int half = usual / 2;
    int ends[2];

    if (!kernel_allows_usual()) {
        print_message("skipped: net.core.wmem_max is below 104 KiB\n");
        skip();
    }
    memset(s, 0, sizeof *s);
    fixture_init(&s->f);
    s->env.base = s->f.base;
    wmem_max = max;
    assert_int_equal(accept_init(&s->env), 0);
    assert_return_code(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends), errno);
    assert_return_code(__real_setsockopt(ends[0], SOL_SOCKET, SO_SNDBUF, &half, sizeof half), errno);
    assert_int_equal(buffer_of(ends[0]), usual);
    s->c.env = &s->env;
    s->c.fd = ends[0];
    s->peer = ends[1];
    accept_begin(&s->c);
}

static void end(struct scene *s)
{
    accept_spoke(&s->c);
    close(s->c.fd);
    close(s->peer);
    accept_deinit(&s->env);
    fixture_deinit(&s->f);
}

static void the_longest_packet_fits(const struct scene *s)
{
    static uint8_t bytes[PACKET_MAX], got[PACKET_MAX + 1];

    memset(bytes, 7, sizeof bytes);
    assert_int_equal(packet_send(s->c.fd, bytes, sizeof bytes, -1, MSG_DONTWAIT), 0);
    assert_int_equal(recv(s->peer, got, sizeof got, 0), sizeof bytes);
    assert_memory_equal(got, bytes, sizeof bytes);
}

static void a_large_default_is_bounded(void **state)
{
    struct scene s;

    (void)state;
    begin(&s, USUAL, USUAL);
    assert_int_equal(buffer_of(s.c.fd), BOUND);
    the_longest_packet_fits(&s);
    end(&s);
}

static void a_bound_that_the_machine_does_not_allow_is_not_set(void **state)
{
    static const int maxima[] = {4608, 16 * 1024, 32 * 1024};
    struct scene s;

    (void)state;
    for (size_t i = 0; i < sizeof maxima / sizeof *maxima; i++) {
        begin(&s, maxima[i], USUAL);
        assert_int_equal(buffer_of(s.c.fd), USUAL);
        the_longest_packet_fits(&s);
        assert_false(s.env.told_of_buffers);
        end(&s);
    }
    // As soon as the longest packet fits, it is.
    begin(&s, 33 * 1024, USUAL);
    assert_int_equal(buffer_of(s.c.fd), 66 * 1024);
    the_longest_packet_fits(&s);
    end(&s);
}

// A daemon without the privilege cannot raise it, and says so in the log.
static void a_default_that_is_too_small_is_raised_by_who_may(void **state)
{
    struct scene s;

    (void)state;
    begin(&s, 16 * 1024, 32 * 1024);
    assert_int_equal(s.env.told_of_buffers, buffer_of(s.c.fd) < PACKET_MAX);
    if (!s.env.told_of_buffers)
        the_longest_packet_fits(&s);
    end(&s);
    // A small default that may be raised.
    begin(&s, USUAL, 32 * 1024);
    assert_int_equal(buffer_of(s.c.fd), BOUND);
    the_longest_packet_fits(&s);
    end(&s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_large_default_is_bounded),
        TEST(a_bound_that_the_machine_does_not_allow_is_not_set),
        TEST(a_default_that_is_too_small_is_raised_by_who_may),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
