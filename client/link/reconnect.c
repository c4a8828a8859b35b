// Making the connection again.  One thread does it for all; the others wait for `reconnected`.  The lock is given up
// meanwhile, so regions may be closed, and further calls begin to wait.
//
// Every attachment is attached again on a new connection before any request is sent: so no other process can get a
// region to itself meanwhile.  A region that the daemon refuses to attach, or does not answer about, does not keep
// the others from being attached. When it is asked for next, the daemon says NOT_ATTACHED, and the region is attached
// as if it were opened (client/remote/ask.c): that call reports what is wrong, and the next one tries again.
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
    ATTACH_TIMEOUT_MS = 5000, // for all regions together
    ATTACH_LEAST_MS = 100,    // for each
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

// A copy of the list: the list may change while the lock is not held.  The attachments themselves are not freed
// before the attempt is over (see `closed`).
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

// The daemon is short of something: that passes.
static bool is_shortage(int r)
{
    return r == -EMFILE || r == -ENOMEM;
}

// True if the connection is of no use, whatever the region: the daemon is ending, or has not understood the request.
static bool ends_connection(int r)
{
    return r == -ECONNRESET || r == -EPROTO;
}

// The requests that are sent next must not be about another user's region.
static int detach_other(struct connection *c, const struct attachment *a, uint64_t id)
{
    Diskalloc__V1__DetachRegion detach = DISKALLOC__V1__DETACH_REGION__INIT;
    WireRequest q = WIRE_REQUEST_INIT;
    WireReply *reply = NULL;
    int r;

    detach.handle = field_handle(&a->handle);
    q.id = id;
    q.body_case = DISKALLOC__V1__REQUEST__BODY_DETACH_REGION;
    q.detach_region = &detach;
    r = connection_ask(c, &q, ATTACH_TIMEOUT_MS, &reply);
    wire_reply_free(reply);
    return r < 0 ? r : 1;
}

// 0: the region is attached; 1: it is not, and the connection is of use all the same; -EAGAIN: not, because of a
// shortage; -errno.
static int attach_again(struct connection *c, struct attachment *a, uint64_t id, uint64_t until)
{
    Diskalloc__V1__AttachRegion attach = DISKALLOC__V1__ATTACH_REGION__INIT;
    WireRequest q = WIRE_REQUEST_INIT;
    WireReply *reply = NULL;
    uint64_t left = clock_left(until);
    int r;

    attach.handle = field_handle(&a->handle);
    attach.flags = link_attach_flags(a);
    attach.held = true;
    q.id = id;
    q.body_case = DISKALLOC__V1__REQUEST__BODY_ATTACH_REGION;
    q.attach_region = &attach;
    r = connection_ask(c, &q, left > ATTACH_LEAST_MS ? (int)left : ATTACH_LEAST_MS, &reply);
    // The answer comes later, and nobody waits for it: the thread that reads drops it.
    if (r < 0)
        return r == -ETIMEDOUT ? 1 : r;
    r = wire_refusal(reply);
    a->stale = r == -ENOENT || r == -ESTALE;
    if (r == 0)
        link_check_owner(a, reply);
    wire_reply_free(reply);
    if (r == 0 && a->stale)
        return detach_other(c, a, id);
    if (r == 0 || ends_connection(r))
        return r;
    return is_shortage(r) ? -EAGAIN : 1;
}

// The ids of the requests begin with FIRST_ID.  If the daemon is short of something and has attached no region, the
// attempt has failed.
static int connect_and_attach(struct link *link, struct attachment **attachments, size_t n, uint64_t first_id,
                              struct connection **ret)
{
    uint64_t until = clock_after(ATTACH_TIMEOUT_MS);
    size_t n_attached = 0, n_short = 0;
    struct connection *c = NULL;
    int r = connection_open(link->path, link->client_name, &c);

    for (size_t i = 0; r >= 0 && i < n; i++) {
        r = attach_again(c, attachments[i], first_id + i, until);
        n_attached += r == 0;
        n_short += r == -EAGAIN;
        if (r == -EAGAIN || r == 1)
            r = 0;
    }
    if (r == 0 && n_short > 0 && n_attached == 0)
        r = -EAGAIN;
    if (r < 0)
        connection_unref(c);
    else
        *ret = c;
    return r;
}

// Tries once to connect: this thread does so for all.
static int connect_once(struct link *link)
{
    _cleanup_free_ struct attachment **attachments = NULL;
    struct connection *c = NULL;
    uint64_t first_id;
    size_t n;
    int r;

    link->connecting = true;
    n = list_attachments(link, &attachments);
    first_id = link->last_id + 1;
    link->last_id += n;
    pthread_mutex_unlock(&link->lock);
    r = attachments ? connect_and_attach(link, attachments, n, first_id, &c) : -ENOMEM;
    pthread_mutex_lock(&link->lock);
    link->connecting = false;
    link_note_attempt(link, r);
    free_closed(link);
    if (r == 0) {
        link->connection = c;
        link->was_connected = true;
        link->events_deadline.set = false;
        events_call_in(&link->events, 0);
        events_watch(&link->events, c);
        for (unsigned i = 0; i < c->n_events; i++)
            link_take_event(link, c->events[i]->event);
    }
    pthread_cond_broadcast(&link->reconnected);
    return r;
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

static bool may_connect(const struct link *link)
{
    return !link->was_connected || link->reconnect_timeout_ms != 0;
}

// True if no other attempt would end better.
static bool is_final(int r)
{
    return r == -EPROTO || r == -EINVAL || r == -EMFILE || r == -ENFILE || r == -ENOMEM;
}

void link_note_lost(struct deadline *deadline, uint64_t since)
{
    if (clock_now() - since >= HELD_MS)
        deadline->set = false;
}

// In a forked child the first connection is no reconnection.
int link_connect(struct link *link, struct deadline *deadline)
{
    int r;

    if (!link->connection && deadline->set) {
        pause_unlocked(link, &deadline->pause_ms);
        if (deadline_passed(deadline))
            return link_gone(link);
    }
    while (!link->connection) {
        deadline_start(deadline, link->reconnect_timeout_ms);
        if (!may_connect(link))
            return link_gone(link);
        if (link->connecting) {
            wait_for_other(link, deadline);
            if (!link->connection && link->was_connected && deadline_passed(deadline))
                return link_gone(link);
            continue;
        }
        r = connect_once(link);
        if (is_final(r))
            return r;
        if (r < 0 && deadline_passed(deadline))
            return link_gone(link);
        error_forget();
        if (r < 0)
            pause_unlocked(link, &deadline->pause_ms);
    }
    return 0;
}

// The timer of events.c makes the program call again, so this waits no longer than one attempt takes.
int link_connect_for_events(struct link *link)
{
    int r = 0;

    deadline_start(&link->events_deadline, link->reconnect_timeout_ms);
    events_call_in(&link->events, 0);
    if (!may_connect(link))
        return link_gone(link);
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
        return link_gone(link);
    error_forget();
    return 0;
}
