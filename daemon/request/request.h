// A request, from its message to its reply.  See the essay in request.c.
#pragma once
#include <stdint.h>

#include "daemon/disk.h"
#include "daemon/op/env.h"
#include "daemon/op/op.h"
#include "daemon/request/budget.h"
#include "daemon/request/peer.h"
#include "daemon/rounds.h"
#include "daemon/store/store.h"
#include "proto/diskalloc.pb-c.h"

// The parts of the daemon that handlers use.  The daemon fills them in before the first connection.
struct request_env {
    struct op_env op;
    struct budget budget;
    // Requests whose connection has gone, and whose operations are still to be told.
    struct rounds abandoned;
    struct quota *quota;
    struct user_table *users;
    struct accounts *accounts;
    const struct config *config; // the present one; the daemon exchanges it after each change of the settings
    struct settings *settings;
    struct metrics *metrics;
    struct arena *reply_arena;     // for the parts of a reply; each handler that uses the arena resets it first
    struct store_space space;      // bytes, of the file systems of all disks together; health.c renews it
    struct disk_absence *absences; // spill directories that are not in use
    uint8_t generation[16];        // random, the same while this daemon runs: clients notice a restart by it
    uint64_t started;              // seconds since the epoch
};

struct audit;

// A message that is being served.  It lives until the handler returns; what has to live longer is a struct request.
struct call {
    struct request_env *env;
    struct peer *peer;
    uint64_t id;                           // of the request, for the reply
    const Diskalloc__V1__Request *message; // its body is the one that the handler is for
};

// A request in flight: its reply comes after the handler has returned.
struct request {
    struct request_env *env;
    struct peer *peer; // NULL: nobody waits for the reply any more
    struct user *user; // the peer's; a reference
    uint64_t id;
    struct op op;                   // unused by Hello, GetUsage, Cancel, SetQuota and UnsetQuota
    struct user_waiter user_waiter; // of Hello and GetUsage
    struct user *idle;              // of GetUsage: a reference to a user who has nothing here; or NULL
    struct audit *audit;            // what an administrator does; NULL: nothing that is logged
    struct request *cancelled_by;   // a list of Cancels that are answered when this request ends
    bool makes_region;              // counted in n_making of the peer and of the user
    bool enters;                    // a Hello that waits for another connection to end: on user->entering
    struct rounds_item of_abandoned;
    TAILQ_ENTRY(request) of_entering;
    TAILQ_ENTRY(request) entry; // of peer->requests
    RB_ENTRY(request) by_id;    // of peer->requests_by_id
};

// Makes a request that is in flight from now on, until request_end.  NULL: no memory.
struct request *request_new(const struct call *c);
// The request in flight that PEER gave this id to, or NULL.
struct request *request_find(struct peer *peer, uint64_t id);
// The region that the request makes has a place among those that its peer and its user may have attached, until it is
// attached, or nobody waits for it any more.
void request_take_place(struct request *request);
void request_leave_place(struct request *request);
// A Hello waits, behind the others of its user, until request_stop_entering or until its connection has gone.
void request_enter_later(struct request *request);
void request_stop_entering(struct request *request);
// The request goes on without a peer: nobody gets its reply.
void request_leave_peer(struct request *request);
// Answers the Cancels that waited for this request, and frees it.  The request's own reply was sent before.
void request_end(struct request *request);
// The connection of PEER has gone: all its requests go on without a peer.  request_abandon_some must follow.
void request_forget_peer(struct peer *peer);
// Cancels the operations of connections that have gone, MOST at most, where that is possible.  Those that would take
// something and have not begun end now.  True: there are more, and this function has to be called again.
bool request_abandon_some(struct request_env *env, unsigned most);

// Sends REPLY under this id, and with it FD unless that is -1.  Takes FD.
void request_reply(struct peer *peer, uint64_t id, Diskalloc__V1__Reply *reply, int fd);
// The reply of a handler that replies at once.  Returns 0, for the handler to return.
int request_answer(const struct call *c, Diskalloc__V1__Reply *reply);
// An empty reply: the request was done.
void request_reply_done(struct peer *peer, uint64_t id);
// ERROR is a negative errno.  REFUSAL: the limit that refused, or NULL.
void request_reply_error(struct peer *peer, uint64_t id, int error, const struct quota_refusal *refusal);
// SENTENCE takes the place of the errno's own sentence, unless it is NULL.
void request_reply_sentence(struct peer *peer, uint64_t id, int error, const char *sentence);
// The peer of C is no administrator, and so is refused: the sentence says who is one.  Returns 0, for the handler to
// return.
int request_refuse_others(const struct call *c);
// PEER broke the rules of the protocol: replies with CODE and SENTENCE, and hangs up.  ID 0: of no request.
void request_breach(struct peer *peer, uint64_t id, Diskalloc__V1__ErrorCode code, const char *sentence);
