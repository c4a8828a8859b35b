// Hello: agrees on the version of the protocol, and charges the connection to the peer's user.
//
// The uid comes from the kernel; the name, the groups and so the limits of that uid come from the user database, which
// may be slow and is asked on a worker.  Until the answer is there the connection is charged to nobody: USER_MAX_SILENT
// bounds the number of such connections.  A connection that the limit refuses gets the refusal and is closed.
//
// A client that closes a connection and makes another one has room for that, and is not refused although the first one
// is still charged: what it sent last is read before.  The Hello waits for it.  As many wait as connections end.
#include <errno.h>
#include <stdio.h>

#include "daemon/account.h"
#include "daemon/config/subjects.h"
#include "daemon/disk.h"
#include "daemon/lookup.h"
#include "daemon/policy.h"
#include "daemon/proc.h"
#include "daemon/quota/charge.h"
#include "daemon/reports.h"
#include "daemon/request/handlers.h"
#include "daemon/request/hello.h"
#include "daemon/request/request.h"
#include "daemon/user.h"
#include "proto/field.h"
#include "proto/packet.h"
#include "proto/util/container.h"
#include "proto/version.h"

// A region may be on any disk, so the weakest guarantee counts.
static Diskalloc__V1__Guarantee guarantee(const struct disk *disk)
{
    for (; disk; disk = disk->next)
        if (!store_guarantee(disk->store)->hard)
            return DISKALLOC__V1__GUARANTEE__SOFT;
    return DISKALLOC__V1__GUARANTEE__HARD;
}

static void send_hello_reply(struct request *request)
{
    struct request_env *env = request->env;
    Diskalloc__V1__Reply reply = DISKALLOC__V1__REPLY__INIT;
    Diskalloc__V1__HelloReply hello = DISKALLOC__V1__HELLO_REPLY__INIT;

    hello.version = PROTOCOL_VERSION;
    hello.features = request->peer->features;
    hello.generation = field_bytes(env->generation, sizeof env->generation);
    hello.max_packet = PACKET_MAX;
    hello.max_in_flight = PEER_MAX_REQUESTS;
    hello.block_size = env->op.regions->block_size;
    hello.guarantee = guarantee(env->op.disks);
    hello.daemon_version = (char *)DISKALLOC_VERSION;
    reply.body_case = DISKALLOC__V1__REPLY__BODY_HELLO;
    reply.hello = &hello;
    request_reply(request->peer, request->id, &reply, -1);
}

// REFUSAL NULL: the connection is let in.
static void report(const struct request *request, const struct quota_refusal *refusal)
{
    const struct peer *peer = request->peer;
    struct report r = {
        .kind = refusal ? REPORT_REFUSED : REPORT_CONNECTED,
        .has_user = true,
        .uid = peer->holder.uid,
        .pid = peer->holder.pid,
        .client_name = peer->client_name,
    };

    if (refusal) {
        r.limit_name = refusal->limit_name;
        r.limit = refusal->limit;
        r.used = refusal->used;
        r.asked = refusal->asked;
    }
    reports_publish(request->env->op.reports, &r);
}

static bool will_have_room(const struct user *u)
{
    return u->n_ending > u->n_entering;
}

// Whoever could raise the limit, or disconnect those who have taken all, must not be kept out by it.
static bool comes_to_mend(const struct request *request)
{
    const struct peer *peer = request->peer;

    return peer->administers && policy_is_admin(request->env->config, peer->user);
}

static void let_in(struct request *request)
{
    struct peer *peer = request->peer;
    struct quota_refusal refusal = {0};
    int r = quota_charge_add(&peer->charge, QUOTA_CONNECTIONS, 1, &refusal);

    if (r == -EDQUOT && comes_to_mend(request))
        r = quota_charge_force(&peer->charge, QUOTA_CONNECTIONS, 1);
    if (r == -EDQUOT && will_have_room(peer->user)) {
        request_enter_later(request);
        return;
    }
    report(request, r == 0 ? NULL : &refusal);
    if (r == 0) {
        peer_let_in(peer);
        send_hello_reply(request);
    } else {
        if (r == -EDQUOT)
            quota_count_refusal(&refusal);
        request_reply_error(peer, request->id, r, &refusal);
        peer->hang_up(peer);
    }
    request_end(request);
}

// The user database has answered, so the user's groups and limits are known: the connection can be charged.
static void user_is_known(struct user_waiter *waiter)
{
    let_in(container_of(waiter, struct request, user_waiter));
}

void hello_note_ending(struct user *u)
{
    u->n_ending++;
}

void hello_note_ended(struct user *u)
{
    struct request *next = TAILQ_FIRST(&u->entering);

    u->n_ending--;
    if (!next)
        return;
    request_stop_entering(next);
    let_in(next);
}

// A process of another pid namespace has no control group that could be told from here.  A process that has ended
// after it connected has handed its connection on, and nobody knows to whom: a limit would be worth nothing.
static int join_job(const struct call *c)
{
    struct peer *peer = c->peer;
    char path[CONFIG_SUBJECT_SIZE];
    struct quota_job *job;

    if (!peer->holder.pid_is_ours)
        return 0;
    if (!proc_cgroup(peer->holder.pid, path, sizeof path) || !peer->lives(peer))
        return config_has_cgroups(c->env->config) ? -ESRCH : 0;
    job = accounts_job(c->env->accounts, path);
    if (!job)
        return -ENOMEM;
    quota_charge_set_job(&peer->charge, job);
    quota_job_unref(job);
    return 0;
}

int request_hello(const struct call *c)
{
    const Diskalloc__V1__Hello *m = c->message->hello;
    struct peer *peer = c->peer;
    struct request *request;
    int r;

    if (m->version_min > PROTOCOL_VERSION || m->version_max < PROTOCOL_VERSION) {
        request_breach(peer, c->id, DISKALLOC__V1__ERROR_CODE__VERSION, "this daemon speaks version 1 of the protocol");
        return 0;
    }
    snprintf(peer->client_name, sizeof peer->client_name, "%.*s",
             (int)(m->client_name.len < CLIENT_NAME_MAX ? m->client_name.len : CLIENT_NAME_MAX),
             m->client_name.len ? (const char *)m->client_name.data : "");
    peer->features = m->features & PROTOCOL_FEATURES;
    peer->administers = m->features & DISKALLOC__V1__FEATURE__FEATURE_ADMINISTRATION;
    // The kernel cannot name a pid of another pid namespace.  The client's own word is good enough to show.
    if (peer->holder.pid == 0)
        peer->holder.pid = (pid_t)m->pid;
    peer_note_start(peer);
    quota_charge_init(&peer->charge, peer->user->quota);
    r = join_job(c);
    if (r == -ESRCH) {
        request_breach(peer, c->id, DISKALLOC__V1__ERROR_CODE__ACCESS,
                       "the process that connected has ended: it is not known which control group counts");
        return 0;
    }
    request = r == 0 ? request_new(c) : NULL;
    if (!request) {
        quota_charge_deinit(&peer->charge);
        return -ENOMEM;
    }
    request->user_waiter.ready = user_is_known;
    lookup_await(peer->user, &request->user_waiter);
    return 0;
}
