// The two structs of this folder: the client's side (backend.c) and one attached region of it (the other files).
#pragma once
#include "client/link/link.h"
#include "client/remote/remote.h"

struct remote {
    struct backend base;
    struct link *link; // owned
};

struct remote_backing {
    struct backing base;
    struct link *link;             // the backend's
    struct attachment *attachment; // given to the link, once the region is attached
    uint64_t discarded;            // bytes that are discarded, as the daemon said last
    struct call early;             // the early grow whose answer is awaited, where early_asked
    bool early_asked;
    bool watched; // as the last reply said
};

// ask.c: requests about an attached region.

// Sends Q; if the daemon says that the region is not attached, attaches it and sends Q once more.  UNTIL: Q is a
// GrowRegion that waits for space until then (of proto/util/clock.h); 0: it does not wait.  FLAGS: enum link_flag. 0
// and *RET is to be given to answer_deinit, whatever the reply says; -ESTALE: the daemon does not know the region any
// more; -errno as link_call.
int remote_call(struct remote_backing *remote, WireRequest *q, unsigned flags, uint64_t until, struct answer *ret);
// As remote_call, for a request whose reply is the region: B takes the reply over.  RET_FD: takes the descriptor that
// comes with the reply; NULL: none is expected.  An early grow was settled before (client/region sees to that).
int remote_ask(struct backing *b, WireRequest *q, unsigned flags, int *ret_fd);
// 0; the daemon's refusal; -EPROTO: the reply has no region, or not the descriptor that it should have; -EMFILE.
int remote_check_region(const struct answer *a, bool with_fd);
// True if the refusal R is an error of the daemon's disk.  Then a shrink or discard may have been done in part, and
// could not be undone: the daemon has to be asked what is granted.
bool remote_is_of_disk(int r);
// Takes over what the daemon says of a region: all but which parts are discarded.
void remote_take_region(struct backing *b, const WireRegion *region);

// early.c: see grow_early and settle_early of backing_ops.  The last one forgets a grow whose answer nobody wants any
// more.
int remote_grow_early(struct backing *b, uint64_t size);
int remote_settle_early(struct backing *b, bool wait);
void remote_drop_early(struct backing *b);

// list.c
int remote_list(struct backend *backend, const struct handle *after, struct region_page *ret);

// answer.c

// Makes the backing that an answer tells of, and frees the answer.  MADE: the handle of the region if the request has
// made it; NULL: it makes none.  *RET_DISCARDED: parts of it are discarded, and have to be asked for
// (remote_list_discarded).  0; -EAGAIN: the connection was lost since; -errno, and a region that the request has made
// is gone again.
int remote_take_answer(struct remote *remote, struct answer *a, const struct handle *made, uint32_t flags,
                       bool *ret_discarded, struct backing **ret);
// Asks which parts of a new backing are discarded; closes or abandons it on failure, and *B is NULL.
int remote_complete(struct backing **b);

// clone.c
int remote_clone(struct backend *backend, const struct clone_source *source, const struct region_name *name,
                 const struct backing_request *q, struct backing **ret);

// discard.c.  The first one asks which parts are discarded, and sets b->discarded.
int remote_list_discarded(struct backing *b);
int remote_discard(struct backing *b, uint64_t offset, uint64_t length);
int remote_restore(struct backing *b, uint64_t offset, uint64_t length);

// news.c: see backing_ops.  The first two are about a StatRegion, before it is sent and when it is answered.
bool remote_begin_watch(struct backing *b, uint64_t *ret_epoch);
void remote_watch(struct backing *b, uint64_t epoch);
void remote_look(struct backing *b, struct backing_news *ret);
void remote_agree(struct backing *b, const struct backing_news *news);
int remote_disagree(struct backing *b);

// backing.c

// Removes a region that this client has made and has not attached any more, unless others have it by now.
void remote_remove_made(struct link *link, const struct handle *handle);
extern const struct backing_ops remote_backing_ops;
