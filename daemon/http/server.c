// An HTTP server whose clients cannot hold up the daemon's other clients.
//
// It runs on the daemon's loop, because what it shows belongs to the loop.  So everything is bounded:
//   - a connection is for one request, of MOST_HEAD bytes and without a body: each reply closes it;
//   - at most MOST_GUESTS connections exist, and ACCEPTS_A_TURN are accepted before others have their turn.  After
//     so many, or MOST_GONE that had gone before and take no place, the listener rests for a moment.  Further clients
//     wait in the kernel's queue, or are refused by the kernel;
//   - a connection ends after IDLE_MS without progress, and after DEADLINE_MS, however slowly it sends or reads;
//   - WRITTEN_A_TURN bytes are sent to a client before others have their turn.
//
// No client that holds a place keeps others out: when all are taken, the client that came first makes room.  So each
// client has MOST_GUESTS / ACCEPTS_A_TURN * REST_US, whatever others do: a request takes a small part of that.  But a
// program that connects faster than the listener accepts, some 400 times a second, or 4,000 if it goes again at once,
// fills the kernel's queue, and others wait there, or connect again (SECURITY.md).
//
// All requests of a second together cost the loop as much as one (metrics/metrics.c), beside some ten microseconds for
// each connection, some hundreds of which come in a second at most.
//
// The server of libevent (evhttp, 2.1) has none of these bounds, and ends the process when getnameinfo(3) fails.  When
// the loop has no memory for its events, it closes a descriptor twice, which may be another client's by then.
//
// Connections need no memory but for what they are sent: their places, with their events, exist from the start.
#include "daemon/http/server.h"

#include <errno.h>
#include <event2/buffer.h>
#include <event2/event.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "daemon/http/request.h"
#include "proto/util/checked.h"
#include "proto/util/clock.h"

enum {
    MOST_GUESTS = 32,
    ACCEPTS_A_TURN = 4,
    MOST_GONE = 40, // clients, until the listener rests: half a millisecond of the loop, a few at a time
    REST_US = 10 * 1000,
    IDLE_MS = 5 * 1000,
    DEADLINE_MS = 20 * 1000,
    WRITTEN_A_TURN = 1 << 16, // bytes
    LINGER_MS = 1000,         // after the reply, for what the client still sends
    MOST_LINGERING = 1 << 20, // bytes of that
    MOST_HEAD = 8192,         // bytes of a request
};

enum guest_state { GUEST_READS, GUEST_WRITES, GUEST_LINGERS };

// A place for a connection.
struct guest {
    struct server *server;
    int fd; // -1: the place is free
    enum guest_state state;
    struct event *event;
    uint64_t number;            // grows with each connection
    uint64_t until, idle_until; // ms, monotonic
    bool is_head;
    struct evbuffer *out; // what is still to be sent
    size_t n;             // bytes read; of a guest that lingers: since then
    char head[MOST_HEAD + 1];
};

struct server {
    struct event_base *base;
    int fd;
    struct event *listener; // somebody connects
    struct event *timer;    // the listener has rested
    struct guest guests[MOST_GUESTS];
    uint64_t n_accepted;
    unsigned n_received, n_gone; // clients since the listener has rested: that got a place, and that had gone
    void (*answer)(void *data, struct guest *guest, const struct http_request *request);
    void *data;
};

static void dismiss(struct guest *g)
{
    event_del(g->event);
    if (g->out)
        evbuffer_free(g->out);
    g->out = NULL;
    close(g->fd);
    g->fd = -1;
}

static void on_guest(evutil_socket_t fd, short what, void *data);

// Goes on when the socket is ready.  PROGRESS: the client has done something.
static void await(struct guest *g, short what, bool progress)
{
    const uint64_t now = clock_now();
    struct timeval timeout;
    uint64_t left;

    if (progress)
        g->idle_until = now + (g->state == GUEST_LINGERS ? LINGER_MS : IDLE_MS);
    left = u64_min(g->until, g->idle_until);
    left = left > now ? left - now : 0;
    timeout = (struct timeval){.tv_sec = (time_t)(left / 1000), .tv_usec = (suseconds_t)(left % 1000 * 1000)};
    if (left == 0 || event_assign(g->event, g->server->base, g->fd, what, on_guest, g) < 0 ||
        event_add(g->event, &timeout) < 0)
        dismiss(g);
}

// Closing a socket with something unread makes the kernel throw away what the client has not received yet.
static void linger(struct guest *g)
{
    shutdown(g->fd, SHUT_WR);
    g->state = GUEST_LINGERS;
    g->n = 0;
    await(g, EV_READ, true);
}

static void write_some(struct guest *g)
{
    int n = evbuffer_write_atmost(g->out, g->fd, WRITTEN_A_TURN);

    if (n < 0 && errno != EAGAIN && errno != EINTR)
        dismiss(g);
    else if (evbuffer_get_length(g->out) == 0)
        linger(g);
    else
        await(g, EV_WRITE, n > 0);
}

void server_reply(struct guest *g, int code, const char *headers, struct evbuffer *body, const char *sentence)
{
    const size_t n = body ? evbuffer_get_length(body) : strlen(sentence) + 1;
    bool good;

    g->out = evbuffer_new();
    good = g->out && evbuffer_add_printf(g->out,
                                         "HTTP/1.1 %d %s\r\nConnection: close\r\nContent-Length: %zu\r\n"
                                         "Cache-Control: no-store\r\nX-Content-Type-Options: nosniff\r\n"
                                         "Cross-Origin-Resource-Policy: same-origin\r\n%s%s\r\n",
                                         code, body ? "OK" : "Refused", n,
                                         body ? "" : "Content-Type: text/plain; charset=utf-8\r\n", headers) >= 0;
    if (good && !g->is_head)
        good = body ? evbuffer_add_buffer(g->out, body) == 0 : evbuffer_add_printf(g->out, "%s\n", sentence) >= 0;
    if (body)
        evbuffer_free(body);
    g->state = GUEST_WRITES;
    if (good)
        write_some(g);
    else
        dismiss(g);
}

static const char *sentence_of(int status)
{
    switch (status) {
    case 413:
        return "a request has no body here";
    case 505:
        return "only HTTP/1.0 and HTTP/1.1";
    default:
        return "this is no request of HTTP/1.1";
    }
}

static void serve(struct guest *g)
{
    struct http_request request;
    int status = http_request_parse(g->head, &request);

    g->is_head = status == 0 && request.method == HTTP_HEAD;
    if (status)
        server_reply(g, status, "", NULL, sentence_of(status));
    else if (request.method == HTTP_OTHER)
        server_reply(g, 405, "Allow: GET, HEAD\r\n", NULL, "only GET and HEAD: nothing can be changed here");
    else
        g->server->answer(g->server->data, g, &request);
}

// Whether the empty line has come behind the head.  The first one counts, whatever ends the lines: what is behind it is
// no header, also if all of it comes in one piece.
static bool is_whole(struct guest *g)
{
    char *end;

    g->head[g->n] = '\0';
    for (end = strchr(g->head, '\n'); end; end = strchr(end + 1, '\n'))
        if (end[1] == '\n' || (end[1] == '\r' && end[2] == '\n'))
            break;
    if (!end)
        return false;
    if (end > g->head && end[-1] == '\r')
        end--;
    *end = '\0';
    return true;
}

static void read_some(struct guest *g)
{
    ssize_t n = recv(g->fd, g->head + g->n, MOST_HEAD - g->n, 0);

    if (n < 0 && (errno == EAGAIN || errno == EINTR)) {
        await(g, EV_READ, false);
        return;
    }
    if (n <= 0) {
        dismiss(g);
        return;
    }
    g->n += (size_t)n;
    // A NUL would hide what is behind it.
    if (memchr(g->head, '\0', g->n))
        server_reply(g, 400, "", NULL, sentence_of(400));
    else if (is_whole(g))
        serve(g);
    else if (g->n == MOST_HEAD)
        server_reply(g, 431, "", NULL, "the request is too long");
    else
        await(g, EV_READ, true);
}

static void drop_some(struct guest *g)
{
    ssize_t n = recv(g->fd, g->head, MOST_HEAD, 0);

    if (n > 0)
        g->n += (size_t)n;
    if (n == 0 || (n < 0 && errno != EAGAIN && errno != EINTR) || g->n > MOST_LINGERING)
        dismiss(g);
    else
        await(g, EV_READ, false);
}

static void on_guest(evutil_socket_t fd, short what, void *data)
{
    struct guest *g = data;

    (void)fd;
    if (what & EV_TIMEOUT)
        dismiss(g);
    else if (g->state == GUEST_READS)
        read_some(g);
    else if (g->state == GUEST_WRITES)
        write_some(g);
    else
        drop_some(g);
}

static struct guest *make_room(struct server *s)
{
    struct guest *first = &s->guests[0];

    for (unsigned i = 0; i < MOST_GUESTS; i++) {
        if (s->guests[i].fd < 0)
            return &s->guests[i];
        if (s->guests[i].number < first->number)
            first = &s->guests[i];
    }
    dismiss(first);
    return first;
}

// Of most clients the request has come already.
static void receive(struct server *s, int fd)
{
    struct guest *g = make_room(s);
    const uint64_t now = clock_now();

    g->fd = fd;
    g->number = ++s->n_accepted;
    g->state = GUEST_READS;
    g->is_head = false;
    g->n = 0;
    g->until = now + DEADLINE_MS;
    g->idle_until = now + IDLE_MS;
    read_some(g);
}

// Whether the client has closed the connection already, and asked for nothing.
static bool has_gone(int fd)
{
    char byte;
    ssize_t n = recv(fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT);

    return n == 0 || (n < 0 && errno != EAGAIN);
}

// Stops accepting for a moment.  Without the timer nobody would accept again: rather the loop comes back at once.
static void rest(struct server *s)
{
    static const struct timeval pause = {.tv_usec = REST_US};

    s->n_received = s->n_gone = 0;
    if (event_add(s->timer, &pause) == 0)
        event_del(s->listener);
}

// False: nobody waits.
static bool accept_one(struct server *s)
{
    int fd = accept4(s->fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);

    if (fd < 0)
        return false;
    if (has_gone(fd)) {
        s->n_gone++;
        close(fd);
        return true;
    }
    s->n_received++;
    receive(s, fd);
    return true;
}

static void on_connect(evutil_socket_t listening, short what, void *data)
{
    struct server *s = data;

    (void)listening;
    (void)what;
    for (int i = 0; i < ACCEPTS_A_TURN; i++)
        if (!accept_one(s) || s->n_received >= ACCEPTS_A_TURN || s->n_gone >= MOST_GONE) {
            rest(s);
            return;
        }
}

void server_tick(struct server *s)
{
    const uint64_t now = clock_now();

    for (unsigned i = 0; i < MOST_GUESTS; i++)
        if (s->guests[i].fd >= 0 && now >= s->guests[i].until)
            dismiss(&s->guests[i]);
    event_add(s->listener, NULL);
}

static void on_timer(evutil_socket_t fd, short what, void *data)
{
    (void)fd;
    (void)what;
    server_tick(data);
}

static bool make_events(struct server *s)
{
    for (unsigned i = 0; i < MOST_GUESTS; i++) {
        struct guest *g = &s->guests[i];

        g->server = s;
        g->event = event_new(s->base, -1, 0, on_guest, g);
        if (!g->event)
            return false;
    }
    s->timer = evtimer_new(s->base, on_timer, s);
    s->listener = event_new(s->base, s->fd, EV_READ | EV_PERSIST, on_connect, s);
    return s->timer && s->listener && event_add(s->listener, NULL) == 0;
}

struct server *server_new(struct event_base *base, int fd,
                          void (*answer)(void *data, struct guest *guest, const struct http_request *request),
                          void *data)
{
    struct server *s = calloc(1, sizeof *s);

    if (!s) {
        close(fd);
        return NULL;
    }
    s->base = base;
    s->fd = fd;
    s->answer = answer;
    s->data = data;
    for (unsigned i = 0; i < MOST_GUESTS; i++)
        s->guests[i].fd = -1;
    if (make_events(s))
        return s;
    server_free(s);
    return NULL;
}

void server_free(struct server *s)
{
    if (!s)
        return;
    for (unsigned i = 0; i < MOST_GUESTS; i++) {
        struct guest *g = &s->guests[i];

        if (g->fd >= 0)
            dismiss(g);
        if (g->event)
            event_free(g->event);
    }
    if (s->listener)
        event_free(s->listener);
    if (s->timer)
        event_free(s->timer);
    close(s->fd);
    free(s);
}
