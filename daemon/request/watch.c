// WatchEvents: from then on the connection gets a report of each thing that happens and that its user may know of.
// daemon/reports has the queues; daemon/conn/tell decides when the next report is sent.
#include "daemon/request/watch.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "daemon/policy.h"
#include "daemon/reports.h"
#include "daemon/request/handlers.h"
#include "daemon/request/request.h"
#include "daemon/user.h"
#include "proto/field.h"
#include "proto/util/container.h"

// Whether the peer is an administrator is asked for each report: that may change while it watches.
static bool sees(const struct watcher *w, const struct report *r)
{
    const struct peer *peer = container_of((struct watcher *)w, struct peer, watcher);

    return r->is_public || (r->has_user && r->uid == peer->user->uid) ||
           policy_is_admin(peer->watches->config, peer->user);
}

int request_watch_events(const struct call *c)
{
    struct peer *peer = c->peer;
    int r;

    if (!peer->watcher.reports) {
        peer->watches = c->env;
        peer->watcher.sees = sees;
        peer->watcher.uid = peer->user->uid;
        peer->watcher.is_admin = policy_is_admin(c->env->config, peer->user);
        r = reports_watch(c->env->op.reports, &peer->watcher);
        if (r == -EUSERS) {
            request_reply_sentence(peer, c->id, r, "too many connections watch already: a user may have 8 that do");
            return 0;
        }
        if (r < 0)
            return r;
    }
    request_reply_done(peer, c->id);
    return 0;
}

static struct user *find_user(const struct request_env *env, uid_t uid)
{
    char number[16];

    snprintf(number, sizeof number, "+%u", (unsigned)uid);
    return user_find_by_name(env->users, number);
}

static char *text_of(const char *text)
{
    return (char *)(text ? text : "");
}

static void fill(const struct request_env *env, const struct report *r, char number[static 16],
                 Diskalloc__V1__Report *ret)
{
    const struct user *user = r->has_user ? find_user(env, r->uid) : NULL;

    diskalloc__v1__report__init(ret);
    ret->kind = (Diskalloc__V1__ReportKind)r->kind;
    ret->time_us = r->time_us;
    ret->has_user = r->has_user;
    ret->uid = r->uid;
    snprintf(number, 16, "+%u", (unsigned)r->uid);
    if (r->has_user)
        ret->user = field_text(user ? user_name(user) : number);
    ret->pid = (uint32_t)r->pid;
    ret->client_name = field_text(text_of(r->client_name));
    if (r->handle)
        ret->handle = field_handle(r->handle);
    ret->name = field_text(text_of(r->name));
    ret->size = r->size;
    ret->limit_name = text_of(r->limit_name);
    ret->limit = r->limit;
    ret->used = r->used;
    ret->asked = r->asked;
    ret->text = field_text(text_of(r->text));
}

bool watch_tell(struct peer *peer)
{
    Diskalloc__V1__Reply reply = DISKALLOC__V1__REPLY__INIT;
    Diskalloc__V1__Event event = DISKALLOC__V1__EVENT__INIT;
    Diskalloc__V1__Report report;
    const struct report *r;
    char number[16];
    uint64_t lost;

    r = reports_peek(&peer->watcher, &lost);
    if (!r)
        return false;
    fill(peer->watches, r, number, &report);
    report.lost = lost;
    event.kind = DISKALLOC__V1__EVENT_KIND__EVENT_REPORT;
    event.limit_name = (char *)"";
    event.report = &report;
    reply.body_case = DISKALLOC__V1__REPLY__BODY_EVENT;
    reply.event = &event;
    peer->reply(peer, &reply, -1);
    reports_drop(&peer->watcher);
    return true;
}
