// What is served: see site.h.
//
// Any program on this machine may connect to a loopback address, and a web browser is one: a page from elsewhere must
// not be able to read this one.  So a request that comes under another host's name is refused (DNS rebinding), no other
// origin is allowed anything, and the page runs no script but its own.
#include "daemon/http/site.h"

#include <event2/buffer.h>
#include <event2/http.h>
#include <event2/keyvalq_struct.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "daemon/http/accept.h"
#include "daemon/http/page.h"
#include "daemon/http/server.h"
#include "daemon/http/state.h"
#include "daemon/metrics/metrics.h"
#include "daemon/request/metrics.h"
#include "daemon/request/request.h"
#include "proto/util/clock.h"

struct site {
    struct request_env *env;
    struct snapshot *state; // the last one; NULL: none yet
};

struct site *site_new(struct request_env *env)
{
    struct site *s = calloc(1, sizeof *s);

    if (s)
        s->env = env;
    return s;
}

void site_free(struct site *s)
{
    if (s)
        snapshot_unref(s->state);
    free(s);
}

static void release(const void *bytes, size_t n, void *data)
{
    (void)bytes;
    (void)n;
    snapshot_unref(data);
}

// Takes the reference to SNAPSHOT; NULL: no memory.  All who are sent a snapshot share its bytes.
static void reply_snapshot(struct evhttp_request *request, struct snapshot *snapshot, const char *type)
{
    struct evbuffer *body = snapshot ? evbuffer_new() : NULL;

    if (body && evbuffer_add_reference(body, snapshot->data, snapshot->n, release, snapshot) == 0) {
        server_reply(request, HTTP_OK, NULL, type, body);
        return;
    }
    if (body)
        evbuffer_free(body);
    snapshot_unref(snapshot);
    server_reply(request, HTTP_SERVUNAVAIL, "the daemon is out of memory", NULL, NULL);
}

static void answer_metrics(struct site *s, struct evhttp_request *request)
{
    const char *accept = evhttp_find_header(evhttp_request_get_input_headers(request), "Accept");
    const bool openmetrics = accept_wants_openmetrics(accept);
    struct metrics_readings readings;

    request_read_metrics(s->env, &readings);
    evhttp_add_header(evhttp_request_get_output_headers(request), "Vary", "Accept");
    reply_snapshot(
        request, metrics_snapshot(s->env->metrics, &readings.source, openmetrics ? METRICS_OPENMETRICS : METRICS_TEXT),
        openmetrics ? "application/openmetrics-text; version=1.0.0; charset=utf-8"
                    : "text/plain; version=0.0.4; charset=utf-8");
}

static void answer_state(struct site *s, struct evhttp_request *request)
{
    if (!s->state || clock_now() - s->state->made_at > SNAPSHOT_MS) {
        struct metrics_readings readings;
        struct output text = {0};

        request_read_metrics(s->env, &readings);
        state_write(&text, s->env->metrics, &readings.source);
        snapshot_unref(s->state);
        s->state = snapshot_new(&text);
    }
    if (s->state)
        s->state->n_refs++;
    reply_snapshot(request, s->state, "application/json");
}

// Each page has a number of its own, which its script and its style have to show: anything else is not run.
static void add_page(struct evbuffer *body, const char *nonce)
{
    static const char mark[] = "@NONCE@";
    const unsigned char *at = page_html, *end = page_html + page_html_size, *next;

    for (; (next = memmem(at, (size_t)(end - at), mark, sizeof mark - 1)); at = next + sizeof mark - 1) {
        evbuffer_add_reference(body, at, (size_t)(next - at), NULL, NULL);
        evbuffer_add(body, nonce, strlen(nonce));
    }
    evbuffer_add_reference(body, at, (size_t)(end - at), NULL, NULL);
}

static void answer_page(struct evhttp_request *request)
{
    struct evkeyvalq *headers = evhttp_request_get_output_headers(request);
    struct evbuffer *body = evbuffer_new();
    uint64_t random[2];
    char nonce[33], policy[300];

    if (!body || getrandom(random, sizeof random, 0) != sizeof random) {
        if (body)
            evbuffer_free(body);
        server_reply(request, HTTP_SERVUNAVAIL, "the daemon is out of memory", NULL, NULL);
        return;
    }
    snprintf(nonce, sizeof nonce, "%016" PRIx64 "%016" PRIx64, random[0], random[1]);
    snprintf(policy, sizeof policy,
             "default-src 'none'; script-src 'nonce-%s'; style-src 'nonce-%s'; connect-src 'self'; img-src data:; "
             "base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
             nonce, nonce);
    evhttp_add_header(headers, "Content-Security-Policy", policy);
    evhttp_add_header(headers, "Referrer-Policy", "no-referrer");
    add_page(body, nonce);
    server_reply(request, HTTP_OK, NULL, "text/html; charset=utf-8", body);
}

// NULL: a client of HTTP/1.0 that names no host.  Clients of a socket with a path may say anything.
static bool is_this_host(struct evhttp_request *request)
{
    const char *host = evhttp_request_get_host(request);

    return !host || strcmp(host, "localhost") == 0 || strncmp(host, "127.", 4) == 0 || strcmp(host, "[::1]") == 0;
}

void site_answer(void *data, struct evhttp_request *request)
{
    const struct evhttp_uri *uri = evhttp_request_get_evhttp_uri(request);
    const char *path = uri ? evhttp_uri_get_path(uri) : NULL;

    evhttp_add_header(evhttp_request_get_output_headers(request), "Cross-Origin-Resource-Policy", "same-origin");
    if (!is_this_host(request))
        server_reply(request, 421, "ask for localhost or 127.0.0.1: no other name is served here", NULL, NULL);
    else if (path && strcmp(path, "/metrics") == 0)
        answer_metrics(data, request);
    else if (path && strcmp(path, "/state.json") == 0)
        answer_state(data, request);
    else if (path && strcmp(path, "/") == 0)
        answer_page(request);
    else
        server_reply(request, HTTP_NOTFOUND, "there are / and /metrics here, and nothing else", NULL, NULL);
}
