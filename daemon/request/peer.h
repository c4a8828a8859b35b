// The client at the other end of a connection, as far as requests care.  The connection embeds it.
#pragma once
#include <stdbool.h>
#include <stdint.h>
#include <sys/queue.h>
#include <sys/types.h>

#include "daemon/quota/charge.h"
#include "daemon/region.h"
#include "daemon/reports.h"
#include "daemon/tree.h"
#include "daemon/user.h"
#include "proto/diskalloc.pb-c.h"
#include "proto/version.h"

enum {
    PEER_MAX_REQUESTS = 64,        // in flight and not waiting for a limit; later requests stay in the socket
    PEER_MAX_ATTACHMENTS = 100000, // of one connection
    USER_MAX_ATTACHMENTS = 1000000,
    USER_MAX_SILENT = 1024, // connections of one user before Hello was granted: no limit counts them yet
};

struct orphans;
struct request;
struct request_env;

struct peer {
    struct user *user;    // by SO_PEERCRED; a reference
    struct holder holder; // uid and pid by SO_PEERCRED; if the pid is 0 (another pid namespace), as Hello says
    char client_name[CLIENT_NAME_MAX + 1];
    bool said_hello;            // and the limit of connections allowed it
    bool has_parted;            // the connection has ended: see peer_part
    bool outlived;              // and the client lives on
    bool administers;           // it is there to look and to mend, as it says
    uint64_t features;          // of the protocol: those that the client and this daemon know
    struct quota_charge charge; // one connection, from a granted Hello on
    struct attachment_list attachments;
    uint64_t n_attachments;
    uint64_t n_making;                 // regions that requests of this peer make, and that it will have attached
    unsigned n_watched;                // attachments that watch: see request/changes.h
    struct news_list held;             // attachments with news that the client can't be told now; the connection's
    struct watcher watcher;            // WatchEvents: see watch.c
    const struct request_env *watches; // valid while it watches
    TAILQ_HEAD(request_list, request) requests;      // in flight
    RB_HEAD(requests_by_id, request) requests_by_id; // the same
    unsigned n_requests, n_waiting;                  // n_waiting of the n_requests wait for a limit
    TAILQ_ENTRY(peer) of_user;                       // until peer_part
    // The connection sets these.
    // Whether the kernel says that the process was in the group GID when it connected.  NULL, in tests: it was not.
    bool (*has_group)(const struct peer *peer, gid_t gid);
    // Sends REPLY, and with it FD unless that is -1.  Takes FD.
    void (*reply)(struct peer *peer, const Diskalloc__V1__Reply *reply, int fd);
    // Fewer requests count as in flight: the connection may read again.
    void (*resume)(struct peer *peer);
    // Whether the process that connected is still there; true also if the kernel does not tell (before Linux 6.5).
    bool (*lives)(struct peer *peer);
    // Whether the client has closed the connection, or its process has ended, even if nobody has noticed that yet.
    bool (*has_left)(struct peer *peer);
    // The connection reads no more requests, and closes when its replies have been sent.
    void (*hang_up)(struct peer *peer);
};

// Takes the reference to USER.
void peer_init(struct peer *peer, struct user *user, pid_t pid);
// The client says Hello: finds out when its process began.  That takes longer than accepting the connection, so clients
// that say nothing do not cause it.
void peer_note_start(struct peer *peer);
// The connection has ended: nothing is sent to the client any more, and it is no connection of the user any more.  The
// peer's requests must have been cut off before (request_forget_peer).  The peer still has its regions.
void peer_part(struct peer *peer);
// After peer_part: detaches regions, MOST at most; unless the client has ended too, they remember it.  True: there are
// more, and this function has to be called again.
bool peer_leave_some(struct peer *peer, struct orphans *orphans, unsigned most);
// Both, as often as needed, and frees what the peer holds.
void peer_deinit(struct peer *peer, struct orphans *orphans);
void peer_let_in(struct peer *peer); // Hello was granted

// Whether there is room for one more attachment.
bool peer_may_attach(const struct peer *peer);
// 0, -ENOMEM, or -EUSERS: too many attachments.
int peer_attach(struct peer *peer, struct region *r, bool read_only, enum holder_claim claim);
void peer_detach(struct peer *peer, struct attachment *a);

// Whether the process has the rights of the group GID, beside what the user database says: services may have groups
// that their user has not (SupplementaryGroups=).  They count for rights, and never for what is charged.
bool peer_in_group(const struct peer *peer, gid_t gid);
// Sends an event to all clients of USER, or to those of them that are in the control group which A stands for: A has
// reached this mark.
void peer_send_warning(struct user *user, const struct quota_account *a, enum quota_mark mark);
