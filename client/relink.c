// Making and remaking the connection of a link.
#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "client/error.h"
#include "client/link_internal.h"
#include "proto/cleanup.h"

enum {
    FIRST_PAUSE_MS = 1,
    LONGEST_PAUSE_MS = 100,
    ATTACH_TIMEOUT_MS = 30000,
};

static uint64_t now_ms(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000;
}

static void deadline_start(struct deadline *d, int timeout_ms)
{
    if (d->set)
        return;
    d->set = true;
    d->at_ms = timeout_ms < 0 ? UINT64_MAX : now_ms() + (uint64_t)timeout_ms;
}

static bool deadline_passed(const struct deadline *d)
{
    return d->at_ms != UINT64_MAX && now_ms() >= d->at_ms;
}

// What to attach again, copied: the list may change while nobody holds the lock, but what is on it is not freed before
// there is a connection.
static size_t list_attachments(struct link *link, struct attachment ***ret)
{
    struct attachment *a;
    size_t n = 0, i = 0;

    TAILQ_FOREACH (a, &link->attachments, entry)
        n++;
    *ret = calloc(n + 1, sizeof **ret);
    if (!*ret)
        return 0;
    TAILQ_FOREACH (a, &link->attachments, entry)
        (*ret)[i++] = a;
    return n;
}

// A region that the daemon does not know any more is no failure of the connection.
static int attach_again(const struct connection *c, struct attachment *a, uint64_t id)
{
    Diskalloc__V1__AttachRegion attach = DISKALLOC__V1__ATTACH_REGION__INIT;
    WireRequest q = WIRE_REQUEST_INIT;
    WireReply *reply = NULL;
    int r;

    attach.handle = wire_handle(&a->handle);
    attach.flags = a->read_only ? DISKALLOC__V1__REGION_FLAG__REGION_READ_ONLY : 0;
    q.id = id;
    q.body_case = DISKALLOC__V1__REQUEST__BODY_ATTACH_REGION;
    q.attach_region = &attach;
    r = connection_ask(c, &q, ATTACH_TIMEOUT_MS, &reply);
    if (r < 0)
        return r;
    r = wire_refusal(reply);
    if (r == -ENOENT || r == -ESTALE || r == -EACCES) {
        a->stale = true;
        r = 0;
    }
    wire_reply_free(reply);
    return r;
}

static int connect_and_attach(struct link *link, struct attachment **attachments, size_t n, struct connection *ret)
{
    struct connection c = {.sock = -1};
    int r = connection_open(link->path, link->client_name, &c);

    for (size_t i = 0; r == 0 && i < n; i++)
        r = attach_again(&c, attachments[i], i + 2);
    if (r < 0)
        connection_close(&c);
    else
        *ret = c;
    return r;
}

// One attempt, by this thread, for all.
static int connect_once(struct link *link)
{
    _cleanup_free_ struct attachment **attachments = NULL;
    struct connection c;
    size_t n;
    int r;

    link->connecting = true;
    n = list_attachments(link, &attachments);
    pthread_mutex_unlock(&link->lock);
    r = attachments ? connect_and_attach(link, attachments, n, &c) : -ENOMEM;
    pthread_mutex_lock(&link->lock);
    link->connecting = false;
    if (r == 0) {
        link->connection = c;
        link->was_connected = true;
    }
    pthread_cond_broadcast(&link->reconnected);
    return r;
}

static void wait_for_other(struct link *link, const struct deadline *d)
{
    struct timespec at = {.tv_sec = (time_t)(d->at_ms / 1000), .tv_nsec = (long)(d->at_ms % 1000) * 1000000};

    if (d->at_ms == UINT64_MAX)
        pthread_cond_wait(&link->reconnected, &link->lock);
    else
        pthread_cond_clockwait(&link->reconnected, &link->lock, CLOCK_MONOTONIC, &at);
}

static void pause_unlocked(struct link *link, int *pause_ms)
{
    pthread_mutex_unlock(&link->lock);
    poll(NULL, 0, *pause_ms);
    pthread_mutex_lock(&link->lock);
    *pause_ms = *pause_ms * 2 < LONGEST_PAUSE_MS ? *pause_ms * 2 : LONGEST_PAUSE_MS;
}

static int gone(const struct link *link)
{
    return error_why(-ECONNRESET, "the daemon at %s has gone", link->path);
}

// A forked child has lost nothing yet: its first attempt is no reconnection.
int link_connect(struct link *link, struct deadline *deadline)
{
    int pause_ms = FIRST_PAUSE_MS, r;

    while (link->connection.sock < 0) {
        bool may_try = !link->was_connected || link->reconnect_timeout_ms != 0;

        deadline_start(deadline, link->reconnect_timeout_ms);
        if (!may_try)
            return gone(link);
        if (link->connecting) {
            wait_for_other(link, deadline);
            if (link->connection.sock < 0 && link->was_connected && deadline_passed(deadline))
                return gone(link);
            continue;
        }
        r = connect_once(link);
        if (r == -EPROTO || r == -EINVAL || r == -EMFILE || r == -ENFILE || r == -ENOMEM)
            return r;
        if (r < 0 && deadline_passed(deadline))
            return gone(link);
        error_forget();
        if (r < 0)
            pause_unlocked(link, &pause_ms);
    }
    return 0;
}

int link_new(const char *path, const struct diskalloc_options *options, struct link **ret)
{
    struct link *link = calloc(1, sizeof *link);
    int r = -ENOMEM;

    if (!link)
        return -ENOMEM;
    link->path = strdup(path);
    link->client_name = strdup(options->client_name ? options->client_name : program_invocation_short_name);
    link->reconnect_timeout_ms = options->reconnect_timeout_ms;
    pthread_mutex_init(&link->lock, NULL);
    pthread_cond_init(&link->reconnected, NULL);
    TAILQ_INIT(&link->calls);
    TAILQ_INIT(&link->attachments);
    TAILQ_INIT(&link->leaving);
    link->connection.sock = -1;
    if (link->path && link->client_name)
        r = connection_open(path, link->client_name, &link->connection);
    if (r < 0) {
        link_free(link);
        return r == -EAGAIN ? -EMFILE : r;
    }
    link->was_connected = true;
    *ret = link;
    return 0;
}

static void free_attachments(struct link *link)
{
    struct attachment *a;

    while ((a = TAILQ_FIRST(&link->leaving))) {
        TAILQ_REMOVE(&link->leaving, a, entry);
        free(a);
    }
}

// All regions are closed by now.
void link_free(struct link *link)
{
    connection_close(&link->connection);
    free_attachments(link);
    pthread_cond_destroy(&link->reconnected);
    pthread_mutex_destroy(&link->lock);
    free(link->path);
    free(link->client_name);
    free(link);
}

// What other threads had on their lists was theirs; what the parent has attached is the parent's.
void link_forked(struct link *link)
{
    pthread_mutex_init(&link->lock, NULL);
    pthread_cond_init(&link->reconnected, NULL);
    connection_close(&link->connection);
    TAILQ_INIT(&link->calls);
    TAILQ_INIT(&link->attachments);
    TAILQ_INIT(&link->leaving);
    link->reading = link->connecting = link->was_connected = false;
    link->n_unawaited = 0;
    link->epoch++;
}
