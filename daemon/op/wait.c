// Two kinds of growth wait. What a client asked to wait for (a deadline of its own); and what is refused while
// releases are under way in the refusing account or on the disk: close, then create, must not fail by chance, for the space of
// what was closed comes back a moment later, when the kernel has let go of the file. The latter for a second at most.
//
// Guarantees: first come first served within a user, users take turns; what enters leaves once, granted, refused with the
// limit as it is then, timed out or cancelled. What is above the limit itself is refused at once.
//
// Growth that does not wait may pass those that do, but not take what the first of a user's queue needs once that has waited for a
// second. This claim ends after ten: else one who waits for what never comes would keep all others of a shared account
// from growing for ever.
//
// It relies on: op.c, which keeps the operation at the head of its region's queue meanwhile; wait_poke after each release.
// Space that others free on the disk is found by trying again.
//
// It does not: reserve anything in the accounts.
#include "daemon/op/wait.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/user.h"
#include "proto/util/clock.h"

enum {
    GRACE_MS = 1000,
    CLAIM_BEGINS_MS = 1000,
    CLAIM_ENDS_MS = 11 * 1000,
    DISK_RETRY_MS = 100,
    LATE_MS = 1000,     // what is at work when its deadline passes has this to end well, so that its outcome is certain
    MAX_OF_USER = 1024, // the queue is walked whenever something is given back
};

TAILQ_HEAD(op_queue, op);

struct wait_queue {
    struct op_env *env;
    void (*wake)(void *data, uint64_t at);
    void *data;
    struct op_queue ops; // in the order in which they came
    struct op_queue watched;
    uid_t last_served;
};

int wait_new(struct op_env *env, void (*wake)(void *data, uint64_t at), void *data, struct wait_queue **ret)
{
    struct wait_queue *w = calloc(1, sizeof *w);

    if (!w)
        return -ENOMEM;
    w->env = env;
    w->wake = wake;
    w->data = data;
    TAILQ_INIT(&w->ops);
    TAILQ_INIT(&w->watched);
    *ret = w;
    return 0;
}

void wait_free(struct wait_queue *w)
{
    struct op *op;

    while (w && (op = TAILQ_FIRST(&w->ops)))
        op_give_up(op, -ESHUTDOWN);
    free(w);
}

// Whether what refused is about to get something back: a user's own account from their regions, others from anybody's.
static bool is_releasing(const struct wait_queue *w, const struct op *op)
{
    const struct user *owner = op->region->owner;

    if (op->refusal.account && op->refusal.account == quota_user_account(owner->quota))
        return owner->n_releasing > 0;
    return w->env->regions->n_releasing > 0;
}

// Not even if everybody else gave everything back.
static bool is_hopeless(const struct op *op)
{
    const struct quota_refusal *why = &op->refusal;
    uint64_t own = op->region->charge.amount[QUOTA_BYTES];

    if (why->resource != QUOTA_BYTES)
        return false;
    return why->of_one_region || why->asked > why->limit || own > why->limit - why->asked;
}

static void place(struct wait_queue *w, struct op *op)
{
    struct op *o;

    // One that was tried and refused again has kept its place.
    TAILQ_FOREACH_REVERSE(o, &w->ops, op_queue, waiting)
    if (o->wait_since <= op->wait_since) {
        TAILQ_INSERT_AFTER(&w->ops, o, op, waiting);
        return;
    }
    TAILQ_INSERT_HEAD(&w->ops, op, waiting);
}

static void insert(struct wait_queue *w, struct op *op)
{
    place(w, op);
    op->is_waiting = true;
    op->region->owner->n_waiting++;
    if (op->waits)
        op->waits(op, true);
}

// Whether an earlier one of the same user is still queued.
static bool is_behind_another(const struct wait_queue *w, const struct op *op)
{
    const struct op *o;

    TAILQ_FOREACH (o, &w->ops, waiting) {
        if (o == op)
            return false;
        if (o->region->owner == op->region->owner && o->refused_with != -EBUSY)
            return true;
    }
    return false;
}

// When something will have to be done about OP: always later than NOW, or it would turn the loop.
static uint64_t due(const struct wait_queue *w, const struct op *op, uint64_t now)
{
    uint64_t at = op->wait_deadline > now ? op->wait_deadline : op->wait_until;

    if (op->refused_with == -EBUSY)
        return UINT64_MAX;
    // Releases end without a word, in the worst case.
    if (op->wait_deadline <= now && at > now + DISK_RETRY_MS)
        at = now + DISK_RETRY_MS;
    // Behind another it is not tried, and follows when that one leaves.
    return op->retry_at < at && !is_behind_another(w, op) ? op->retry_at : at;
}

// Refused for the sake of others and not by its limit: nothing that is given back need ever say that it may be tried.
static bool was_held_back(const struct op *op)
{
    return op->refusal.resource == QUOTA_BYTES && op->extra <= quota_user_left(op->region->owner->quota, QUOTA_BYTES);
}

// A detach that was sent before this request may lie unread in another socket: a second try when the loop has turned once.
static bool enter_for_consent(struct wait_queue *w, struct op *op)
{
    if (!op->type->asks_consent || op->wait_since || op->cancelled || op->region->maybe_shared)
        return false;
    op->wait_since = op->wait_until = clock_now();
    op->refused_with = -EBUSY;
    op->retry_at = op->wait_since;
    insert(w, op);
    w->wake(w->data, op->wait_since);
    return true;
}

bool wait_enter(struct wait_queue *w, struct op *op, int result)
{
    uint64_t now = clock_now(), grace, at;

    if (op->early)
        return false;
    if (result == -EBUSY)
        return enter_for_consent(w, op);
    if ((result != -EDQUOT && result != -ENOSPC) || op->cancelled || is_hopeless(op))
        return false;
    if (op->region->owner->n_waiting >= MAX_OF_USER)
        return false;
    if (!op->wait_since) {
        op->wait_since = now;
        op->wait_until = now + GRACE_MS;
    }
    grace = is_releasing(w, op) ? op->wait_until : 0;
    // What was asked to wait and found its deadline passed on the way here is timed out as any other.
    if (op->wait_deadline == 0 && now >= grace)
        return false;
    op->refused_with = result;
    op->retry_at = result == -ENOSPC || was_held_back(op) ? now + DISK_RETRY_MS : UINT64_MAX;
    insert(w, op);
    at = due(w, op, now);
    if (at != UINT64_MAX)
        w->wake(w->data, at);
    return true;
}

void wait_leave(struct wait_queue *w, struct op *op)
{
    TAILQ_REMOVE(&w->ops, op, waiting);
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

// Those that a hung disk, or what is before them in their region's queue, holds up: whoever asked is not kept waiting with them.
static void tell_late(struct wait_queue *w, uint64_t now)
{
    struct op *op, *next;

    for (op = TAILQ_FIRST(&w->watched); op; op = next) {
        next = TAILQ_NEXT(op, watched);
        if (now < op->wait_deadline + LATE_MS || op->is_waiting)
            continue;
        wait_unwatch(w, op);
        op_cancel(op);
        if (op->late)
            op->late(op);
    }
}

void wait_poke(struct wait_queue *w)
{
    if (!TAILQ_EMPTY(&w->ops))
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

    // It had its turn, it makes nobody's share smaller, or it was asked by wait_wants.
    if (op->wait_since || op->early || !op->type->charges)
        return false;
    now = TAILQ_EMPTY(&w->ops) ? 0 : clock_now();
    TAILQ_FOREACH (o, &w->ops, waiting) {
        bool same_user = o->region->owner == op->region->owner;
        bool same_account =
            o->refusal.account ? quota_user_counts_in(op->region->owner->quota, o->refusal.account) : true;

        if ((op->wait_deadline && same_user) || (same_account && has_claim(o, now) && !is_behind_another(w, o))) {
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
    bool takes_disk = !(op->region->record.flags & RECORD_SPARSE);
    const struct op *o;

    TAILQ_FOREACH (o, &w->ops, waiting) {
        const struct quota_account *a = o->refusal.account;

        if (o->refused_with != -EBUSY && (a ? quota_user_counts_in(op->region->owner->quota, a) : takes_disk))
            return true;
    }
    return false;
}

static bool ask_consent_again(struct wait_queue *w)
{
    struct op *op;

    TAILQ_FOREACH (op, &w->ops, waiting)
        if (op->refused_with == -EBUSY && op_try_again(op))
            return true;
    return false;
}

static bool has_waited_enough(const struct wait_queue *w, const struct op *op, uint64_t now)
{
    // A limit may have been lowered meanwhile.
    if (op->cancelled)
        return true;
    if (op->refused_with == -EBUSY)
        return false; // what is at work on its region pokes when it ends
    if (is_hopeless(op))
        return true;
    return now >= op->wait_deadline && (now >= op->wait_until || !is_releasing(w, op));
}

static int verdict(const struct op *op)
{
    if (op->cancelled)
        return -ECANCELED;
    return op->wait_deadline > 0 && !is_hopeless(op) ? -ETIMEDOUT : op->refused_with;
}

// One at a time: what ends may start or end others.
static bool end_one(struct wait_queue *w, uint64_t now)
{
    struct op *op;

    TAILQ_FOREACH (op, &w->ops, waiting)
        if (has_waited_enough(w, op, now)) {
            op_give_up(op, verdict(op));
            return true;
        }
    return false;
}

static bool may_be_tried(const struct wait_queue *w, const struct op *op, uint64_t now)
{
    if (op->cancelled)
        return false;
    // What it hoped for has come, or will not come any more: it is tried before it is given up.
    return op->refused_with != -ENOSPC || now >= op->retry_at || (op->wait_deadline == 0 && !is_releasing(w, op));
}

// The first in the queue of the user who comes next after those of DISTANCE below AT_LEAST: users' turns go by uid, round and round.
static struct op *next_in_turn(const struct wait_queue *w, uint64_t at_least, uint64_t *ret_distance)
{
    struct op *op, *best = NULL;

    TAILQ_FOREACH (op, &w->ops, waiting) {
        uint64_t distance = (uint32_t)(op->region->owner->uid - w->last_served - 1);

        if (op->refused_with == -EBUSY || distance < at_least || (best && distance >= *ret_distance))
            continue;
        best = op;
        *ret_distance = distance;
    }
    return best;
}

// The first of the user whose turn it is and who can be granted something.
static bool serve_one(struct wait_queue *w, uint64_t now)
{
    uint64_t distance = 0;
    struct op *op;

    for (uint64_t at_least = 0; (op = next_in_turn(w, at_least, &distance)); at_least = distance + 1) {
        uid_t uid = op->region->owner->uid;

        if (may_be_tried(w, op, now) && op_try_again(op)) {
            w->last_served = uid;
            return true;
        }
    }
    return false;
}

void wait_run(struct wait_queue *w, uint64_t now)
{
    const struct op *op;
    uint64_t next = UINT64_MAX;
    bool ended;

    while (ask_consent_again(w))
        continue;
    do {
        while (serve_one(w, now))
            continue;
        // What was behind one that ends may be small enough.
        for (ended = false; end_one(w, now); ended = true)
            continue;
    } while (ended);
    tell_late(w, now);
    TAILQ_FOREACH (op, &w->ops, waiting) {
        uint64_t at = due(w, op, now);

        next = at < next ? at : next;
    }
    TAILQ_FOREACH (op, &w->watched, watched)
        if (op->wait_deadline + LATE_MS > now && op->wait_deadline + LATE_MS < next)
            next = op->wait_deadline + LATE_MS;
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
