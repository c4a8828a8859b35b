// The client at the other end of a connection: see peer.h.
#include "daemon/request/peer.h"

#include <errno.h>
#include <stdio.h>

#include "daemon/orphans.h"

void peer_init(struct peer *peer, struct user *user, pid_t pid)
{
    *peer = (struct peer){.user = user, .pid = pid};
    TAILQ_INIT(&peer->attachments);
    TAILQ_INIT(&peer->requests);
    TAILQ_INSERT_TAIL(&user->peers, peer, of_user);
    user->n_silent++;
}

void peer_let_in(struct peer *peer)
{
    peer->said_hello = true;
    peer->user->n_silent--;
}

// A region that loses its last attachment may become an orphan.
void peer_deinit(struct peer *peer, struct orphans *orphans)
{
    struct attachment *a;

    while ((a = TAILQ_FIRST(&peer->attachments))) {
        struct region *r = a->region;

        peer_detach(peer, a);
        orphans_consider(orphans, r);
    }
    quota_charge_deinit(&peer->charge);
    peer->user->n_silent -= !peer->said_hello;
    TAILQ_REMOVE(&peer->user->peers, peer, of_user);
    user_unref(peer->user);
    peer->user = NULL;
}

int peer_attach(struct peer *peer, struct region *r, bool read_only)
{
    bool is_new = !region_attachment(r, peer);
    int result;

    if (is_new && (peer->n_attachments >= PEER_MAX_ATTACHMENTS || peer->user->n_attachments >= USER_MAX_ATTACHMENTS))
        return -EUSERS;
    result = region_attach(r, peer, &peer->attachments, read_only);
    if (result == 0 && is_new) {
        peer->n_attachments++;
        peer->user->n_attachments++;
    }
    return result;
}

void peer_detach(struct peer *peer, struct attachment *a)
{
    region_detach(a, &peer->attachments);
    peer->n_attachments--;
    peer->user->n_attachments--;
}

void peer_send_warning(struct user *user, const struct quota_account *a)
{
    const struct quota_limits *limits = quota_account_limits(a);
    Diskalloc__V1__Reply reply = DISKALLOC__V1__REPLY__INIT;
    Diskalloc__V1__Event event = DISKALLOC__V1__EVENT__INIT;
    char name[80];
    struct peer *peer;

    snprintf(name, sizeof name, "%s bytes", quota_account_label(a));
    event.kind = DISKALLOC__V1__EVENT_KIND__EVENT_QUOTA_WARNING;
    event.limit_name = name;
    event.limit = limits->max[QUOTA_BYTES];
    event.used = quota_account_used(a, QUOTA_BYTES);
    event.warn = limits->warn_bytes;
    reply.body_case = DISKALLOC__V1__REPLY__BODY_EVENT;
    reply.event = &event;
    TAILQ_FOREACH (peer, &user->peers, of_user)
        if (peer->said_hello)
            peer->reply(peer, &reply, -1);
}
