// Queues of work, one for each user, that take turns.  The pool of workers holds its lock around all of this.
#pragma once
#include <stdbool.h>
#include <stdint.h>
#include <sys/queue.h>

#include "daemon/tree.h"
#include "daemon/work/work.h"

// The work of one key (struct work.lane) on one disk.  A lane exists while it has work, queued or running.
struct lane {
    uint64_t key;
    unsigned disk;
    unsigned n_running;
    struct work_queue running; // in the order in which their present pieces began
    struct work_queue brief, other;
    bool queued; // on the ring
    TAILQ_ENTRY(lane) ring;
    RB_ENTRY(lane) node;
};
RB_HEAD(lane_tree, lane);

struct lanes {
    struct lane_tree tree;
    TAILQ_HEAD(, lane) ring;      // the lanes with queued work; the next to be served first
    struct lane everybody;        // for keys for whose lane there was no memory
    unsigned most;                // workers that one lane may occupy, beside one more for brief work
    unsigned n_queued, n_running; // of all lanes
};

void lanes_init(struct lanes *l, unsigned n_workers);
void lanes_deinit(struct lanes *l); // forgets all queued work
// Queues W behind the other work of its lane, and returns that lane.
struct lane *lanes_push(struct lanes *l, struct work *w);
// Takes the next piece of work that a worker may do off its queue.  NULL: there is none.
struct work *lanes_take(struct lanes *l, bool brief_only);
// Whether lanes_take would find something.
bool lanes_have(const struct lanes *l, bool brief_only);
// Whether a worker that takes all work passes LANE over at present.
bool lane_is_full(const struct lanes *l, const struct lane *lane);
// The worker that took W has ended a piece of it; W is queued again if AGAIN.
void lanes_end(struct lanes *l, struct work *w, bool again);
// W, which waits, cannot go on, since all workers that its lane may have are busy with pieces that began at BEFORE (ms,
// monotonic) or earlier, none of which is slow.
bool lanes_is_blocked(const struct lanes *l, const struct work *w, uint64_t before);
void lanes_withdraw(struct lanes *l, struct work *w); // W was queued
