// The client at the other end of a connection: see peer.h.
#include "daemon/request/peer.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>

#include "daemon/news.h"
#include "daemon/orphans.h"
#include "daemon/proc.h"
#include "daemon/quota/charge.h"

void peer_init(struct peer *peer, struct user *user, pid_t pid)
{
    *peer = (struct peer){.user = user, .holder = {.uid = user->uid, .pid = pid, .pid_is_ours = pid > 0}};
    TAILQ_INIT(&peer->attachments);
    TAILQ_INIT(&peer->held);
    TAILQ_INIT(&peer->requests);
    RB_INIT(&peer->requests_by_id);
    TAILQ_INSERT_TAIL(&user->peers, peer, of_user);
    user->n_silent++;
}

void peer_note_start(struct peer *peer)
{
    if (peer->holder.pid_is_ours)
        peer->holder.started_at = proc_start_time(peer->holder.pid);
}

void peer_let_in(struct peer *peer)
{
    peer->said_hello = true;
    peer->user->n_silent--;
}

void peer_part(struct peer *peer)
{
    if (peer->has_parted)
        return;
    peer->has_parted = true;
    peer->outlived = !TAILQ_EMPTY(&peer->attachments) && holder_is_alive(&peer->holder);
    reports_unwatch(&peer->watcher);
    quota_charge_deinit(&peer->charge);
    peer->user->n_silent -= !peer->said_hello;
    TAILQ_REMOVE(&peer->user->peers, peer, of_user);
}

// A region that loses its last attachment may become an orphan.
bool peer_leave_some(struct peer *peer, struct orphans *orphans, unsigned most)
{
    struct attachment *a;

    for (; most > 0 && (a = TAILQ_FIRST(&peer->attachments)); most--) {
        struct region *r = a->region;

        if (peer->outlived)
            holders_lose(&r->holders, a);
        peer_detach(peer, a);
        orphans_consider(orphans, r);
    }
    return !TAILQ_EMPTY(&peer->attachments);
}

void peer_deinit(struct peer *peer, struct orphans *orphans)
{
    peer_part(peer);
    peer_leave_some(peer, orphans, UINT_MAX);
    user_unref(peer->user);
    peer->user = NULL;
}

// The reply to the attach says how large the region is.
static void begin_telling(const struct peer *peer, struct attachment *a)
{
    a->user = peer->user;
    a->told_size = a->region->size;
    holders_set_hearing(&a->region->holders, a, peer->features & DISKALLOC__V1__FEATURE__FEATURE_SHARING);
}

bool peer_may_attach(const struct peer *peer)
{
    return peer->n_attachments + peer->n_making < PEER_MAX_ATTACHMENTS &&
           peer->user->n_attachments + peer->user->n_making < USER_MAX_ATTACHMENTS;
}

int peer_attach(struct peer *peer, struct region *r, bool read_only, enum holder_claim claim)
{
    struct holders *h = &r->holders;
    bool is_new = !holders_find(h, peer);
    int result;

    if (is_new && !peer_may_attach(peer))
        return -EUSERS;
    result = holders_attach(h, r, peer, &peer->holder, read_only, &peer->attachments);
    if (result < 0)
        return result;
    if (user_lane(peer->user) != user_lane(r->owner))
        holders_note_stranger(h, user_lane(peer->user));
    peer->n_attachments += is_new;
    peer->user->n_attachments += is_new;
    if (is_new)
        begin_telling(peer, holders_find(h, peer));
    if (claim != HOLDER_IS_NEW && is_new)
        holders_return(h, &peer->holder, claim, r->record.owner_uid, peer);
    else if (claim != HOLDER_IS_NEW)
        holders_take_back(h, &peer->holder); // this connection has its place already
    return 0;
}

void peer_detach(struct peer *peer, struct attachment *a)
{
    news_forget(a);
    peer->n_watched -= a->watches;
    holders_detach(&a->region->holders, a, &peer->attachments);
    peer->n_attachments--;
    peer->user->n_attachments--;
}

bool peer_in_group(const struct peer *peer, gid_t gid)
{
    return gid != (gid_t)-1 && peer->has_group && peer->has_group(peer, gid);
}

void peer_send_warning(struct user *user, const struct quota_account *a, enum quota_mark mark)
{
    const struct quota_limits *limits = quota_account_limits(a);
    Diskalloc__V1__Reply reply = DISKALLOC__V1__REPLY__INIT;
    Diskalloc__V1__Event event = DISKALLOC__V1__EVENT__INIT;
    char name[QUOTA_LIMIT_NAME_SIZE];
    struct peer *peer;

    snprintf(name, sizeof name, "%s %s", quota_account_label(a), mark == QUOTA_MARK_SOFT ? "soft_bytes" : "bytes");
    event.kind = DISKALLOC__V1__EVENT_KIND__EVENT_QUOTA_WARNING;
    event.limit_name = name;
    event.limit = mark == QUOTA_MARK_SOFT ? limits->soft.bytes : limits->max[QUOTA_BYTES];
    event.used = quota_account_used(a, QUOTA_BYTES);
    event.warn = mark == QUOTA_MARK_SOFT ? limits->soft.bytes : limits->warn_bytes;
    reply.body_case = DISKALLOC__V1__REPLY__BODY_EVENT;
    reply.event = &event;
    TAILQ_FOREACH (peer, &user->peers, of_user)
        if (peer->said_hello && (!quota_account_is_of_cgroup(a) || quota_charge_counts_in(&peer->charge, a)))
            peer->reply(peer, &reply, -1);
}
