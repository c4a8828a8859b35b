// The life of a request, and the replies that every handler needs.
//
// A connection decodes a packet and gives the message to request_serve (dispatch.c), which calls the handler for its
// body.  A handler either replies before it returns, or makes a struct request (request_new) for the reply to come: by
// an operation on a region (operation.c), a change of the settings (admin.c), or the user database (hello.c).  All of
// this is on the loop's thread.
//
// Guarantees: every request gets exactly one reply, unless its connection ends first.  A request in flight is on the
// list of its peer and is counted there, so that the connection stops reading when there are too many.  When the peer
// goes, its requests are cut off from it (peer is NULL) and end without a reply; nothing of the peer is used after
// that.  They go on counting in the budget of their user (budget.c), so that a client that asks and leaves, again and
// again, gains nothing.  A Cancel is a request in flight as well: it is answered when the request that it names has
// ended, however that ended.
//
// It relies on: handlers that look at request->peer before they use it in a function that is called later.
//
// It does not: know any handler.  The dispatcher and the handlers are above this file.
#include "daemon/request/request.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "daemon/config/config.h"
#include "daemon/lookup.h"
#include "daemon/request/audit.h"
#include "daemon/request/message.h"
#include "daemon/user.h"
#include "proto/util/container.h"

static int compare_ids(const struct request *a, const struct request *b)
{
    return (a->id > b->id) - (a->id < b->id);
}

TREE_GENERATE(requests_by_id, request, by_id, compare_ids)

void request_reply(struct peer *peer, uint64_t id, Diskalloc__V1__Reply *reply, int fd)
{
    reply->id = id;
    peer->reply(peer, reply, fd);
}

int request_answer(const struct call *c, Diskalloc__V1__Reply *reply)
{
    request_reply(c->peer, c->id, reply, -1);
    return 0;
}

void request_reply_done(struct peer *peer, uint64_t id)
{
    Diskalloc__V1__Reply reply = DISKALLOC__V1__REPLY__INIT;

    request_reply(peer, id, &reply, -1);
}

static void reply_with(struct peer *peer, uint64_t id, Diskalloc__V1__Error *e)
{
    Diskalloc__V1__Reply reply = DISKALLOC__V1__REPLY__INIT;

    reply.error = e;
    request_reply(peer, id, &reply, -1);
}

void request_reply_error(struct peer *peer, uint64_t id, int error, const struct quota_refusal *refusal)
{
    Diskalloc__V1__Error e;

    message_error(error, refusal, &e);
    reply_with(peer, id, &e);
}

void request_reply_sentence(struct peer *peer, uint64_t id, int error, const char *sentence)
{
    Diskalloc__V1__Error e;

    message_error(error, NULL, &e);
    if (sentence)
        e.message = (char *)sentence;
    reply_with(peer, id, &e);
}

int request_refuse_others(const struct call *c)
{
    char sentence[512];

    snprintf(
        sentence, sizeof sentence,
        "permission denied: only administrators may do that, and see what is others': root, the daemon's own user, "
        "and the members of the group %s",
        c->env->config->admin_group);
    request_reply_sentence(c->peer, c->id, -EACCES, sentence);
    return 0;
}

void request_breach(struct peer *peer, uint64_t id, Diskalloc__V1__ErrorCode code, const char *sentence)
{
    Diskalloc__V1__Error e = DISKALLOC__V1__ERROR__INIT;

    e.code = code;
    e.message = (char *)sentence;
    // The numbers tell a client of another version which one this daemon speaks.
    if (code == DISKALLOC__V1__ERROR_CODE__VERSION)
        e.limit = e.used = PROTOCOL_VERSION;
    reply_with(peer, id, &e);
    peer->hang_up(peer);
}

struct request *request_new(const struct call *c)
{
    struct request *request = calloc(1, sizeof *request);

    if (!request)
        return NULL;
    request->env = c->env;
    request->peer = c->peer;
    request->user = c->peer->user;
    request->user->n_refs++;
    budget_take(&c->env->budget, request->user);
    request->id = c->id;
    TAILQ_INSERT_TAIL(&c->peer->requests, request, entry);
    RB_INSERT(requests_by_id, &c->peer->requests_by_id, request);
    c->peer->n_requests++;
    return request;
}

struct request *request_find(struct peer *peer, uint64_t id)
{
    struct request wanted = {.id = id}; // the tree compares ids only

    return RB_FIND(requests_by_id, &peer->requests_by_id, &wanted);
}

void request_take_place(struct request *request)
{
    request->makes_region = true;
    request->peer->n_making++;
    request->user->n_making++;
}

void request_leave_place(struct request *request)
{
    if (!request->makes_region)
        return;
    request->makes_region = false;
    request->peer->n_making--;
    request->user->n_making--;
}

void request_enter_later(struct request *request)
{
    request->enters = true;
    request->user->n_entering++;
    TAILQ_INSERT_TAIL(&request->user->entering, request, of_entering);
}

void request_stop_entering(struct request *request)
{
    request->enters = false;
    request->user->n_entering--;
    TAILQ_REMOVE(&request->user->entering, request, of_entering);
}

void request_leave_peer(struct request *request)
{
    request_leave_place(request);
    TAILQ_REMOVE(&request->peer->requests, request, entry);
    RB_REMOVE(requests_by_id, &request->peer->requests_by_id, request);
    request->peer->n_requests--;
    request->peer->n_waiting -= request->op.is_waiting;
    request->op.by = NULL;
    request->peer = NULL;
}

void request_end(struct request *request)
{
    struct request *cancel = request->cancelled_by;

    if (request->peer)
        request_leave_peer(request);
    rounds_remove(&request->of_abandoned);
    if (request->op.asker)
        user_unref(request->op.asker);
    while (cancel) {
        struct request *next = cancel->cancelled_by;

        cancel->cancelled_by = NULL;
        if (cancel->peer)
            request_reply_done(cancel->peer, cancel->id);
        request_end(cancel);
        cancel = next;
    }
    budget_give_back(&request->env->budget, request->user, 1);
    audit_free(request->audit);
    user_unref(request->idle);
    user_unref(request->user);
    free(request);
}

// When a request ends, the Cancels that wait for it are answered.  So all leave the peer before the first one ends.
void request_forget_peer(struct peer *peer)
{
    struct request_list over = TAILQ_HEAD_INITIALIZER(over);
    struct request *request;

    while ((request = TAILQ_FIRST(&peer->requests))) {
        assert(request->peer == peer);
        request_leave_peer(request);
        if (request->user_waiter.waiting) {
            lookup_forget(request->user_waiter.user, &request->user_waiter);
            TAILQ_INSERT_TAIL(&over, request, entry);
        } else if (request->enters) {
            request_stop_entering(request);
            TAILQ_INSERT_TAIL(&over, request, entry);
        } else if (request->op.env) {
            rounds_add(&request->env->abandoned, &request->user->abandoned, &request->of_abandoned);
        }
    }
    while ((request = TAILQ_FIRST(&over))) {
        TAILQ_REMOVE(&over, request, entry);
        request_end(request);
    }
}

bool request_abandon_some(struct request_env *env, unsigned most)
{
    struct rounds_item *i;

    for (; most > 0 && (i = rounds_take(&env->abandoned)); most--)
        op_abandon(&container_of(i, struct request, of_abandoned)->op);
    return !rounds_is_empty(&env->abandoned);
}
