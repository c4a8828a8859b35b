// Making and remaking the connection of a link.
#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>

#include "client/link/link_internal.h"
#include "client/util/error.h"
#include "proto/util/cleanup.h"
#include "proto/util/clock.h"

enum {
    FIRST_PAUSE_MS = 1,
    LONGEST_PAUSE_MS = 100,
    HELD_MS = 1000,
    ATTACH_TIMEOUT_MS = 30000,
    EVENTS_LONGEST_PAUSE_MS = 1000,
};

static void deadline_start(struct deadline *d, int timeout_ms)
{
    uint64_t at;

    if (d->set)
        return;
    at = clock_after(timeout_ms);
    d->set = true;
    d->pause_ms = FIRST_PAUSE_MS;
    d->at = at < d->latest ? at : d->latest;
}

static bool deadline_passed(const struct deadline *d)
{
    return clock_left(d->at) == 0;
}

static void free_closed(struct link *link)
{
    struct attachment *a;

    while ((a = TAILQ_FIRST(&link->closed))) {
        TAILQ_REMOVE(&link->closed, a, entry);
        free(a);
    }
}

// What to attach again, copied: the list may change while nobody holds the lock, but what is on it is not freed before the
// attempt is over.
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

    attach.handle = field_handle(&a->handle);
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
    // The daemon's shortage, not this process's: that passes.
    return r == -EMFILE || r == -ENOMEM ? -EAGAIN : r;
}

static int connect_and_attach(struct link *link, struct attachment **attachments, size_t n, struct connection **ret)
{
    struct connection *c = NULL;
    int r = connection_open(link->path, link->client_name, &c);

    for (size_t i = 0; r == 0 && i < n; i++)
        r = attach_again(c, attachments[i], i + 2);
    if (r < 0)
        connection_unref(c);
    else
        *ret = c;
    return r;
}

// One attempt, by this thread, for all.
static int connect_once(struct link *link)
{
    _cleanup_free_ struct attachment **attachments = NULL;
    struct connection *c = NULL;
    size_t n;
    int r;

    link->connecting = true;
    n = list_attachments(link, &attachments);
    pthread_mutex_unlock(&link->lock);
    r = attachments ? connect_and_attach(link, attachments, n, &c) : -ENOMEM;
    pthread_mutex_lock(&link->lock);
    link->connecting = false;
    free_closed(link);
    if (r == 0) {
        link->connection = c;
        link->was_connected = true;
        link->events_deadline.set = false;
        events_call_in(&link->events, 0);
        events_watch(&link->events, c);
    }
    pthread_cond_broadcast(&link->reconnected);
    return r;
}

void link_sleep(struct link *link, pthread_cond_t *changed, uint64_t until)
{
    struct timespec at = clock_timespec(until);

    if (until == UINT64_MAX)
        pthread_cond_wait(changed, &link->lock);
    else
        pthread_cond_clockwait(changed, &link->lock, CLOCK_MONOTONIC, &at);
}

static void wait_for_other(struct link *link, const struct deadline *d)
{
    link_sleep(link, &link->reconnected, link->was_connected ? d->at : UINT64_MAX);
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

static bool may_connect(const struct link *link)
{
    return !link->was_connected || link->reconnect_timeout_ms != 0;
}

// Whether another attempt could end better.
static bool is_final(int r)
{
    return r == -EPROTO || r == -EINVAL || r == -EMFILE || r == -ENFILE || r == -ENOMEM;
}

void link_note_lost(struct deadline *deadline, uint64_t since)
{
    if (clock_now() - since >= HELD_MS)
        deadline->set = false;
}

// A forked child has lost nothing yet: its first attempt is no reconnection.
int link_connect(struct link *link, struct deadline *deadline)
{
    int r;

    if (!link->connection && deadline->set) {
        pause_unlocked(link, &deadline->pause_ms);
        if (deadline_passed(deadline))
            return gone(link);
    }
    while (!link->connection) {
        deadline_start(deadline, link->reconnect_timeout_ms);
        if (!may_connect(link))
            return gone(link);
        if (link->connecting) {
            wait_for_other(link, deadline);
            if (!link->connection && link->was_connected && deadline_passed(deadline))
                return gone(link);
            continue;
        }
        r = connect_once(link);
        if (is_final(r))
            return r;
        if (r < 0 && deadline_passed(deadline))
            return gone(link);
        error_forget();
        if (r < 0)
            pause_unlocked(link, &deadline->pause_ms);
    }
    return 0;
}

// The timer calls again: nobody waits here longer than an attempt takes.
int link_connect_for_events(struct link *link)
{
    int r = 0;

    deadline_start(&link->events_deadline, link->reconnect_timeout_ms);
    events_call_in(&link->events, 0);
    if (!may_connect(link))
        return gone(link);
    if (!link->connecting)
        r = connect_once(link);
    if (link->connection)
        return 0;
    link->events_pause_ms =
        link->events_pause_ms * 2 < EVENTS_LONGEST_PAUSE_MS ? link->events_pause_ms * 2 : EVENTS_LONGEST_PAUSE_MS;
    events_call_in(&link->events, link->events_pause_ms);
    if (is_final(r))
        return r;
    if (r < 0 && deadline_passed(&link->events_deadline))
        return gone(link);
    error_forget();
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
    pthread_cond_init(&link->turn, NULL);
    TAILQ_INIT(&link->calls);
    TAILQ_INIT(&link->attachments);
    TAILQ_INIT(&link->leaving);
    TAILQ_INIT(&link->closed);
    events_init(&link->events);
    link->events_deadline.latest = UINT64_MAX;
    link->events_pause_ms = EVENTS_FIRST_PAUSE_MS;
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
    connection_unref(link->connection);
    events_deinit(&link->events);
    free_attachments(link);
    pthread_cond_destroy(&link->reconnected);
    pthread_cond_destroy(&link->turn);
    pthread_mutex_destroy(&link->lock);
    free(link->path);
    free(link->client_name);
    free(link);
}

// What other threads had on their lists was theirs; what the parent has attached is the parent's.  Its connection is closed here
// already, and its epoll instance is not this process's to change.
void link_forked(struct link *link)
{
    pthread_mutex_init(&link->lock, NULL);
    pthread_cond_init(&link->reconnected, NULL);
    pthread_cond_init(&link->turn, NULL);
    link->connection = NULL;
    events_deinit(&link->events);
    TAILQ_INIT(&link->calls);
    TAILQ_INIT(&link->attachments);
    TAILQ_INIT(&link->leaving);
    TAILQ_INIT(&link->closed);
    link->reading = link->connecting = link->was_connected = false;
    link->events_deadline.set = false;
    link->n_unawaited = 0;
    link->n_waiting = 0;
    link->epoch++;
}
