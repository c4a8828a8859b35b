// The holders of a region: the connections that have it attached, and the processes that may map it without one.
// See the essay in holders.c.  All functions run on the loop.
#pragma once
#include <stdbool.h>
#include <stdint.h>
#include <sys/queue.h>
#include <sys/types.h>

#include "daemon/tree.h"

struct news_list;
struct peer;
struct region;
struct user;

// A client process.
struct holder {
    uid_t uid;
    pid_t pid;
    bool pid_is_ours;    // the kernel gave the pid, in the daemon's own pid namespace
    uint64_t started_at; // see proc_start_time; 0: not known
};

// The claim of a client that attaches a region.
enum holder_claim {
    HOLDER_IS_NEW,
    HOLDER_REPEATS, // an earlier try may have attached the region, on a connection that has ended; nothing is mapped
    HOLDER_MAPS,    // it maps the region, from a connection that has ended
};

struct attachment {
    struct region *region;
    struct peer *peer;
    struct holder holder;
    bool read_only;
    bool sole_writer;          // no other attachment may write
    bool replaced;             // the same process has attached the region on a newer connection
    bool stays;                // the connection ends, but the process lives: see holders_lose
    uint64_t number;           // grows with each attachment of the region
    struct user *user;         // the peer's
    bool hears;                // the client knows FEATURE_SHARING: it is told of changes, and may be asked to agree
    bool watches;              // the client is told of the next change before that is answered
    uint64_t told_size;        // bytes: the size that the client was told last; UINT64_MAX: it has to be told
    bool is_asked, ask_is_due; // op/ask.c's: may the region be cut; the event about that is still to be sent
    bool agrees;               // the client has agreed
    uint64_t ask;              // number of the last ask
    struct news_list *in_news; // news.c's: the list that the attachment stands in; NULL: none
    TAILQ_ENTRY(attachment) of_news;
    TAILQ_ENTRY(attachment) of_region, of_peer;
    RB_ENTRY(attachment) by_peer, by_holder;
};
TAILQ_HEAD(attachment_list, attachment);
RB_HEAD(attachments_by_peer, attachment);
RB_HEAD(attachments_by_holder, attachment);

// A process whose connections ended, N of them, while they had the region attached.
struct lost_holder {
    struct holder holder;
    unsigned n;
};

struct holders {
    struct attachment_list attachments;
    unsigned n_attached; // the length of attachments
    // The same attachments: requests find theirs among any number of others.
    struct attachments_by_peer by_peer;
    struct attachments_by_holder by_holder; // and by number
    uint64_t last_number;
    unsigned n_hearing, n_watching, n_agreed; // attachments with hears, watches, agrees
    unsigned n_news;                          // attachments that stand in a list of news.c
    uint64_t last_ask;                        // number of an ask
    unsigned n_writers, n_sole_writers; // attachments that may write, and that let nobody else, and are not replaced
    struct lost_holder *lost;           // n_lost of them
    unsigned n_lost;
    unsigned awaited; // so many processes of the owner's may map the region, from before the daemon's start
    bool unknown;     // any number of processes, of any user, may map the region
    bool left;        // an attachment has ended, or the daemon has started anew: children of that process may be left
    // Users besides the owner who have got a descriptor of the file; they may have kept it when they detached.
    uint32_t stranger; // the lane (user_lane) of the only one, if has_stranger and not has_strangers
    bool has_stranger, has_strangers;
};

void holders_init(struct holders *h);
void holders_deinit(struct holders *h);

struct attachment *holders_find(const struct holders *h, const struct peer *peer); // NULL: PEER has not attached it
// The next attachment of HOLDER after AFTER, in the order of their age; NULL as AFTER: the oldest; NULL: there is none.
struct attachment *holders_next_of(const struct holders *h, const struct holder *holder, struct attachment *after);
// Attaches R, which has the holders H, to PEER.  A second attachment of the same peer only widens the first from
// reading to writing.  0 or -ENOMEM.
int holders_attach(struct holders *h, struct region *r, struct peer *peer, const struct holder *holder, bool read_only,
                   struct attachment_list *of_peer);
// A user who is not the owner, and whose lane (user_lane) is LANE, gets a descriptor of the file.
void holders_note_stranger(struct holders *h, uint32_t lane);
void holders_detach(struct holders *h, struct attachment *a, struct attachment_list *of_peer);
// Changes what the attachment A allows.
void holders_change(struct holders *h, struct attachment *a, bool read_only, bool sole_writer);

// Whether a connection besides PEER has the region attached in a way that keeps a further writer out.  SOLE: that
// writer wants to be the only one.  RETURNING: the process of a sole writer that attaches the region again, or NULL.
bool holders_keep_out(const struct holders *h, const struct peer *peer, const struct holder *returning, bool sole);

// A number that no other process has until the machine starts anew.  0: the process can't be told from others.
uint64_t holder_identity(const struct holder *holder);
bool holder_is_alive(const struct holder *holder); // false: its process has given up its memory
// The connection of A ends, and its process, which lives, has not detached the region.  holders_detach follows.
void holders_lose(struct holders *h, struct attachment *a);
// Whether a connection of HOLDER has ended that had the region attached.
bool holders_have_lost(const struct holders *h, const struct holder *holder);
// HOLDER is not lost any longer: it is back.  False: it was not lost.
bool holders_take_back(struct holders *h, const struct holder *holder);
// HOLDER, if it is lost, says that it does not hold the region any more.
void holders_leave(struct holders *h, const struct holder *holder);
// HOLDER attaches the region on the connection of PEER, which had not attached it, and says with CLAIM (not
// HOLDER_IS_NEW) that it may have held it.  The place that it had is free then.
void holders_return(struct holders *h, const struct holder *holder, enum holder_claim claim, uid_t owner,
                    const struct peer *peer);
// No process uses the region: the kernel says so.
void holders_forget(struct holders *h);

// The number of holders besides HOLDER, as far as its CLAIM says that it is one of them.
unsigned holders_count(struct holders *h, const struct holder *holder, enum holder_claim claim, uid_t owner);
// Whether a process without an attachment may map the region.
bool holders_are_lost(struct holders *h);
// Whether only the kernel knows: some of these processes are not known by name.
bool holders_are_uncertain(const struct holders *h);

// Each sets a flag of an attachment, and keeps the number of attachments with that flag.

static inline void holders_set_hearing(struct holders *h, struct attachment *a, bool hears)
{
    h->n_hearing += (unsigned)hears - (unsigned)a->hears;
    a->hears = hears;
}

static inline void holders_set_watching(struct holders *h, struct attachment *a, bool watches)
{
    h->n_watching += (unsigned)watches - (unsigned)a->watches;
    a->watches = watches;
}

static inline void holders_set_agreed(struct holders *h, struct attachment *a, bool agrees)
{
    h->n_agreed += (unsigned)agrees - (unsigned)a->agrees;
    a->agrees = agrees;
}
