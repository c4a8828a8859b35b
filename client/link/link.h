// The connection to the daemon, shared by all threads of a client, and made again when it is lost.  See the essay in
// link.c.
#pragma once
#include <diskalloc/client.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/queue.h>

#include "client/link/wire.h"

struct link;

// Another process asks whether the region may be cut.
struct ask {
    uint64_t number; // 0: nobody asks
    uint64_t size;   // bytes that would be left
};

// A region that is attached again on each new connection.
struct attachment {
    TAILQ_ENTRY(attachment) entry;
    struct handle handle;
    uint32_t owner; // uid
    bool read_only;
    bool sole_writer;   // no other process may write to the region
    bool keeps_reading; // of an attachment that has left: another one of the client's is for reading
    _Atomic bool stale; // the daemon of this connection does not know the region
    // Of news.c and look.c, like the next four: the connection on which they were heard.  On another one, nothing is
    // known.
    uint64_t news_epoch;
    bool watched; // the daemon sends an event before it answers who changes the region next
    bool changed; // since the last link_begin_watch there was an event about the region
    bool twin;    // another region of the client has, or had, the same handle
    struct ask ask;
    bool agreed; // to this ask
};

// News about an attachment.
struct link_news {
    bool quiet;  // nobody has changed the region since it was asked for last
    bool agreed; // the region has agreed to ASK, and that still stands
    struct ask ask;
};

// The reply to a request.
struct answer {
    WireReply *reply;
    int fd;         // the descriptor that came with the reply; -1: none
    uint64_t epoch; // number of the connection by which the reply came
    bool repeated;  // an earlier attempt was sent, and may have been carried out; set also if the call fails
};

// A request in flight.  It lies on the stack of the thread that waits for it, or in its region.  Only the link uses
// the fields.
struct call {
    TAILQ_ENTRY(call) entry;
    uint64_t id;
    pthread_cond_t changed; // signalled: the call is answered or lost, or it is this thread's turn to read
    struct answer answer;   // reply is NULL until it has come
    bool lost;              // the connection was lost before the reply came
    bool awaited;           // a thread waits for the reply
};

enum link_flag {
    LINK_ONCE =
        1, // do not repeat the request when the connection is lost: -EINTR, and the caller has to look what was done
};

// link.c

// Copies PATH and the client's name, and connects once.  0 or -errno as connection_open.
int link_new(const char *path, const struct diskalloc_options *options, struct link **ret);
void link_free(struct link *link); // all regions are closed by now
// In a forked child: makes the locks new and forgets the parent's connection.
void link_forked(struct link *link);
// Called when a request was refused for want of rights: if the connection was made while this thread had another
// effective user, gives the connection up. True: the next request makes a new one, with the rights that the thread has
// now.
bool link_renew(struct link *link);
// True if there is a connection and its daemon has FEATURE (of the .proto).
bool link_has_feature(struct link *link, uint64_t feature);
void answer_deinit(struct answer *a);

// call.c: sends Q, whose id is chosen here, and waits for the reply.  FLAGS: enum link_flag. 0 and RET is to be given
// to answer_deinit, whatever the reply says; -ECONNRESET: there was no daemon within the reconnect timeout; -EINTR:
// see LINK_ONCE; -EPROTO, -EINVAL.  After a failure the request was not carried out, unless it is -EINTR or RET says
// repeated.
int link_call(struct link *link, WireRequest *q, unsigned flags, struct answer *ret);
// The daemon may have carried a request out.  R is -ECONNRESET then, also if a shortage of this process keeps it from
// asking.  Other errors stay as they are.
int link_answer_lost(int r);
// As link_call, for a GrowRegion that waits for space until UNTIL, a deadline of proto/util/clock.h.  If the request
// is repeated on another connection, it waits only for the time that is left.  Being without a daemon ends at UNTIL
// too.
int link_call_until(struct link *link, WireRequest *q, uint64_t until, struct answer *ret);

// attach.c

// From now on ATTACHMENT is attached again on each new connection.  False: the connection EPOCH, on which the region
// was attached, is lost already, and the caller has to ask for the region again.
bool link_attach(struct link *link, struct attachment *attachment, uint64_t epoch);
// The flags of an AttachRegion that makes ATTACHMENT again.
uint32_t link_attach_flags(const struct attachment *attachment);
// REPLY answers an AttachRegion that makes ATTACHMENT again.  What is attached now may be another user's region, which
// was given the same handle while the one that was attached before is away: then ATTACHMENT is stale.
void link_check_owner(struct attachment *attachment, const WireReply *reply);
// Tells the daemon, without waiting for it, and frees ATTACHMENT.
void link_detach(struct link *link, struct attachment *attachment);
// Before link_free: tells the daemon of all regions that were closed, and waits a moment for room in the socket.  A
// connection that ends without that is no detach: other processes could not shrink those regions as long as this one
// lives.
void link_leave(struct link *link);
// True if more than one region of the client has HANDLE attached.
bool link_is_shared(struct link *link, const struct handle *handle);

// look.c: what others do with the regions of the client.

// Reads what has come, and says what it tells of ATTACHMENT.  Waits for nobody.
void link_look(struct link *link, struct attachment *attachment, struct link_news *ret);
// Before a StatRegion: whether it may ask to watch.  *RET_EPOCH is to be given to link_watch, when the daemon has
// agreed.
bool link_begin_watch(struct link *link, struct attachment *attachment, uint64_t *ret_epoch);
void link_watch(struct link *link, struct attachment *attachment, uint64_t epoch);
// The region of ATTACHMENT has no access any more to what ASK is about.  When all regions of the client that have the
// same handle have said so, the daemon is told, without waiting for it.
void link_agree(struct link *link, struct attachment *attachment, const struct ask *ask);
// The daemon has answered a grow: what the region had agreed to is over.
void link_end_ask(struct link *link, struct attachment *attachment);

// poll.c: as diskalloc_event_fd and diskalloc_next_event.
int link_event_fd(struct link *link);
int link_next_event(struct link *link, struct diskalloc_event *ret);
