// Requests: from a message to its reply, at once or when an operation has ended.
#pragma once
#include <stdint.h>

#include "daemon/op/op.h"
#include "daemon/request/peer.h"
#include "daemon/store/store.h"
#include "proto/diskalloc.pb-c.h"

// What requests need to know of the daemon.
struct request_env {
    struct op_env op;
    struct quota *quota;
    struct user_table *users;
    const struct config *config; // the settings' present one
    struct settings *settings;
    struct arena *reply_arena; // for what replies point to
    struct store_space space;  // of the disk, a few seconds old at most
    uint8_t generation[16];
    struct boot_id boot;
    uint64_t started; // seconds since the epoch
    uint64_t n_foreign;
    TAILQ_HEAD(, request) spare; // memory for the next ones
    unsigned n_spare;
};

struct request {
    struct request_env *env;
    struct peer *peer; // NULL: gone
    uint64_t id;
    struct op op;
    struct user_waiter user_waiter; // of Hello
    struct request *cancelled_by;   // Cancels that wait for its fate
    TAILQ_ENTRY(request) entry;
};

void request_env_deinit(struct request_env *env); // its memory for requests
// Serves MESSAGE, whose memory is the caller's and may go when this returns.  Any reply goes through PEER.
void request_serve(struct request_env *env, struct peer *peer, const Diskalloc__V1__Request *message);
// PEER is gone: what can still be given up is, what can't ends without a reply.
void request_forget_peer(struct peer *peer);

// Tells all clients of USER that account A of theirs has reached its warning mark.
void request_send_warning(struct user *user, const struct quota_account *a);

// For the handlers, request_*.c:

void request_reply_error(struct peer *peer, uint64_t id, int error, const struct quota_refusal *refusal);
void request_reply_done(struct peer *peer, uint64_t id); // nothing but: it was done
// One in flight: NULL: no memory, and the peer was told.
struct request *request_new(struct request_env *env, struct peer *peer, uint64_t id);
// It goes on, and nobody waits for it any more.
void request_leave_peer(struct request *request);
// Replies to Cancels that waited, and frees it.
void request_end(struct request *request);

// Of requests that become an operation on a region (request_op.c):
struct request *request_new_op(struct request_env *env, struct peer *peer, uint64_t id, const struct op_type *type,
                               struct region *r);
void request_op_done(struct op *op); // replies with the region, or why not
void request_reply_failure(struct request *request);
int request_take_handle(const ProtobufCBinaryData *field, struct handle *ret); // 0 or -EINVAL
// The region of a handle as PEER has it attached; NULL: told why not.
struct attachment *request_attached(struct request_env *env, struct peer *peer, uint64_t id,
                                    const ProtobufCBinaryData *field);
struct attachment *request_attached_for_writing(struct request_env *env, struct peer *peer, uint64_t id,
                                                const ProtobufCBinaryData *field);

// Whose names are meant: the peer's own, or those of a user who has something here; NULL: nobody's.
struct user *request_name_space(struct request_env *env, struct peer *peer, const ProtobufCBinaryData *field);

void request_create_region(struct request_env *env, struct peer *peer, uint64_t id,
                           const Diskalloc__V1__CreateRegion *m);
void request_open_region(struct request_env *env, struct peer *peer, uint64_t id, const Diskalloc__V1__OpenRegion *m);
void request_attach_region(struct request_env *env, struct peer *peer, uint64_t id,
                           const Diskalloc__V1__AttachRegion *m);
void request_detach_region(struct request_env *env, struct peer *peer, uint64_t id,
                           const Diskalloc__V1__DetachRegion *m);
void request_grow_region(struct request_env *env, struct peer *peer, uint64_t id, const Diskalloc__V1__GrowRegion *m);
void request_shrink_region(struct request_env *env, struct peer *peer, uint64_t id,
                           const Diskalloc__V1__ShrinkRegion *m);
void request_stat_region(struct request_env *env, struct peer *peer, uint64_t id, const Diskalloc__V1__StatRegion *m);
void request_commit_region(struct request_env *env, struct peer *peer, uint64_t id,
                           const Diskalloc__V1__CommitRegion *m);
void request_unlink_region(struct request_env *env, struct peer *peer, uint64_t id,
                           const Diskalloc__V1__UnlinkRegion *m);
void request_open_file(struct request_env *env, struct peer *peer, uint64_t id, const Diskalloc__V1__OpenFile *m);
void request_discard_region(struct request_env *env, struct peer *peer, uint64_t id,
                            const Diskalloc__V1__DiscardRegion *m);
void request_restore_region(struct request_env *env, struct peer *peer, uint64_t id,
                            const Diskalloc__V1__RestoreRegion *m);
void request_list_discarded(struct request_env *env, struct peer *peer, uint64_t id,
                            const Diskalloc__V1__ListDiscarded *m);
void request_remove_region(struct request_env *env, struct peer *peer, uint64_t id,
                           const Diskalloc__V1__RemoveRegion *m);
void request_list_quota(struct request_env *env, struct peer *peer, uint64_t id, const Diskalloc__V1__ListQuota *m);
void request_set_quota(struct request_env *env, struct peer *peer, uint64_t id, const Diskalloc__V1__SetQuota *m);
void request_unset_quota(struct request_env *env, struct peer *peer, uint64_t id, const Diskalloc__V1__UnsetQuota *m);
void request_disconnect_user(struct request_env *env, struct peer *peer, uint64_t id,
                             const Diskalloc__V1__DisconnectUser *m);
void request_get_usage(struct request_env *env, struct peer *peer, uint64_t id, const Diskalloc__V1__GetUsage *m);
void request_list_regions(struct request_env *env, struct peer *peer, uint64_t id, const Diskalloc__V1__ListRegions *m);
void request_get_status(struct request_env *env, struct peer *peer, uint64_t id);
