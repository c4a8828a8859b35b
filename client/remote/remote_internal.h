// The daemon backend's two halves: the client's side (remote.c) and one attached region of it (remote_region.c).
#pragma once
#include "client/backend.h"
#include "client/link/link.h"

struct remote {
    struct backend base;
    struct link *link;
};

struct remote_backing {
    struct backing base;
    struct link *link;
    struct attachment *attachment; // the link's, once it is attached
    uint64_t discarded;            // bytes, as last heard of
    struct call early;             // on its way, if it is
    bool early_asked;
};

extern const struct backing_ops remote_backing_ops;

// 0, the daemon's refusal, or -EPROTO unless the reply has what it has to have.
int remote_check_region(const struct answer *a, bool with_fd);
// A grow that nobody waits for: see backing_ops.  Before any other request about the region it is settled.
int remote_grow_early(struct backing *b, uint64_t size);
int remote_settle_early(struct backing *b, bool wait);
void remote_drop_early(struct backing *b);
// Into b->discarded.
int remote_list_discarded(struct backing *b);
int remote_discard(struct backing *b, uint64_t offset, uint64_t length);
int remote_restore(struct backing *b, uint64_t offset, uint64_t length);

// A request about an attached region: link_call, until UNTIL if that is not 0, and once more where the daemon says that it is not
// attached.
int remote_call(struct remote_backing *remote, WireRequest *q, unsigned flags, uint64_t until, struct answer *ret);
// The same with a region as its reply, which B takes over; *RET_FD its descriptor where one is wanted.
int remote_ask(struct backing *b, WireRequest *q, unsigned flags, int *ret_fd);
void remote_take_region(struct backing *b, const WireRegion *region);
