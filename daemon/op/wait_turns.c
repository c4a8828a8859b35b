// The operations that wait, user by user.
//
// Each user has a list of those that wait for a limit or the disk; the users who have one are in the list of turns.
// resume.c goes through it: wait.c says how.  This file keeps that going while operations enter and leave.  A user who
// was served goes to the end, which the round has not reached yet, so that the operation behind has its try.
#include <errno.h>
#include <stdlib.h>

#include "daemon/op/op_internal.h"
#include "daemon/op/waits.h"
#include "daemon/user.h"
#include "proto/util/clock.h"

struct user *wait_user_of(const struct op *op)
{
    return op->waits_with ? op->waits_with->user : user_party(op->asker ? op->asker : op->region->owner);
}

struct op *wait_head_of(struct wait_queue *w, const struct waits *of_user)
{
    w->n_looks += of_user != NULL;
    return of_user ? TAILQ_FIRST(&of_user->ops) : NULL;
}

struct op *wait_first_head(struct wait_queue *w)
{
    return wait_head_of(w, TAILQ_FIRST(&w->turns));
}

struct op *wait_next_head(struct wait_queue *w, const struct op *op)
{
    return wait_head_of(w, TAILQ_NEXT(op->waits_with, turn));
}

bool wait_is_asking(const struct op *op)
{
    return op->refused_with == -EBUSY;
}

static struct waits *waits_of(struct user *u)
{
    struct waits *of_user = u->waits;

    if (of_user)
        return of_user;
    of_user = calloc(1, sizeof *of_user);
    if (!of_user)
        return NULL;
    TAILQ_INIT(&of_user->ops);
    of_user->user = u;
    u->n_refs++;
    u->waits = of_user;
    return of_user;
}

static void settle(struct waits *of_user)
{
    if (of_user->n_waiting + of_user->n_wanting > 0)
        return;
    of_user->user->waits = NULL;
    user_unref(of_user->user);
    free(of_user);
}

// An operation that was tried, ran and was refused again keeps its place.
static void insert_by_age(struct wait_queue *w, struct op_queue *ops, struct op *op)
{
    struct op *last = TAILQ_LAST(ops, op_queue), *behind;

    if (!last || last->wait_since <= op->wait_since) {
        TAILQ_INSERT_TAIL(ops, op, waiting);
        return;
    }
    for (behind = TAILQ_FIRST(ops); behind->wait_since <= op->wait_since; behind = TAILQ_NEXT(behind, waiting))
        w->n_looks++;
    TAILQ_INSERT_BEFORE(behind, op, waiting);
}

static void note_owner(struct wait_queue *w, struct op *op, bool wants)
{
    struct waits *owner = op->region->owner->waits;

    if (op->wait_deadline == 0 || wait_is_asking(op))
        return;
    owner->n_wanting += wants ? 1 : -1U;
    if (owner->n_wanting == wants && wants)
        TAILQ_INSERT_TAIL(&w->owners, owner, owner);
    if (owner->n_wanting == 0)
        TAILQ_REMOVE(&w->owners, owner, owner);
}

bool wait_insert(struct wait_queue *w, struct op *op)
{
    struct waits *of_user = waits_of(wait_user_of(op)), *owner = of_user ? waits_of(op->region->owner) : NULL;

    if (!owner) {
        if (of_user)
            settle(of_user);
        return false;
    }
    of_user->n_waiting++;
    op->waits_with = of_user;
    note_owner(w, op, true);
    settle(owner);
    if (wait_is_asking(op)) {
        TAILQ_INSERT_TAIL(&w->asking, op, waiting);
        w->n_asking++;
    } else {
        if (TAILQ_EMPTY(&of_user->ops))
            TAILQ_INSERT_TAIL(&w->turns, of_user, turn);
        insert_by_age(w, &of_user->ops, op);
    }
    op->is_waiting = true;
    if (op->waits)
        op->waits(op, true);
    return true;
}

static void leave_round(struct wait_queue *w, struct waits *of_user)
{
    if (w->next == of_user)
        w->next = TAILQ_NEXT(of_user, turn);
    TAILQ_REMOVE(&w->turns, of_user, turn);
    if (of_user->renewed)
        TAILQ_REMOVE(&w->renewed, of_user, renewal);
    of_user->renewed = false;
}

// The operation behind is the first one of the user now.
static void bring_forward(struct wait_queue *w, struct waits *of_user, bool was_served)
{
    wait_set_due(w, TAILQ_FIRST(&of_user->ops), clock_now());
    if (was_served) {
        // The next user has its turn.
        leave_round(w, of_user);
        TAILQ_INSERT_TAIL(&w->turns, of_user, turn);
        if (!w->next)
            w->next = of_user;
    } else if (!of_user->renewed) {
        TAILQ_INSERT_TAIL(&w->renewed, of_user, renewal);
        of_user->renewed = true;
    }
}

static void remove_from_user(struct wait_queue *w, struct op *op)
{
    struct waits *of_user = op->waits_with;
    bool was_first = op == TAILQ_FIRST(&of_user->ops);

    TAILQ_REMOVE(&of_user->ops, op, waiting);
    wait_unset_due(w, op);
    if (TAILQ_EMPTY(&of_user->ops))
        leave_round(w, of_user);
    else if (was_first)
        bring_forward(w, of_user, op == w->tried);
}

void wait_leave(struct wait_queue *w, struct op *op)
{
    struct waits *of_user = op->waits_with;

    if (op->is_ending)
        TAILQ_REMOVE(&w->ending, op, ending);
    op->is_ending = false;
    if (wait_is_asking(op)) {
        TAILQ_REMOVE(&w->asking, op, waiting);
        w->n_asking--;
    } else {
        remove_from_user(w, op);
    }
    note_owner(w, op, false);
    if (op->region->owner->waits && op->region->owner->waits != of_user)
        settle(op->region->owner->waits);
    w->tried = NULL;
    op->waits_with = NULL;
    of_user->n_waiting--;
    settle(of_user);
    op->is_waiting = false;
    if (op->waits)
        op->waits(op, false);
}
