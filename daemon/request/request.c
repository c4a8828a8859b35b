#include "daemon/request/request.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/request/message.h"
#include "daemon/user.h"
#include "proto/field.h"
#include "proto/packet.h"
#include "proto/util/container.h"
#include "proto/version.h"

enum { MAX_SPARE = 64 };

void request_reply_error(struct peer *peer, uint64_t id, int error, const struct quota_refusal *refusal)
{
    Diskalloc__V1__Reply reply = DISKALLOC__V1__REPLY__INIT;
    Diskalloc__V1__Error e;

    message_error(error, refusal, &e);
    reply.id = id;
    reply.error = &e;
    peer->reply(peer, &reply, -1);
}

void request_reply_done(struct peer *peer, uint64_t id)
{
    Diskalloc__V1__Reply reply = DISKALLOC__V1__REPLY__INIT;

    reply.id = id;
    peer->reply(peer, &reply, -1);
}

// The rules of the conversation were broken: says how, and hangs up.
static void breach(struct peer *peer, uint64_t id, Diskalloc__V1__ErrorCode code, const char *sentence)
{
    Diskalloc__V1__Reply reply = DISKALLOC__V1__REPLY__INIT;
    Diskalloc__V1__Error e;

    message_breach(code, sentence, &e);
    if (code == DISKALLOC__V1__ERROR_CODE__VERSION)
        e.limit = e.used = PROTOCOL_VERSION;
    reply.id = id;
    reply.error = &e;
    peer->reply(peer, &reply, -1);
    peer->hang_up(peer);
}

struct request *request_new(struct request_env *env, struct peer *peer, uint64_t id)
{
    struct request *request = TAILQ_FIRST(&env->spare);

    if (request) {
        TAILQ_REMOVE(&env->spare, request, entry);
        env->n_spare--;
        memset(request, 0, sizeof *request);
    } else
        request = calloc(1, sizeof *request);
    if (!request) {
        request_reply_error(peer, id, -ENOMEM, NULL);
        return NULL;
    }
    request->env = env;
    request->peer = peer;
    request->id = id;
    TAILQ_INSERT_TAIL(&peer->requests, request, entry);
    peer->n_requests++;
    return request;
}

void request_leave_peer(struct request *request)
{
    TAILQ_REMOVE(&request->peer->requests, request, entry);
    request->peer->n_requests--;
    request->peer->n_waiting -= request->op.is_waiting;
    request->peer = NULL;
}

void request_end(struct request *request)
{
    struct request *cancel = request->cancelled_by;
    struct request_env *env = request->env;

    if (request->peer)
        request_leave_peer(request);
    while (cancel) {
        struct request *next = cancel->cancelled_by;

        cancel->cancelled_by = NULL;
        if (cancel->peer)
            request_reply_done(cancel->peer, cancel->id);
        request_end(cancel);
        cancel = next;
    }
    if (env->n_spare == MAX_SPARE) {
        free(request);
        return;
    }
    TAILQ_INSERT_HEAD(&env->spare, request, entry);
    env->n_spare++;
}

void request_env_deinit(struct request_env *env)
{
    struct request *request;

    while ((request = TAILQ_FIRST(&env->spare))) {
        TAILQ_REMOVE(&env->spare, request, entry);
        free(request);
    }
}

void request_forget_peer(struct peer *peer)
{
    struct request *request;

    while ((request = TAILQ_FIRST(&peer->requests))) {
        request_leave_peer(request);
        if (request->user_waiter.waiting) {
            user_forget_waiter(peer->user, &request->user_waiter);
            request_end(request);
        } else if (request->op.env)
            op_cancel(&request->op);
    }
}

static struct request *find_in_flight(struct peer *peer, uint64_t id)
{
    struct request *request;

    TAILQ_FOREACH (request, &peer->requests, entry)
        if (request->id == id)
            return request;
    return NULL;
}

static void cancel(struct request_env *env, struct peer *peer, uint64_t id, uint64_t target_id)
{
    struct request *target = find_in_flight(peer, target_id), *request;

    if (!target) {
        request_reply_done(peer, id);
        return;
    }
    request = request_new(env, peer, id);
    if (!request)
        return;
    request->cancelled_by = target->cancelled_by;
    target->cancelled_by = request;
    op_cancel(&target->op);
}

void request_send_warning(struct user *user, const struct quota_account *a)
{
    Diskalloc__V1__Reply reply = DISKALLOC__V1__REPLY__INIT;
    Diskalloc__V1__Event event = DISKALLOC__V1__EVENT__INIT;
    char name[80];
    struct peer *peer;

    snprintf(name, sizeof name, "%s bytes", quota_account_label(a));
    event.kind = DISKALLOC__V1__EVENT_KIND__EVENT_QUOTA_WARNING;
    event.limit_name = name;
    event.limit = quota_account_limits(a)->max[QUOTA_BYTES];
    event.used = quota_account_used(a, QUOTA_BYTES);
    event.warn = quota_account_limits(a)->warn_bytes;
    reply.body_case = DISKALLOC__V1__REPLY__BODY_EVENT;
    reply.event = &event;
    TAILQ_FOREACH (peer, &user->peers, of_user)
        if (peer->said_hello)
            peer->reply(peer, &reply, -1);
}

static void send_hello_reply(struct request_env *env, struct peer *peer, uint64_t id)
{
    Diskalloc__V1__Reply reply = DISKALLOC__V1__REPLY__INIT;
    Diskalloc__V1__HelloReply hello = DISKALLOC__V1__HELLO_REPLY__INIT;

    hello.version = PROTOCOL_VERSION;
    hello.features = peer->features;
    hello.generation = field_bytes(env->generation, sizeof env->generation);
    hello.max_packet = PACKET_MAX;
    hello.max_in_flight = PEER_MAX_REQUESTS;
    hello.block_size = env->op.regions->block_size;
    hello.guarantee =
        store_guarantee(env->op.store)->hard ? DISKALLOC__V1__GUARANTEE__HARD : DISKALLOC__V1__GUARANTEE__SOFT;
    hello.daemon_version = (char *)DISKALLOC_VERSION;
    reply.id = id;
    reply.body_case = DISKALLOC__V1__REPLY__BODY_HELLO;
    reply.hello = &hello;
    peer->reply(peer, &reply, -1);
}

// Who it is, is known: it may come in if its limit of connections allows.
static void user_is_known(struct user_waiter *waiter)
{
    struct request *request = container_of(waiter, struct request, user_waiter);
    struct peer *peer = request->peer;
    struct quota_refusal refusal;
    int r = quota_charge_add(&peer->charge, QUOTA_CONNECTIONS, 1, &refusal);

    if (r == 0) {
        peer_let_in(peer);
        send_hello_reply(request->env, peer, request->id);
    } else {
        request_reply_error(peer, request->id, r, &refusal);
        peer->hang_up(peer);
    }
    request_end(request);
}

static void hello(struct request_env *env, struct peer *peer, uint64_t id, const Diskalloc__V1__Hello *m)
{
    struct request *request;

    if (m->version_min > PROTOCOL_VERSION || m->version_max < PROTOCOL_VERSION) {
        breach(peer, id, DISKALLOC__V1__ERROR_CODE__VERSION, "this daemon speaks version 1 of the protocol");
        return;
    }
    snprintf(peer->client_name, sizeof peer->client_name, "%.*s",
             (int)(m->client_name.len < CLIENT_NAME_MAX ? m->client_name.len : CLIENT_NAME_MAX),
             m->client_name.len ? (const char *)m->client_name.data : "");
    peer->features = m->features & PROTOCOL_FEATURES;
    if (peer->pid == 0)
        peer->pid = (pid_t)m->pid;
    request = request_new(env, peer, id);
    if (!request)
        return;
    quota_charge_init(&peer->charge, peer->user->quota);
    request->user_waiter.ready = user_is_known;
    user_await(peer->user, &request->user_waiter);
}

static void serve_body(struct request_env *env, struct peer *peer, const Diskalloc__V1__Request *m)
{
    switch (m->body_case) {
    case DISKALLOC__V1__REQUEST__BODY_CREATE_REGION:
        request_create_region(env, peer, m->id, m->create_region);
        break;
    case DISKALLOC__V1__REQUEST__BODY_OPEN_REGION:
        request_open_region(env, peer, m->id, m->open_region);
        break;
    case DISKALLOC__V1__REQUEST__BODY_ATTACH_REGION:
        request_attach_region(env, peer, m->id, m->attach_region);
        break;
    case DISKALLOC__V1__REQUEST__BODY_DETACH_REGION:
        request_detach_region(env, peer, m->id, m->detach_region);
        break;
    case DISKALLOC__V1__REQUEST__BODY_GROW_REGION:
        request_grow_region(env, peer, m->id, m->grow_region);
        break;
    case DISKALLOC__V1__REQUEST__BODY_SHRINK_REGION:
        request_shrink_region(env, peer, m->id, m->shrink_region);
        break;
    case DISKALLOC__V1__REQUEST__BODY_STAT_REGION:
        request_stat_region(env, peer, m->id, m->stat_region);
        break;
    case DISKALLOC__V1__REQUEST__BODY_COMMIT_REGION:
        request_commit_region(env, peer, m->id, m->commit_region);
        break;
    case DISKALLOC__V1__REQUEST__BODY_UNLINK_REGION:
        request_unlink_region(env, peer, m->id, m->unlink_region);
        break;
    case DISKALLOC__V1__REQUEST__BODY_OPEN_FILE:
        request_open_file(env, peer, m->id, m->open_file);
        break;
    case DISKALLOC__V1__REQUEST__BODY_GET_USAGE:
        request_get_usage(env, peer, m->id, m->get_usage);
        break;
    case DISKALLOC__V1__REQUEST__BODY_LIST_REGIONS:
        request_list_regions(env, peer, m->id, m->list_regions);
        break;
    case DISKALLOC__V1__REQUEST__BODY_GET_STATUS:
        request_get_status(env, peer, m->id);
        break;
    case DISKALLOC__V1__REQUEST__BODY_DISCARD_REGION:
        request_discard_region(env, peer, m->id, m->discard_region);
        break;
    case DISKALLOC__V1__REQUEST__BODY_RESTORE_REGION:
        request_restore_region(env, peer, m->id, m->restore_region);
        break;
    case DISKALLOC__V1__REQUEST__BODY_LIST_DISCARDED:
        request_list_discarded(env, peer, m->id, m->list_discarded);
        break;
    case DISKALLOC__V1__REQUEST__BODY_REMOVE_REGION:
        request_remove_region(env, peer, m->id, m->remove_region);
        break;
    case DISKALLOC__V1__REQUEST__BODY_LIST_QUOTA:
        request_list_quota(env, peer, m->id, m->list_quota);
        break;
    case DISKALLOC__V1__REQUEST__BODY_SET_QUOTA:
        request_set_quota(env, peer, m->id, m->set_quota);
        break;
    case DISKALLOC__V1__REQUEST__BODY_UNSET_QUOTA:
        request_unset_quota(env, peer, m->id, m->unset_quota);
        break;
    case DISKALLOC__V1__REQUEST__BODY_DISCONNECT_USER:
        request_disconnect_user(env, peer, m->id, m->disconnect_user);
        break;
    case DISKALLOC__V1__REQUEST__BODY_CANCEL:
        cancel(env, peer, m->id, m->cancel->target);
        break;
    default:
        request_reply_error(peer, m->id, -EOPNOTSUPP, NULL);
    }
}

void request_serve(struct request_env *env, struct peer *peer, const Diskalloc__V1__Request *m)
{
    bool is_hello = m->body_case == DISKALLOC__V1__REQUEST__BODY_HELLO;

    if (m->id == 0)
        breach(peer, 0, DISKALLOC__V1__ERROR_CODE__PROTOCOL, "a request's id is at least 1");
    else if (find_in_flight(peer, m->id))
        breach(peer, 0, DISKALLOC__V1__ERROR_CODE__PROTOCOL, "a request with this id is in flight already");
    else if (!peer->said_hello && (!is_hello || peer->n_requests > 0))
        breach(peer, m->id, DISKALLOC__V1__ERROR_CODE__PROTOCOL,
               "the first request must be Hello, and its reply awaited");
    else if (peer->said_hello && is_hello)
        breach(peer, m->id, DISKALLOC__V1__ERROR_CODE__PROTOCOL, "Hello was said already");
    else if (is_hello)
        hello(env, peer, m->id, m->hello);
    else
        serve_body(env, peer, m);
}
