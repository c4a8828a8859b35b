// The HTTP server accepts clients that have gone as fast as they come, between other work, and those that ask a few at
// a time.  While these are counted, the loop does not wait, so that no time has to pass.
#include <arpa/inet.h>
#include <event2/event.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include "daemon/http/server.h"
#include "tests/lib/harness.h"

enum {
    GONE = 36,
    ASKING = 24,
    BACKLOG = 64,
    TURNS = 16,
    MOST_AT_ONCE = 8, // that are answered before the listener rests
};

struct scene {
    struct event_base *base;
    struct server *server;
    struct sockaddr_in address;
    int clients[ASKING];
    unsigned n_answered;
};

static void answer(void *data, struct guest *guest, const struct http_request *request)
{
    struct scene *s = data;

    (void)request;
    s->n_answered++;
    server_reply(guest, 200, "", NULL, "well");
}

static void scene_init(struct scene *s)
{
    socklen_t size = sizeof s->address;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

    *s = (struct scene){.base = event_base_new(), .address.sin_family = AF_INET};
    s->address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    assert_return_code(fd, errno);
    assert_return_code(bind(fd, (const struct sockaddr *)&s->address, sizeof s->address), errno);
    assert_return_code(listen(fd, BACKLOG), errno);
    assert_return_code(getsockname(fd, (struct sockaddr *)&s->address, &size), errno);
    assert_non_null(s->base);
    s->server = server_new(s->base, fd, answer, s);
    assert_non_null(s->server);
    for (int i = 0; i < ASKING; i++)
        s->clients[i] = -1;
}

static void scene_deinit(struct scene *s)
{
    for (int i = 0; i < ASKING; i++)
        if (s->clients[i] >= 0)
            close(s->clients[i]);
    server_free(s->server);
    event_base_free(s->base);
}

static int connect_to(const struct scene *s)
{
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    assert_return_code(fd, errno);
    assert_return_code(connect(fd, (const struct sockaddr *)&s->address, sizeof s->address), errno);
    return fd;
}

static void connect_and_ask(struct scene *s, int i)
{
    static const char request[] = "GET / HTTP/1.1\r\nHost: localhost\r\n\r\n";

    s->clients[i] = connect_to(s);
    assert_int_equal(send(s->clients[i], request, sizeof request - 1, MSG_NOSIGNAL), sizeof request - 1);
}

// Every second one as a program ends that has not read what came.
static void connect_and_go(const struct scene *s, int i)
{
    const struct linger by_reset = {.l_onoff = 1};
    int fd = connect_to(s);

    if (i % 2)
        assert_return_code(setsockopt(fd, SOL_SOCKET, SO_LINGER, &by_reset, sizeof by_reset), errno);
    close(fd);
}

static void run(const struct scene *s)
{
    for (int i = 0; i < TURNS; i++)
        event_base_loop(s->base, EVLOOP_NONBLOCK);
}

static void who_has_gone_does_not_keep_others_waiting(void **state)
{
    struct scene s;

    (void)state;
    scene_init(&s);
    for (int i = 0; i < GONE; i++)
        connect_and_go(&s, i);
    connect_and_ask(&s, 0);
    run(&s);
    assert_int_equal(s.n_answered, 1);
    scene_deinit(&s);
}

static void a_client_that_asked_before_it_went_takes_its_place(void **state)
{
    struct scene s;

    (void)state;
    scene_init(&s);
    connect_and_ask(&s, 0);
    shutdown(s.clients[0], SHUT_WR);
    run(&s);
    assert_int_equal(s.n_answered, 1);
    scene_deinit(&s);
}

// The others are answered later.
static void of_those_who_ask_few_are_accepted_before_the_listener_rests(void **state)
{
    struct scene s;

    (void)state;
    scene_init(&s);
    for (int i = 0; i < ASKING; i++)
        connect_and_ask(&s, i);
    event_base_loop(s.base, EVLOOP_NONBLOCK);
    assert_in_range(s.n_answered, 1, MOST_AT_ONCE);
    while (s.n_answered < ASKING)
        event_base_loop(s.base, EVLOOP_ONCE);
    scene_deinit(&s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(who_has_gone_does_not_keep_others_waiting),
        TEST(a_client_that_asked_before_it_went_takes_its_place),
        TEST(of_those_who_ask_few_are_accepted_before_the_listener_rests),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
