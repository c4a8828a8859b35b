// The queue of operations that wait for what was refused.
//
// Three kinds of operations wait.  A client may ask to wait: then the grow has a deadline.  A grow without a deadline
// waits up to a second if releases are under way in the account that refused it, or on the disk: a program that
// closes a region and then makes another must not fail by chance, and the kernel frees a closed file a moment later.
// And a shrink or discard that found the region shared is tried once more when the loop has turned: the detach that
// another client sent before may lie unread in its socket.  If a process without a connection may map the region, it
// is tried for a moment longer: that process may just be ending, or its library unmaps the region that it has closed
// (client/memory/dispose.c).
//
// This file is data: it says which operation to try or to end next. resume.c asks and acts, queue.c enters and
// removes operations.  All functions run on the loop.
//
// Within a user, the operation that came first is served first; users take turns: who was served goes to the end.  The
// user is the one who asks, who need not be the region's owner.  An operation leaves the queue once: granted, refused
// with the limit as it is then, timed out, or cancelled.  An operation that is larger than the limit itself is
// refused at once.
//
// There may be very many operations that wait, and nothing here looks at all of them.  A round tries the first
// operation of each user, and goes on with the one behind when the first has left.  Those that must end are listed when
// that becomes known, or found by their time (wait_due.c).
//
// This file relies on wait_poke after each release.  Space that other programs free on the disk is found by trying
// again.  It reserves nothing in the accounts.
#include "daemon/op/wait.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>

#include "daemon/op/op_internal.h"
#include "daemon/op/waits.h"
#include "daemon/user.h"
#include "proto/util/checked.h"
#include "proto/util/clock.h"

enum {
    GRACE_MS = 1000, // how long an operation without a deadline waits for releases, or for a mapping to go
    DISK_RETRY_MS = 100,
    ENDING_MS = 100, // a process that has closed its socket may be ending, and needs a moment
    ENDING_RETRY_MS = 10,
    MAX_OF_USER = 1024, // operations that wait: each takes memory
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
    TAILQ_INIT(&w->turns);
    TAILQ_INIT(&w->renewed);
    TAILQ_INIT(&w->owners);
    TAILQ_INIT(&w->asking);
    TAILQ_INIT(&w->ending);
    RB_INIT(&w->due);
    RB_INIT(&w->late);
    *ret = w;
    return 0;
}

struct op *wait_first(const struct wait_queue *w)
{
    const struct waits *first = TAILQ_FIRST(&w->turns);

    return TAILQ_EMPTY(&w->asking) && first ? TAILQ_FIRST(&first->ops) : TAILQ_FIRST(&w->asking);
}

void wait_free(struct wait_queue *w)
{
    assert(!w || !wait_first(w));
    free(w);
}

// Whether OP was refused only for the sake of other operations: no release need ever come that pokes for it.
static bool was_held_back(const struct op *op)
{
    return op->refusal.resource == QUOTA_BYTES && op->extra <= quota_charge_left(&op->region->charge, QUOTA_BYTES);
}

static bool has_room(const struct op *op)
{
    const struct waits *of_user = wait_user_of(op)->waits;

    return !of_user || of_user->n_waiting < MAX_OF_USER;
}

// Whether what refused OP may be gone in a moment.  Of marks nobody knows that: they are those of a process that ends
// or unmaps, or of one that stays.  A program that shrinks a region when another has closed it must not fail by chance.
static bool may_pass(const struct wait_queue *w, const struct op *op, uint64_t now)
{
    const struct holders *h = &op->region->holders;

    // An attachment of the region may be that of a connection that has ended.
    if (w->regions->n_leaving > 0 && h->n_attached > 0)
        return now < op->wait_since + GRACE_MS;
    if (op->asks_marks && !holders_are_uncertain(h))
        return now < op->wait_since + GRACE_MS;
    return (op->asks_marks || h->n_lost > 0) && now < op->wait_since + ENDING_MS;
}

static bool enter_for_consent(struct wait_queue *w, struct op *op)
{
    uint64_t now = clock_now();

    if (!op->type->asks_consent || !has_room(op))
        return false;
    if (!op->wait_since)
        op->wait_since = op->wait_until = op->retry_at = now;
    else if (may_pass(w, op, now))
        op->retry_at = now + ENDING_RETRY_MS;
    else
        return false;
    if (!wait_insert(w, op))
        return false;
    w->wake(w->data, op->retry_at);
    return true;
}

bool wait_asks_again(struct wait_queue *w, struct op *op)
{
    uint64_t now = clock_now();

    if (!may_pass(w, op, now))
        return false;
    op->retry_at = now + ENDING_RETRY_MS;
    w->wake(w->data, op->retry_at);
    return true;
}

static bool enter_for_limit(struct wait_queue *w, struct op *op)
{
    uint64_t now = clock_now(), at;

    if (wait_is_hopeless(op) || !has_room(op))
        return false;
    if (!op->wait_since) {
        op->wait_since = now;
        op->wait_until = now + GRACE_MS;
    }
    // A deadline that has passed on the way here is no reason to refuse: the operation is queued and then times out.
    if (op->wait_deadline == 0 && (now >= op->wait_until || !wait_is_releasing(w, op)))
        return false;
    op->retry_at = op->refused_with == -ENOSPC || was_held_back(op) ? now + DISK_RETRY_MS : UINT64_MAX;
    if (!wait_insert(w, op))
        return false;
    at = wait_set_due(w, op, now);
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

static void end_soon(struct wait_queue *w, struct op *op)
{
    if (op->is_ending)
        return;
    TAILQ_INSERT_TAIL(&w->ending, op, ending);
    op->is_ending = true;
}

void wait_stays(struct wait_queue *w, struct op *op)
{
    uint64_t now = clock_now();

    op->refused_with = -EDQUOT;
    op->retry_at = UINT64_MAX; // it may have waited for the disk before
    if (wait_is_over(w, op, now))
        end_soon(w, op);
    else
        wait_set_due(w, op, now);
}

void wait_cancel(struct wait_queue *w, struct op *op)
{
    end_soon(w, op);
    wait_poke(w);
}

void wait_poke(struct wait_queue *w)
{
    w->poked = true;
    if (wait_first(w))
        w->wake(w->data, clock_now());
}

// ---- Rounds ----

static bool may_be_tried(const struct wait_queue *w, const struct op *op, uint64_t now)
{
    // While an operation is at work on its region, a parked operation stays parked; the end of the other pokes.
    if (op->is_ending || (op->parked && !TAILQ_EMPTY(&op->region->ops)))
        return false;
    if (wait_is_asking(op))
        return now >= op->retry_at;
    // An operation that hoped for a release is tried once more when no release is under way any more.
    return op->refused_with != -ENOSPC || now >= op->retry_at || (op->wait_deadline == 0 && !wait_is_releasing(w, op));
}

// A round that was not ended goes on: otherwise its first users would be tried again and again, and the last ones
// never.
void wait_begin_round(struct wait_queue *w)
{
    if (w->in_round)
        return;
    w->in_round = true;
    w->poked = false;
    w->next = TAILQ_FIRST(&w->turns);
    w->n_asking_left = w->n_asking;
}

void wait_end_round(struct wait_queue *w)
{
    w->in_round = false;
    wait_set_alarm(w);
    // What was given back in the middle of a round may be enough for operations that were tried before.
    if (w->poked)
        wait_poke(w);
}

void wait_cut_round(struct wait_queue *w)
{
    w->wake(w->data, clock_now());
}

static struct op *next_asking(struct wait_queue *w)
{
    struct op *op = w->n_asking_left > 0 ? TAILQ_FIRST(&w->asking) : NULL;

    if (!op)
        return NULL;
    w->n_asking_left--;
    w->n_looks++;
    TAILQ_REMOVE(&w->asking, op, waiting);
    TAILQ_INSERT_TAIL(&w->asking, op, waiting);
    return op;
}

static struct op *next_in_turn(struct wait_queue *w)
{
    struct waits *of_user = TAILQ_FIRST(&w->renewed);

    if (of_user) {
        TAILQ_REMOVE(&w->renewed, of_user, renewal);
        of_user->renewed = false;
    } else {
        of_user = w->next;
        w->next = of_user ? TAILQ_NEXT(of_user, turn) : NULL;
    }
    return wait_head_of(w, of_user);
}

struct op *wait_next_to_try(struct wait_queue *w, uint64_t now)
{
    struct op *op;

    w->tried = NULL;
    while ((op = next_asking(w)))
        if (may_be_tried(w, op, now))
            return op;
    while ((op = next_in_turn(w)) && !may_be_tried(w, op, now))
        continue;
    w->tried = op;
    return op;
}

struct op *wait_next_to_end(struct wait_queue *w, uint64_t now, int *ret_result)
{
    struct op *op = TAILQ_FIRST(&w->ending);

    if (!op)
        op = wait_next_due(w, now);
    *ret_result = -ECANCELED;
    if (op && !op->cancelled)
        *ret_result = op->wait_deadline > 0 && !wait_is_hopeless(op) ? -ETIMEDOUT : op->refused_with;
    return op;
}

uint64_t wait_count(struct wait_queue *w, const struct quota_account *account)
{
    const struct waits *owner;
    uint64_t n = 0;

    if (quota_account_is_of_cgroup(account))
        return wait_count_due(w, account);
    TAILQ_FOREACH (owner, &w->owners, owner) {
        w->n_looks++;
        n += quota_user_counts_in(owner->user->quota, account) ? owner->n_wanting : 0;
    }
    return n;
}
