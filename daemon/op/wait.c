// The queue of operations that wait for what was refused.
//
// Three kinds of operations wait.  A client may ask to wait: then the grow has a deadline.  A grow without a deadline waits
// up to a second if releases are under way in the account that refused it, or on the disk: a program that closes a region
// and then makes another must not fail by chance, and the kernel frees a closed file a moment later.  And a shrink or
// discard that found the region shared is tried once more when the loop has turned: the detach that another client sent
// before may lie unread in its socket.
//
// This file is data: it says which operation to try or to end next.  resume.c asks and acts, queue.c enters and removes
// operations.  All functions run on the loop.
//
// Within a user, the operation that came first is served first; users take turns, in the order of their uids.  An operation
// leaves the queue once: granted, refused with the limit as it is then, timed out, or cancelled.  An operation that is
// larger than the limit itself is refused at once.
//
// A grow without a deadline may pass operations that wait.  But it may not take what the first operation of a user needs
// once that has waited for a second.  This claim ends after ten more seconds; otherwise an operation that waits for what
// never comes would keep everybody else in a shared account from growing for ever.
//
// This file relies on wait_poke after each release.  Space that other programs free on the disk is found by trying again.
// It reserves nothing in the accounts.
#include "daemon/op/wait.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>

#include "daemon/op/op_internal.h"
#include "daemon/user.h"
#include "proto/util/checked.h"
#include "proto/util/clock.h"

enum {
    GRACE_MS = 1000, // how long an operation without a deadline waits for releases
    CLAIM_BEGINS_MS = 1000,
    CLAIM_ENDS_MS = 11 * 1000,
    DISK_RETRY_MS = 100,
    LATE_MS = 1000,     // after its deadline, an operation at work has this long to end with a certain outcome
    MAX_OF_USER = 1024, // operations that wait; the queue is walked whenever something is given back
};

TAILQ_HEAD(op_queue, op);

struct wait_queue {
    const struct region_table *regions;
    void (*wake)(void *data, uint64_t at);
    void *data;
    struct op_queue ops;     // for a limit or the disk, in the order in which they were first refused
    struct op_queue asking;  // refused with -EBUSY, for another try
    struct op_queue watched; // with a deadline, whether they wait or not
    uid_t last_served;       // the user whose turn was last
    uint64_t next_distance;  // wait_next_to_try goes on with the users from this distance on
    const struct op *tried;  // what wait_next_to_try returned last
};

int wait_new(const struct region_table *regions, void (*wake)(void *data, uint64_t at), void *data,
             struct wait_queue **ret)
{
    struct wait_queue *w = calloc(1, sizeof *w);

    if (!w)
        return -ENOMEM;
    w->regions = regions;
    w->wake = wake;
    w->data = data;
    TAILQ_INIT(&w->ops);
    TAILQ_INIT(&w->asking);
    TAILQ_INIT(&w->watched);
    *ret = w;
    return 0;
}

struct op *wait_first(const struct wait_queue *w)
{
    return TAILQ_EMPTY(&w->asking) ? TAILQ_FIRST(&w->ops) : TAILQ_FIRST(&w->asking);
}

void wait_free(struct wait_queue *w)
{
    assert(!w || !wait_first(w));
    free(w);
}

// Whether a charge is about to be given back to the account that refused OP.  Only a user's own account depends on that
// user's regions alone.
static bool is_releasing(const struct wait_queue *w, const struct op *op)
{
    const struct user *owner = op->region->owner;

    if (op->refusal.account && op->refusal.account == quota_user_account(owner->quota))
        return owner->n_releasing > 0;
    return w->regions->n_releasing > 0;
}

// Whether OP would be refused even if all other regions gave everything back.
static bool is_hopeless(const struct op *op)
{
    const struct quota_refusal *why = &op->refusal;
    uint64_t own = op->region->charge.amount[QUOTA_BYTES];

    if (why->resource != QUOTA_BYTES)
        return false;
    return why->of_one_region || why->asked > why->limit || own > why->limit - why->asked;
}

// Whether OP was refused only for the sake of other operations: no release need ever come that pokes for it.
static bool was_held_back(const struct op *op)
{
    return op->refusal.resource == QUOTA_BYTES && op->extra <= quota_user_left(op->region->owner->quota, QUOTA_BYTES);
}

static bool is_behind_another_of_its_user(const struct wait_queue *w, const struct op *op)
{
    const struct op *o;

    TAILQ_FOREACH (o, &w->ops, waiting) {
        if (o == op)
            return false;
        if (o->region->owner == op->region->owner)
            return true;
    }
    return false;
}

// When OP must be looked at without a poke.  Always later than NOW: otherwise the timer would fire without end.
static uint64_t due(const struct wait_queue *w, const struct op *op, uint64_t now)
{
    uint64_t at = op->wait_deadline > now ? op->wait_deadline : op->wait_until;

    // In the grace, look often: releases that fail end without a poke.
    if (op->wait_deadline <= now)
        at = u64_min(at, now + DISK_RETRY_MS);
    // An operation behind another is not tried before the other has left, and that pokes.
    return op->retry_at < at && !is_behind_another_of_its_user(w, op) ? op->retry_at : at;
}

static struct op_queue *list_of(struct wait_queue *w, const struct op *op)
{
    return op->refused_with == -EBUSY ? &w->asking : &w->ops;
}

static void insert(struct wait_queue *w, struct op *op)
{
    struct op_queue *list = list_of(w, op);
    struct op *before = TAILQ_LAST(list, op_queue);

    // An operation that was tried, ran and was refused again keeps its place.
    while (before && before->wait_since > op->wait_since)
        before = TAILQ_PREV(before, op_queue, waiting);
    if (before)
        TAILQ_INSERT_AFTER(list, before, op, waiting);
    else
        TAILQ_INSERT_HEAD(list, op, waiting);
    op->is_waiting = true;
    op->region->owner->n_waiting++;
    if (op->waits)
        op->waits(op, true);
}

static bool enter_for_consent(struct wait_queue *w, struct op *op)
{
    if (!op->type->asks_consent || op->wait_since || op->region->maybe_shared)
        return false;
    op->wait_since = clock_now();
    insert(w, op);
    w->wake(w->data, op->wait_since);
    return true;
}

static bool enter_for_limit(struct wait_queue *w, struct op *op)
{
    uint64_t now = clock_now(), at;

    if (is_hopeless(op) || op->region->owner->n_waiting >= MAX_OF_USER)
        return false;
    if (!op->wait_since) {
        op->wait_since = now;
        op->wait_until = now + GRACE_MS;
    }
    // A deadline that has passed on the way here is no reason to refuse: the operation is queued and then times out.
    if (op->wait_deadline == 0 && (now >= op->wait_until || !is_releasing(w, op)))
        return false;
    op->retry_at = op->refused_with == -ENOSPC || was_held_back(op) ? now + DISK_RETRY_MS : UINT64_MAX;
    insert(w, op);
    at = due(w, op, now);
    if (at != UINT64_MAX)
        w->wake(w->data, at);
    return true;
}

bool wait_enter(struct wait_queue *w, struct op *op, int result)
{
    if (op->early || op->cancelled)
        return false;
    op->refused_with = result;
    if (result == -EBUSY)
        return enter_for_consent(w, op);
    return (result == -EDQUOT || result == -ENOSPC) && enter_for_limit(w, op);
}

void wait_leave(struct wait_queue *w, struct op *op)
{
    TAILQ_REMOVE(list_of(w, op), op, waiting);
    // The try was not in vain: it is the next user's turn.
    if (op == w->tried)
        w->last_served = op->region->owner->uid;
    w->tried = NULL;
    w->next_distance = 0;
    op->region->owner->n_waiting--;
    op->is_waiting = false;
    if (op->waits)
        op->waits(op, false);
}

void wait_watch(struct wait_queue *w, struct op *op)
{
    op->is_watched = true;
    TAILQ_INSERT_TAIL(&w->watched, op, watched);
    w->wake(w->data, op->wait_deadline + LATE_MS);
}

void wait_unwatch(struct wait_queue *w, struct op *op)
{
    if (op->is_watched)
        TAILQ_REMOVE(&w->watched, op, watched);
    op->is_watched = false;
}

void wait_poke(struct wait_queue *w)
{
    if (wait_first(w))
        w->wake(w->data, clock_now());
}

static bool has_claim(const struct op *waiter, uint64_t now)
{
    uint64_t age = now - waiter->wait_since;

    return waiter->wait_deadline > 0 && age >= CLAIM_BEGINS_MS && age < CLAIM_ENDS_MS;
}

bool wait_holds_back(const struct wait_queue *w, struct op *op)
{
    const struct op *o;
    uint64_t now;

    // An operation that has waited had its turn; an early grow was checked by wait_wants; an operation that charges nothing takes
    // nothing from those that wait.
    if (op->wait_since || op->early || !op->type->charges || op->extra == 0)
        return false;
    now = TAILQ_EMPTY(&w->ops) ? 0 : clock_now();
    TAILQ_FOREACH (o, &w->ops, waiting) {
        bool same_user = o->region->owner == op->region->owner;
        bool same_account = !o->refusal.account || quota_user_counts_in(op->region->owner->quota, o->refusal.account);

        if ((op->wait_deadline > 0 && same_user) ||
            (same_account && has_claim(o, now) && !is_behind_another_of_its_user(w, o))) {
            uint64_t asked = op->extra;

            op->refusal = o->refusal;
            op->refusal.asked = asked;
            return true;
        }
    }
    return false;
}

bool wait_wants(const struct wait_queue *w, const struct op *op)
{
    bool takes_disk = op_takes_blocks(op);
    const struct op *o;

    TAILQ_FOREACH (o, &w->ops, waiting) {
        const struct quota_account *a = o->refusal.account;

        if (a ? quota_user_counts_in(op->region->owner->quota, a) : takes_disk)
            return true;
    }
    return false;
}

static bool may_be_tried(const struct wait_queue *w, const struct op *op, uint64_t now)
{
    // While an operation is at work on its region, a parked operation stays parked; the end of the other pokes.
    if (op->parked && !TAILQ_EMPTY(&op->region->ops))
        return false;
    if (op->refused_with == -EBUSY)
        return true;
    if (op->cancelled)
        return false;
    // An operation that hoped for a release is tried once more when no release is under way any more.
    return op->refused_with != -ENOSPC || now >= op->retry_at || (op->wait_deadline == 0 && !is_releasing(w, op));
}

// The first operation of the next user.  A user's distance is the number of uids from the user who was served last.
static struct op *next_in_turn(struct wait_queue *w)
{
    uint64_t best_distance = UINT64_MAX;
    struct op *op, *best = NULL;

    TAILQ_FOREACH (op, &w->ops, waiting) {
        uint64_t distance = (uint32_t)(op->region->owner->uid - w->last_served - 1);

        if (distance < w->next_distance || distance >= best_distance)
            continue;
        best = op;
        best_distance = distance;
    }
    w->next_distance = best ? best_distance + 1 : 0;
    return best;
}

struct op *wait_next_to_try(struct wait_queue *w, uint64_t now)
{
    struct op *op;

    w->tried = NULL;
    TAILQ_FOREACH (op, &w->asking, waiting)
        if (may_be_tried(w, op, now))
            return op;
    while ((op = next_in_turn(w)) && !may_be_tried(w, op, now))
        continue;
    w->tried = op;
    return op;
}

static bool has_waited_enough(const struct wait_queue *w, const struct op *op, uint64_t now)
{
    // A limit that was lowered meanwhile can make a wish hopeless.
    return is_hopeless(op) || (now >= op->wait_deadline && (now >= op->wait_until || !is_releasing(w, op)));
}

struct op *wait_next_to_end(const struct wait_queue *w, uint64_t now, int *ret_result)
{
    struct op *op;

    *ret_result = -ECANCELED;
    TAILQ_FOREACH (op, &w->asking, waiting)
        if (op->cancelled)
            return op;
    TAILQ_FOREACH (op, &w->ops, waiting)
        if (op->cancelled || has_waited_enough(w, op, now))
            break;
    if (op && !op->cancelled)
        *ret_result = op->wait_deadline > 0 && !is_hopeless(op) ? -ETIMEDOUT : op->refused_with;
    return op;
}

struct op *wait_next_late(struct wait_queue *w, uint64_t now)
{
    struct op *op;

    TAILQ_FOREACH (op, &w->watched, watched)
        if (now >= op->wait_deadline + LATE_MS && !op->is_waiting) {
            wait_unwatch(w, op);
            break;
        }
    return op;
}

void wait_set_alarm(struct wait_queue *w, uint64_t now)
{
    uint64_t next = UINT64_MAX;
    const struct op *op;

    TAILQ_FOREACH (op, &w->ops, waiting)
        next = u64_min(next, due(w, op, now));
    TAILQ_FOREACH (op, &w->watched, watched)
        if (op->wait_deadline + LATE_MS > now)
            next = u64_min(next, op->wait_deadline + LATE_MS);
    if (next != UINT64_MAX)
        w->wake(w->data, next);
}

uint64_t wait_count(const struct wait_queue *w, const struct quota_account *account)
{
    const struct op *op;
    uint64_t n = 0;

    TAILQ_FOREACH (op, &w->ops, waiting)
        n += op->wait_deadline > 0 && quota_user_counts_in(op->region->owner->quota, account);
    return n;
}
