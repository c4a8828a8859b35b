// An HTTP server whose clients cannot hold up the daemon's other clients.
//
// It runs on the daemon's loop, because what it shows belongs to the loop.  libevent reads and writes HTTP, and bounds
// the length of a request and the time without any progress.  It does not bound how many connections there are, how
// many come in one turn of the loop, how many requests a connection sends, and how long it lasts.  So here:
//   - a connection is for one request: each reply closes it;
//   - at most MOST_GUESTS connections exist, and ACCEPTS_A_TURN are accepted before others have their turn: then the
//     listener rests for a moment.  Further clients wait in the kernel's queue, or are refused by the kernel;
//   - a connection ends after DEADLINE_MS, however slowly it sends or reads.
// All requests of a second together cost the loop as much as one (metrics/metrics.c), beside some ten microseconds for
// each connection, some hundreds of which come in a second at most.
//
// libevent (2.1) does not hand out the connections of its server before their requests have been read.  Each connection
// has a bufferevent that is made here (make_stream), and libevent makes its connection the argument of the
// bufferevent's callbacks.  So it is found as soon as libevent is done with accepting (on_arrived).
#include "daemon/http/server.h"

#include <event2/buffer.h>
#include <event2/bufferevent.h>
#include <event2/event.h>
#include <event2/http.h>
#include <event2/listener.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "proto/util/clock.h"

enum {
    MOST_GUESTS = 32,
    ACCEPTS_A_TURN = 4,
    REST_MS = 10,
    WATCH_MS = 500,   // between two looks at the deadlines
    IDLE_SECONDS = 5, // without any byte
    DEADLINE_MS = 20000,
    MOST_HEADERS = 8192, // bytes of a request
};

// A connection.
struct guest {
    struct server *server;
    struct bufferevent *stream;           // a reference, until the connection is known
    struct evhttp_connection *connection; // NULL: not known yet, if there is a stream; else this place is free
    uint64_t until;                       // ms, monotonic
};

struct server {
    struct event_base *base;
    struct evhttp *http;
    struct evconnlistener *listener; // HTTP's
    struct event *timer;
    struct event *arrived; // becomes active when there are guests whose connections are not known
    struct guest guests[MOST_GUESTS];
    unsigned n_guests;
    unsigned n_accepted; // since the listener has rested
    void (*answer)(void *data, struct evhttp_request *request);
    void *data;
};

static void wait_ms(struct server *s, unsigned ms)
{
    const struct timeval delay = {.tv_sec = ms / 1000, .tv_usec = (suseconds_t)(ms % 1000 * 1000)};

    event_add(s->timer, &delay);
}

static void rest(struct server *s)
{
    evconnlistener_disable(s->listener);
    wait_ms(s, REST_MS);
}

void server_tick(struct server *s)
{
    const uint64_t now = clock_now();

    for (unsigned i = 0; i < MOST_GUESTS; i++)
        if (s->guests[i].connection && now >= s->guests[i].until)
            evhttp_connection_free(s->guests[i].connection); // on_gone follows
    s->n_accepted = 0;
    if (s->n_guests < MOST_GUESTS)
        evconnlistener_enable(s->listener);
    if (s->n_guests > 0)
        wait_ms(s, WATCH_MS);
}

static void on_timer(evutil_socket_t fd, short what, void *data)
{
    (void)fd;
    (void)what;
    server_tick(data);
}

static void forget(struct guest *g)
{
    g->server->n_guests--;
    *g = (struct guest){.server = g->server};
}

// libevent is about to free the connection.
static void on_gone(struct evhttp_connection *connection, void *data)
{
    struct guest *g = data;
    struct server *s = g->server;

    (void)connection;
    forget(g);
    // The listener was resting because the house was full.
    if (s->n_guests == MOST_GUESTS - 1)
        wait_ms(s, REST_MS);
}

// Nothing has been read from the new connections: the loop has not turned since they were accepted.
static void on_arrived(evutil_socket_t fd, short what, void *data)
{
    struct server *s = data;

    (void)fd;
    (void)what;
    for (unsigned i = 0; i < MOST_GUESTS; i++) {
        struct guest *g = &s->guests[i];
        struct bufferevent *stream = g->stream;
        bufferevent_event_cb callback;
        void *connection;

        if (!stream)
            continue;
        bufferevent_getcb(stream, NULL, NULL, &callback, &connection);
        g->stream = NULL;
        if (callback) {
            g->connection = connection;
            evhttp_connection_set_closecb(g->connection, on_gone, g);
        } else { // libevent had no memory for the connection
            forget(g);
            if (bufferevent_getfd(stream) < 0) // nor has it taken the stream
                bufferevent_free(stream);
        }
        bufferevent_decref(stream);
    }
}

static struct guest *free_place(struct server *s)
{
    unsigned i = 0;

    while (s->guests[i].stream || s->guests[i].connection)
        i++;
    return &s->guests[i];
}

// For libevent, which has accepted a connection.
static struct bufferevent *make_stream(struct event_base *base, void *data)
{
    struct server *s = data;
    // The stream closes the socket, and not before the loop has forgotten it: another socket could get its number.
    struct bufferevent *stream = bufferevent_socket_new(base, -1, BEV_OPT_CLOSE_ON_FREE);

    if (stream && s->n_guests < MOST_GUESTS) {
        struct guest *g = free_place(s);

        bufferevent_incref(stream);
        *g = (struct guest){.server = s, .stream = stream, .until = clock_now() + DEADLINE_MS};
        s->n_guests++;
        event_active(s->arrived, EV_TIMEOUT, 0);
    }
    if (s->n_guests == MOST_GUESTS || ++s->n_accepted == ACCEPTS_A_TURN)
        rest(s);
    else if (!event_pending(s->timer, EV_TIMEOUT, NULL))
        wait_ms(s, WATCH_MS);
    return stream;
}

// Most often, descriptors have run out.
static void on_accept_error(struct evconnlistener *listener, void *data)
{
    (void)listener;
    rest(data);
}

static void on_request(struct evhttp_request *request, void *data)
{
    const enum evhttp_cmd_type method = evhttp_request_get_command(request);
    struct server *s = data;

    if (method == EVHTTP_REQ_GET || method == EVHTTP_REQ_HEAD) {
        s->answer(s->data, request);
        return;
    }
    evhttp_add_header(evhttp_request_get_output_headers(request), "Allow", "GET, HEAD");
    server_reply(request, HTTP_BADMETHOD, "only GET and HEAD: nothing can be changed here", NULL, NULL);
}

void server_reply(struct evhttp_request *request, int code, const char *sentence, const char *type,
                  struct evbuffer *body)
{
    struct evkeyvalq *headers = evhttp_request_get_output_headers(request);
    struct evbuffer *out = body ? body : evbuffer_new();
    char length[24];

    if (!body && out)
        evbuffer_add_printf(out, "%s\n", sentence);
    snprintf(length, sizeof length, "%zu", out ? evbuffer_get_length(out) : 0);
    evhttp_add_header(headers, "Connection", "close");
    evhttp_add_header(headers, "Content-Length", length);
    evhttp_add_header(headers, "Content-Type", type ? type : "text/plain; charset=utf-8");
    evhttp_add_header(headers, "Cache-Control", "no-store");
    evhttp_add_header(headers, "X-Content-Type-Options", "nosniff");
    evhttp_send_reply(request, code, body ? "OK" : sentence,
                      evhttp_request_get_command(request) == EVHTTP_REQ_HEAD ? NULL : out);
    if (out)
        evbuffer_free(out);
}

static bool make_http(struct server *s)
{
    s->http = evhttp_new(s->base);
    s->timer = s->http ? evtimer_new(s->base, on_timer, s) : NULL;
    s->arrived = s->timer ? evtimer_new(s->base, on_arrived, s) : NULL;
    if (!s->arrived)
        return false;
    evhttp_set_timeout(s->http, IDLE_SECONDS);
    evhttp_set_max_headers_size(s->http, MOST_HEADERS);
    evhttp_set_max_body_size(s->http, 0);
    // All methods that libevent knows, so that the reply can say which ones are allowed.
    evhttp_set_allowed_methods(s->http, EVHTTP_REQ_GET | EVHTTP_REQ_HEAD | EVHTTP_REQ_POST | EVHTTP_REQ_PUT |
                                            EVHTTP_REQ_DELETE | EVHTTP_REQ_OPTIONS | EVHTTP_REQ_TRACE |
                                            EVHTTP_REQ_CONNECT | EVHTTP_REQ_PATCH);
    evhttp_set_bevcb(s->http, make_stream, s);
    evhttp_set_gencb(s->http, on_request, s);
    return true;
}

struct server *server_new(struct event_base *base, int fd, void (*answer)(void *data, struct evhttp_request *request),
                          void *data)
{
    struct server *s = calloc(1, sizeof *s);

    if (s) {
        *s = (struct server){.base = base, .answer = answer, .data = data};
        if (make_http(s))
            s->listener = evconnlistener_new(base, NULL, NULL, LEV_OPT_CLOSE_ON_FREE | LEV_OPT_CLOSE_ON_EXEC, 0, fd);
        if (s->listener && evhttp_bind_listener(s->http, s->listener)) {
            evconnlistener_set_error_cb(s->listener, on_accept_error);
            return s;
        }
    }
    if (s && s->listener)
        evconnlistener_free(s->listener);
    else
        close(fd);
    server_free(s);
    return NULL;
}

void server_free(struct server *s)
{
    if (!s)
        return;
    if (s->http)
        evhttp_free(s->http); // and the listener, and all connections
    for (unsigned i = 0; i < MOST_GUESTS; i++)
        if (s->guests[i].stream)
            bufferevent_decref(s->guests[i].stream);
    if (s->timer)
        event_free(s->timer);
    if (s->arrived)
        event_free(s->arrived);
    free(s);
}
