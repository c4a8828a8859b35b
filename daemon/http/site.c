// The pages that are served: see site.h.
//
// Any program on this machine may connect to a loopback address, and a web browser is one: a page from elsewhere must
// not be able to read this one.  So a request that comes under another host's name is refused (DNS rebinding), no other
// origin is allowed anything, and the page runs no script but its own.
#include "daemon/http/site.h"

#include <event2/buffer.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/random.h>

#include "daemon/http/accept.h"
#include "daemon/http/page.h"
#include "daemon/http/request.h"
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

static void refuse_without_memory(struct guest *g)
{
    server_reply(g, 503, "", NULL, "the daemon is out of memory");
}

// Takes the reference to SNAPSHOT; NULL: no memory.  All who are sent a snapshot share its bytes.
static void reply_snapshot(struct guest *g, struct snapshot *snapshot, const char *headers)
{
    struct evbuffer *body = snapshot ? evbuffer_new() : NULL;

    if (body && evbuffer_add_reference(body, snapshot->data, snapshot->n, release, snapshot) == 0) {
        server_reply(g, 200, headers, body, NULL);
        return;
    }
    if (body)
        evbuffer_free(body);
    snapshot_unref(snapshot);
    refuse_without_memory(g);
}

static void answer_metrics(struct site *s, struct guest *g, const char *accept)
{
    const bool openmetrics = accept_wants_openmetrics(accept);
    struct metrics_readings readings;

    request_read_metrics(s->env, &readings);
    reply_snapshot(
        g, metrics_snapshot(s->env->metrics, &readings.source, openmetrics ? METRICS_OPENMETRICS : METRICS_TEXT),
        openmetrics ? "Vary: Accept\r\n"
                      "Content-Type: application/openmetrics-text; version=1.0.0; charset=utf-8\r\n"
                    : "Vary: Accept\r\nContent-Type: text/plain; version=0.0.4; charset=utf-8\r\n");
}

static void answer_state(struct site *s, struct guest *g)
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
    reply_snapshot(g, s->state, "Content-Type: application/json\r\n");
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

static void answer_page(struct guest *g)
{
    struct evbuffer *body = evbuffer_new();
    uint64_t random[2];
    char nonce[33], headers[500];

    if (!body || getrandom(random, sizeof random, 0) != sizeof random) {
        if (body)
            evbuffer_free(body);
        refuse_without_memory(g);
        return;
    }
    snprintf(nonce, sizeof nonce, "%016" PRIx64 "%016" PRIx64, random[0], random[1]);
    snprintf(headers, sizeof headers,
             "Content-Type: text/html; charset=utf-8\r\nReferrer-Policy: no-referrer\r\n"
             "Content-Security-Policy: default-src 'none'; script-src 'nonce-%s'; style-src 'nonce-%s'; "
             "connect-src 'self'; img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'\r\n",
             nonce, nonce);
    add_page(body, nonce);
    server_reply(g, 200, headers, body, NULL);
}

// NULL: a client of HTTP/1.0 that names no host.  A name such as 127.0.0.1.example.org is somebody's.
static bool is_this_host(const char *host)
{
    if (!host || strcasecmp(host, "localhost") == 0 || strcmp(host, "[::1]") == 0)
        return true;
    return strncmp(host, "127.", 4) == 0 && host[strspn(host, "0123456789.")] == '\0';
}

void site_answer(void *data, struct guest *g, const struct http_request *request)
{
    if (!is_this_host(request->host))
        server_reply(g, 421, "", NULL, "ask for localhost or 127.0.0.1: no other name is served here");
    else if (strcmp(request->path, "/metrics") == 0)
        answer_metrics(data, g, request->accept);
    else if (strcmp(request->path, "/state.json") == 0)
        answer_state(data, g);
    else if (strcmp(request->path, "/") == 0)
        answer_page(g);
    else
        server_reply(g, 404, "", NULL, "there are / and /metrics here, and nothing else");
}
