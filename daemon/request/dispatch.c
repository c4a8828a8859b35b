// Gives each message to the handler for its body, and keeps the rules of the conversation: ids, and Hello first.
#include "daemon/request/dispatch.h"

#include <errno.h>

#include "daemon/request/handlers.h"

// The Cancel is answered when its target has ended; at once if there is no such request.
static int cancel(const struct call *c)
{
    struct request *target = request_find(c->peer, c->message->cancel->target), *request;

    if (!target) {
        request_reply_done(c->peer, c->id);
        return 0;
    }
    request = request_new(c);
    if (!request)
        return -ENOMEM;
    request->cancelled_by = target->cancelled_by;
    target->cancelled_by = request;
    if (target->op.env) // not so of a Cancel, a look-up, or a change of settings: they end by themselves
        op_cancel(&target->op);
    return 0;
}

// By body_case.  A body of a newer protocol has no handler.
static int (*const handlers[])(const struct call *c) = {
    [DISKALLOC__V1__REQUEST__BODY_HELLO] = request_hello,
    [DISKALLOC__V1__REQUEST__BODY_CREATE_REGION] = request_create_region,
    [DISKALLOC__V1__REQUEST__BODY_OPEN_REGION] = request_open_region,
    [DISKALLOC__V1__REQUEST__BODY_ATTACH_REGION] = request_attach_region,
    [DISKALLOC__V1__REQUEST__BODY_DETACH_REGION] = request_detach_region,
    [DISKALLOC__V1__REQUEST__BODY_GROW_REGION] = request_grow_region,
    [DISKALLOC__V1__REQUEST__BODY_SHRINK_REGION] = request_shrink_region,
    [DISKALLOC__V1__REQUEST__BODY_AGREE_SHRINK] = request_agree_shrink,
    [DISKALLOC__V1__REQUEST__BODY_STAT_REGION] = request_stat_region,
    [DISKALLOC__V1__REQUEST__BODY_COMMIT_REGION] = request_commit_region,
    [DISKALLOC__V1__REQUEST__BODY_UNLINK_REGION] = request_unlink_region,
    [DISKALLOC__V1__REQUEST__BODY_OPEN_FILE] = request_open_file,
    [DISKALLOC__V1__REQUEST__BODY_GET_USAGE] = request_get_usage,
    [DISKALLOC__V1__REQUEST__BODY_LIST_REGIONS] = request_list_regions,
    [DISKALLOC__V1__REQUEST__BODY_GET_STATUS] = request_get_status,
    [DISKALLOC__V1__REQUEST__BODY_DISCARD_REGION] = request_discard_region,
    [DISKALLOC__V1__REQUEST__BODY_RESTORE_REGION] = request_restore_region,
    [DISKALLOC__V1__REQUEST__BODY_LIST_DISCARDED] = request_list_discarded,
    [DISKALLOC__V1__REQUEST__BODY_REMOVE_REGION] = request_remove_region,
    [DISKALLOC__V1__REQUEST__BODY_SET_EXPIRY] = request_set_expiry,
    [DISKALLOC__V1__REQUEST__BODY_LIST_QUOTA] = request_list_quota,
    [DISKALLOC__V1__REQUEST__BODY_SET_QUOTA] = request_set_quota,
    [DISKALLOC__V1__REQUEST__BODY_UNSET_QUOTA] = request_unset_quota,
    [DISKALLOC__V1__REQUEST__BODY_DISCONNECT_USER] = request_disconnect_user,
    [DISKALLOC__V1__REQUEST__BODY_CLONE_REGION] = request_clone_region,
    [DISKALLOC__V1__REQUEST__BODY_GET_METRICS] = request_get_metrics,
    [DISKALLOC__V1__REQUEST__BODY_LIST_USAGE] = request_list_usage,
    [DISKALLOC__V1__REQUEST__BODY_WATCH_EVENTS] = request_watch_events,
    [DISKALLOC__V1__REQUEST__BODY_MOVE_REGION] = request_move_region,
    [DISKALLOC__V1__REQUEST__BODY_CANCEL] = cancel,
};

// An error that a handler returns is sent here, and nowhere else.
static void call_handler(const struct call *c)
{
    const size_t body = c->message->body_case;
    int r;

    c->env->op.tally.requests[body < TALLY_REQUESTS ? body : 0]++;
    r = body < sizeof handlers / sizeof *handlers && handlers[body] ? handlers[body](c) : -EOPNOTSUPP;
    if (r < 0)
        request_reply_error(c->peer, c->id, r, NULL);
}

// A breach of these rules ends the connection: a client that mixes up its ids cannot tell its replies apart.
void request_serve(struct request_env *env, struct peer *peer, const Diskalloc__V1__Request *m)
{
    const struct call c = {.env = env, .peer = peer, .id = m->id, .message = m};
    const bool is_hello = m->body_case == DISKALLOC__V1__REQUEST__BODY_HELLO;
    const char *breach = NULL;
    uint64_t breach_id = m->id;

    if (m->id == 0)
        breach = "a request's id must be at least 1";
    else if (request_find(peer, m->id)) {
        // A reply under this id would be taken for that of the other request.
        breach = "a request with this id is in flight already";
        breach_id = 0;
    } else if (!peer->said_hello && (!is_hello || peer->n_requests > 0))
        breach = "the first request must be Hello, and the client must await its reply";
    else if (peer->said_hello && is_hello)
        breach = "Hello was said already";

    if (breach)
        request_breach(peer, breach_id, DISKALLOC__V1__ERROR_CODE__PROTOCOL, breach);
    else
        call_handler(&c);
}
