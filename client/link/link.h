// The connection to the daemon, shared by all threads of a client, and made again when it is lost.  See the essay in link.c.
#pragma once
#include <diskalloc/client.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/queue.h>

#include "client/link/wire.h"

struct link;

// What must be attached again on a new connection.
struct attachment {
    TAILQ_ENTRY(attachment) entry;
    struct handle handle;
    bool read_only;
    _Atomic bool stale; // the daemon does not know it any more
};

struct answer {
    WireReply *reply;
    int fd;         // -1: none
    uint64_t epoch; // of the connection that it came by
    bool repeated;  // an earlier attempt may have been carried out
};

// A request in flight: on its thread's stack, or of its region.  The link's.
struct call {
    TAILQ_ENTRY(call) entry;
    uint64_t id;
    pthread_cond_t changed; // answered, lost, or it is this thread's turn to read
    struct answer answer;   // reply NULL: not yet
    bool lost;
    bool awaited; // by a thread
};

enum link_flag {
    LINK_ONCE = 1, // not to be repeated when the connection is lost: -EINTR tells the caller, who has to look first
};

// PATH and the name are copied.  Connects once: errors as connection_open.
int link_new(const char *path, const struct diskalloc_options *options, struct link **ret);
void link_free(struct link *link);

// Sends Q (its id is chosen here) and waits for the reply.  0 and RET is to be given to answer_deinit, whatever the reply says;
// -ECONNRESET: no daemon within the reconnect timeout; -EINTR: see LINK_ONCE; -EPROTO, -EINVAL.
int link_call(struct link *link, WireRequest *q, unsigned flags, struct answer *ret);
// The same for a GrowRegion that waits for space until UNTIL, a deadline of client/clock.h: on another connection only for what
// is left of it.  Being without a daemon ends with it too.
int link_call_until(struct link *link, WireRequest *q, uint64_t until, struct answer *ret);
void answer_deinit(struct answer *a);

// Sends Q without waiting for anything; C is on its way until it is collected or dropped.  -EAGAIN: not now.
int link_post(struct link *link, WireRequest *q, struct call *c);
// 0 and RET is to be given to answer_deinit; -EPIPE: the connection is lost, and nobody knows what became of it; -EAGAIN, where not
// WAITing: not yet, and it remains on its way.
int link_collect(struct link *link, struct call *c, bool wait, struct answer *ret);
// Nobody wants the answer.
void link_drop(struct link *link, struct call *c);
// Whether the daemon has FEATURE, of the .proto.
bool link_has_feature(struct link *link, uint64_t feature);

// From now on ATTACHMENT is attached on every connection.  False: the connection of EPOCH, where it was attached, is gone
// already, and it has to be asked for again.
bool link_attach(struct link *link, struct attachment *attachment, uint64_t epoch);
// Tells the daemon without waiting for it; the link frees ATTACHMENT.
void link_detach(struct link *link, struct attachment *attachment);

// Whether the client has HANDLE attached for more than one region.
bool link_is_shared(struct link *link, const struct handle *handle);

// As diskalloc_event_fd and diskalloc_next_event.
int link_event_fd(struct link *link);
int link_next_event(struct link *link, struct diskalloc_event *ret);

// In a forked child: a link without a connection.
void link_forked(struct link *link);
