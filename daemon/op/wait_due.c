// When operations have to be looked at without a poke: two trees, by time.
//
// Each operation that waits for a limit or the disk is in the first one: its wait ends by its deadline, or by the end
// of the grace for releases that are under way.  In the grace it is looked at often, because a release that fails ends
// without a poke.  The first operation of a user is looked at, too, when it is to be tried again.  The second tree has
// each operation with a deadline, whether it waits or not, for those that are held up when their deadline passes.
#include "daemon/op/op_internal.h"
#include "daemon/op/waits.h"
#include "daemon/user.h"
#include "proto/util/checked.h"

enum {
    RETRY_MS = 100,
    LATE_MS = 1000, // after its deadline, an operation at work has this long to end with a certain outcome
};

static int compare_dues(const struct op *a, const struct op *b)
{
    return a->due_at != b->due_at ? (a->due_at > b->due_at ? 1 : -1) : (a > b) - (a < b);
}

static int compare_late(const struct op *a, const struct op *b)
{
    return a->late_at != b->late_at ? (a->late_at > b->late_at ? 1 : -1) : (a > b) - (a < b);
}

TREE_GENERATE(op_due_tree, op, due, compare_dues)
TREE_GENERATE(op_late_tree, op, watched, compare_late)

// Whether a charge is about to be given back to the account that refused OP.  Only a user's own account depends on that
// user's regions alone, unless other users' charges count there as well.
bool wait_is_releasing(const struct wait_queue *w, const struct op *op)
{
    const struct user *owner = op->region->owner;

    if (op->refusal.account && op->refusal.account == quota_user_account(owner->quota) &&
        TAILQ_EMPTY(&owner->borrowers))
        return owner->n_releasing > 0 || owner->n_leaving > 0;
    return w->regions->n_releasing > 0 || w->regions->n_leaving > 0;
}

// Whether OP would be refused even if all other regions gave everything back.
bool wait_is_hopeless(const struct op *op)
{
    const struct quota_refusal *why = &op->refusal;
    uint64_t own = op->region->charge.amount[QUOTA_BYTES];

    if (why->resource != QUOTA_BYTES)
        return false;
    return why->of_one_region || why->asked > why->limit || own > why->limit - why->asked;
}

bool wait_is_over(const struct wait_queue *w, const struct op *op, uint64_t now)
{
    // A limit that was lowered meanwhile can make a wish hopeless.
    return wait_is_hopeless(op) || (now >= op->wait_deadline && (now >= op->wait_until || !wait_is_releasing(w, op)));
}

static uint64_t due(const struct op *op, uint64_t now)
{
    uint64_t at = op->wait_deadline;

    // The wait ends by its deadline unless something is being released then.
    if (at <= now)
        at = u64_min(u64_max(at, op->wait_until), now + RETRY_MS);
    // An operation behind another is not tried before the other has left.  While it cannot be tried although its time
    // has come, another one is at work on its region, whose end pokes.
    if (op == TAILQ_FIRST(&op->waits_with->ops))
        at = u64_min(at, op->retry_at > now ? op->retry_at : now + RETRY_MS);
    return at > now ? at : now + 1;
}

uint64_t wait_set_due(struct wait_queue *w, struct op *op, uint64_t now)
{
    wait_unset_due(w, op);
    op->due_at = due(op, now);
    w->n_looks++;
    RB_INSERT(op_due_tree, &w->due, op);
    return op->due_at;
}

void wait_unset_due(struct wait_queue *w, struct op *op)
{
    if (op->due_at > 0)
        RB_REMOVE(op_due_tree, &w->due, op);
    op->due_at = 0;
}

struct op *wait_next_due(struct wait_queue *w, uint64_t now)
{
    struct op *op;

    while ((op = RB_MIN(op_due_tree, &w->due)) && op->due_at <= now) {
        if (wait_is_over(w, op, now))
            return op;
        wait_set_due(w, op, now);
    }
    return NULL;
}

static void watch(struct wait_queue *w, struct op *op, uint64_t at)
{
    op->is_watched = true;
    op->late_at = at;
    RB_INSERT(op_late_tree, &w->late, op);
}

void wait_watch(struct wait_queue *w, struct op *op)
{
    watch(w, op, op->wait_deadline + LATE_MS);
    w->wake(w->data, op->late_at);
}

void wait_unwatch(struct wait_queue *w, struct op *op)
{
    if (op->is_watched)
        RB_REMOVE(op_late_tree, &w->late, op);
    op->is_watched = false;
}

struct op *wait_next_late(struct wait_queue *w, uint64_t now)
{
    struct op *op;

    while ((op = RB_MIN(op_late_tree, &w->late)) && op->late_at <= now) {
        w->n_looks++;
        wait_unwatch(w, op);
        if (!op->is_waiting)
            return op;
        watch(w, op, now + LATE_MS);
    }
    return NULL;
}

void wait_set_alarm(struct wait_queue *w)
{
    const struct op *op, *due = RB_MIN(op_due_tree, &w->due), *late = RB_MIN(op_late_tree, &w->late);
    uint64_t next = u64_min(due ? due->due_at : UINT64_MAX, late ? late->late_at : UINT64_MAX);

    // The end of the operation at work on its region pokes for a parked one.
    TAILQ_FOREACH (op, &w->asking, waiting) {
        w->n_looks++;
        if (!op->parked || TAILQ_EMPTY(&op->region->ops))
            next = u64_min(next, op->retry_at);
    }
    if (next != UINT64_MAX)
        w->wake(w->data, next);
}

// The regions of one user may count in different control groups: each operation has to be asked.
void wait_count_charges(const struct wait_queue *w)
{
    struct op *op;

    RB_FOREACH (op, op_due_tree, (struct op_due_tree *)&w->due)
        if (op->wait_deadline > 0)
            quota_count_charge(&op->region->charge);
}

uint64_t wait_count_due(struct wait_queue *w, const struct quota_account *account)
{
    struct op *op;
    uint64_t n = 0;

    RB_FOREACH (op, op_due_tree, &w->due) {
        w->n_looks++;
        n += op->wait_deadline > 0 && quota_charge_counts_in(&op->region->charge, account);
    }
    return n;
}
