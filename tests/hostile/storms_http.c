// Storms (tests/lib/storm.h) at the port of the metrics: silence, requests that never end, come in single bytes, are
// too long or many at once, replies that nobody reads, connections that end by half or at once.
//
// Clients of the daemon's own socket are served as ever, the daemon has few descriptors open for all of them, and who
// asks for the metrics meanwhile gets them.
#include "tests/lib/actor.h"
#include "tests/lib/scratch.h"
#include "tests/lib/storm.h"

#include <inttypes.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/socket.h>

#include "proto/util/clock.h"

enum {
    GROUPS = 200, // make the metrics long
    CROWD = 200,  // connections of an attacker
    PAUSE_US =
        20 * 1000, // between two of them: the kernel keeps some that wait, and refuses others when these are many
    ASKS = 20,
    MOST_GUESTS = 32, // of the server
    MORE_FDS = 16,    // that the daemon may have open beside those
};

static struct test_daemon d;
static struct sockaddr_in address = {.sin_family = AF_INET};
static unsigned n_fds; // of the daemon, when nobody asks

static const char request[] = "GET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n";

// -1: refused, or not yet connected.
static int connect_to(int flags, int receive_buffer)
{
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | flags, 0);

    if (fd < 0)
        return -1;
    if (receive_buffer > 0)
        setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &receive_buffer, sizeof receive_buffer);
    if (connect(fd, (const struct sockaddr *)&address, sizeof address) == 0 || errno == EINPROGRESS)
        return fd;
    close(fd);
    return -1;
}

static void put(int fd, const void *bytes, size_t n)
{
    if (send(fd, bytes, n, MSG_DONTWAIT | MSG_NOSIGNAL) < 0)
        return;
}

// The place of one connection in a crowd, which a new one takes.
static int *next_place(int crowd[static CROWD], unsigned n)
{
    int *place = &crowd[n % CROWD];

    if (n >= CROWD && *place >= 0)
        close(*place);
    return place;
}

static void be_silent(void)
{
    static int crowd[CROWD];
    static unsigned n;

    *next_place(crowd, n) = connect_to(SOCK_NONBLOCK, 0);
    n++;
    usleep(PAUSE_US);
}

static void send_single_bytes(void)
{
    static int crowd[CROWD];
    static unsigned n, at;

    if (n < CROWD)
        crowd[n++] = connect_to(SOCK_NONBLOCK, 0);
    for (unsigned i = 0; i < n; i++)
        put(crowd[i], "X", 1);
    if (++at % 50 == 0)
        *next_place(crowd, CROWD + at / 50) = connect_to(SOCK_NONBLOCK, 0);
    usleep(PAUSE_US / 50);
}

static void send_long_heads(void)
{
    static char head[100000];
    int fd = connect_to(0, 0);

    memset(head, 'y', sizeof head);
    memcpy(head, "GET / HTTP/1.1\r\nX: ", 19);
    put(fd, head, sizeof head);
    close(fd);
}

static void read_all(int fd)
{
    static char bytes[65536];

    while (recv(fd, bytes, sizeof bytes, 0) > 0)
        continue;
}

static void send_many_at_once(void)
{
    char many[50 * sizeof request];
    size_t n = 0;
    int fd = connect_to(0, 0);

    for (int i = 0; i < 50; i++, n += sizeof request - 1)
        memcpy(many + n, request, sizeof request);
    put(fd, many, n);
    read_all(fd);
    close(fd);
}

static void close_by_half(void)
{
    static unsigned n;
    int fd = connect_to(0, 0);

    put(fd, request, n++ % sizeof request);
    shutdown(fd, SHUT_WR);
    read_all(fd);
    close(fd);
}

static void never_read(void)
{
    static int crowd[CROWD];
    static unsigned n;
    int *place = next_place(crowd, n++);

    *place = connect_to(0, 2048);
    put(*place, request, sizeof request - 1);
    usleep(PAUSE_US);
}

static void ask_and_read(void)
{
    int fd = connect_to(0, 0);

    put(fd, request, sizeof request - 1);
    read_all(fd);
    close(fd);
}

static void come_and_go(void)
{
    static const struct linger at_once = {.l_onoff = 1};
    int fd = connect_to(SOCK_NONBLOCK, 0);

    setsockopt(fd, SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once);
    close(fd);
    usleep(PAUSE_US / 10);
}

static const struct storm storms[] = {
    {"HTTP: silence", be_silent, NULL},
    {"HTTP: single bytes", send_single_bytes, NULL},
    {"HTTP: long heads", send_long_heads, NULL},
    {"HTTP: many requests at once", send_many_at_once, NULL},
    {"HTTP: connections that end by half", close_by_half, NULL},
    {"HTTP: replies that nobody reads", never_read, NULL},
    {"HTTP: metrics", ask_and_read, NULL},
    {"HTTP: connections that come and go", come_and_go, NULL},
};

// Whether the whole reply has come.  A client whose place is needed may get none: then it asks again.
static bool is_answered(void)
{
    char text[4096], *length, *body;
    size_t n = 0, wanted = SIZE_MAX;
    int fd = connect_to(0, 0);
    ssize_t got = -1;

    if (fd < 0)
        return false;
    put(fd, request, sizeof request - 1);
    while (n < sizeof text - 1 && (got = recv(fd, text + n, sizeof text - 1 - n, 0)) > 0)
        n += (size_t)got;
    text[n] = '\0';
    body = strstr(text, "\r\n\r\n");
    length = strstr(text, "Content-Length: ");
    if (body && length && strncmp(text, "HTTP/1.1 200 ", 13) == 0)
        wanted = (size_t)(body + 4 - text) + strtoul(length + 16, NULL, 10);
    while (n < wanted && (got = recv(fd, text, sizeof text, 0)) > 0)
        n += (size_t)got;
    close(fd);
    return n == wanted;
}

static void ask_beside_them(void)
{
    uint64_t began = clock_now_us(), longest = 0;
    unsigned tries = 0, most_fds = 0;

    for (int i = 0; i < ASKS; i++) {
        uint64_t at = clock_now_us();

        do {
            tries++;
            most_fds = process_count_fds(d.pid) > most_fds ? process_count_fds(d.pid) : most_fds;
        } while (!is_answered());
        longest = clock_now_us() - at > longest ? clock_now_us() - at : longest;
    }
    print_message("[ NOTE     ] %d answers over HTTP with %u tries, %" PRIu64 " us each in the mean, %" PRIu64
                  " at most; the daemon has %u descriptors more\n",
                  ASKS, tries, (clock_now_us() - began) / ASKS, longest, most_fds - n_fds);
    assert_in_range(most_fds, 0, n_fds + MOST_GUESTS + MORE_FDS);
}

static void start(void)
{
    static const char found[] = "metrics are served at http://localhost:";
    char *text = NULL, *log, *at;
    size_t size;
    FILE *f = open_memstream(&text, &size);

    assert_non_null(f);
    fputs("[daemon]\nkeep_free = 0\nmetrics_listen = localhost:0\n", f);
    for (int i = 0; i < GROUPS; i++)
        fprintf(f, "[quota group:+%d]\nbytes = 1G\n", 100000 + i);
    assert_int_equal(fclose(f), 0);
    test_daemon_start(&d, text, NULL);
    free(text);
    log = scratch_read_file(d.log);
    assert_non_null(log);
    at = strstr(log, found);
    assert_non_null(at);
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    address.sin_port = htons((uint16_t)strtoul(at + sizeof found - 1, NULL, 10));
    free(log);
    n_fds = process_count_fds(d.pid);
}

static void storms_pass(void **state)
{
    struct storm_place place = {.d = &d, .look = ask_beside_them};

    (void)state;
    if (geteuid() != 0) {
        print_message("[ NOTE     ] only root can be other users\n");
        skip();
        return;
    }
    start();
    ask_beside_them();
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
