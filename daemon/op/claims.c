// Space that an operation may not take, because others wait for it.
//
// A grow without a deadline may pass operations that wait.  But it may not take what the first operation of a user
// needs once that has waited for a second.  This claim ends after ten more seconds; otherwise an operation that waits
// for what never comes would keep everybody else in a shared account from growing for ever.
//
// A user may have many operations that wait, one behind the other, and others may not be at their mercy.  So claims
// count against other users within bounds: of each user the first operation only; up to the user's fair share of the
// account (or the disk), which is an equal part for each of the users who compete; and only against a user who has
// more than their own fair share.  An operation takes what is claimed if less is left behind it.
//
// The users in question are those who ask, and whose regions are charged: a user who waits for space for a region of
// another one holds back neither the owner nor others who write to it.
#include "daemon/op/op_internal.h"
#include "daemon/op/wait.h"
#include "daemon/op/waits.h"
#include "daemon/user.h"
#include "proto/util/checked.h"
#include "proto/util/clock.h"

enum {
    CLAIM_BEGINS_MS = 1000,
    CLAIM_ENDS_MS = 11 * 1000,
};

static bool has_claim(const struct op *waiter, uint64_t now)
{
    uint64_t age = now - waiter->wait_since;

    return waiter->wait_deadline > 0 && age >= CLAIM_BEGINS_MS && age < CLAIM_ENDS_MS;
}

// Whether O waits for bytes that OP would take.
static bool waits_for_same(const struct op *o, const struct op *op)
{
    const struct quota_account *a = o->refusal.account;

    if (o->refusal.resource != QUOTA_BYTES)
        return false;
    if (a)
        return quota_charge_counts_in(&op->region->charge, a);
    return op_takes_blocks(op) && op_disk(o) == op_disk(op);
}

// Whether both wait for the same limit, or for the same disk.
static bool wait_for_one(const struct op *a, const struct op *b)
{
    return a->refusal.account == b->refusal.account && (a->refusal.account || op_disk(a) == op_disk(b));
}

static uint64_t used_by(const struct op *op)
{
    return quota_user_used(op->region->owner->quota, QUOTA_BYTES);
}

// The bytes that are left of the limit that O waits for.  OP's bytes are charged already; the numbers of the disk are
// from before.
static uint64_t left_after(const struct op *o, const struct op *op)
{
    const struct quota_refusal *why = &o->refusal;
    uint64_t taken;

    if (why->account)
        return quota_account_left(why->account, QUOTA_BYTES);
    return checked_add(why->used, op->extra, &taken) && taken < why->limit ? why->limit - taken : 0;
}

// Whether OP takes what other users, who wait for the same as O, have claimed.  EARLY: they need not have waited long.
// All these are marked: for each of them the answer is the same.
static bool takes_of_others(struct wait_queue *w, const struct op *op, const struct op *o, uint64_t now, bool early)
{
    uint64_t n_users = 1, fair, claimed = 0, left = left_after(o, op);
    struct op *other;

    for (other = wait_first_head(w); other; other = wait_next_head(w, other)) {
        if (!wait_for_one(other, o))
            continue;
        other->judgement = w->judgement;
        n_users += other->region->owner != op->region->owner;
    }
    fair = o->refusal.limit / n_users;
    if (used_by(op) + (early ? op->extra : 0) <= fair)
        return false;
    for (other = wait_first_head(w); other; other = wait_next_head(w, other))
        if (wait_for_one(other, o) && other->region->owner != op->region->owner && (early || has_claim(other, now)))
            claimed += u64_min(other->extra, fair - u64_min(fair, used_by(other)));
    return claimed > left || (early && claimed > left - u64_min(left, op->extra));
}

// Whether O, of the same owner's region, comes before OP.
static bool comes_before(const struct op *o, const struct op *op, uint64_t now)
{
    const struct user *asks = wait_user_of(o);

    if (asks != wait_user_of(op) && asks != user_party(o->region->owner))
        return false;
    return op->wait_deadline > 0 ? asks == wait_user_of(op) : waits_for_same(o, op) && has_claim(o, now);
}

// Whether O, the first one of a user, holds OP back.
static bool holds_back(struct wait_queue *w, const struct op *o, const struct op *op, uint64_t now)
{
    if (o->region->owner == op->region->owner)
        return comes_before(o, op, now);
    return has_claim(o, now) && waits_for_same(o, op) && o->judgement != w->judgement &&
           takes_of_others(w, op, o, now, false);
}

bool wait_holds_back(struct wait_queue *w, struct op *op)
{
    const struct op *o = wait_first_head(w);
    uint64_t now, asked = op->extra;

    // An operation that has waited had its turn; an early grow was checked by wait_wants; no limit refuses the move of
    // an administrator; an operation that charges nothing takes nothing from those that wait.
    if (op->wait_since || op->early || op->is_forced || !op->type->charges || op->extra == 0 || !o)
        return false;
    now = clock_now();
    w->judgement++;
    while (o && !holds_back(w, o, op, now))
        o = wait_next_head(w, o);
    if (!o)
        return false;
    op->refusal = o->refusal;
    op->refusal.asked = asked;
    return true;
}

static bool wants(struct wait_queue *w, const struct op *o, const struct op *op)
{
    if (!waits_for_same(o, op))
        return false;
    if (o->region->owner == op->region->owner)
        return wait_user_of(o) == wait_user_of(op);
    return o->judgement != w->judgement && takes_of_others(w, op, o, 0, true);
}

bool wait_wants(struct wait_queue *w, const struct op *op)
{
    const struct op *o;

    w->judgement++;
    for (o = wait_first_head(w); o; o = wait_next_head(w, o))
        if (wants(w, o, op))
            return true;
    return false;
}
