// Close, then create, must not fail by chance: the space of what was closed comes back a moment later, when the kernel has let
// go of the file. So a charge that a limit refuses while releases are under way in the refusing account is not
// refused but tried again after each thing given back, for a second at most.
//
// Guarantees: first come first served within a user, users take turns; every operation that enters leaves once, granted,
// refused with the limit as it is then, or cancelled.
//
// It relies on: op.c, which keeps the operation at the head of its region's queue meanwhile.
//
// It does not: reserve anything for who waits, or wait for the disk, which others fill and empty too.
#include "daemon/wait.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/alive.h"
#include "daemon/user.h"

enum { GRACE_MS = 1000 };

struct wait_queue {
    struct op_env *env;
    void (*wake)(void *data, uint64_t at);
    void *data;
    TAILQ_HEAD(, op) ops; // in the order in which they came
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
    *ret = w;
    return 0;
}

void wait_free(struct wait_queue *w)
{
    free(w);
}

// Whether the account that refused is about to get something back.
static bool is_releasing(const struct wait_queue *w, const struct op *op)
{
    if (strncmp(op->refusal.limit_name, "user:", 5) == 0)
        return op->region->owner->n_releasing > 0;
    return w->env->regions->n_releasing > 0;
}

bool wait_enter(struct wait_queue *w, struct op *op)
{
    if (op->cancelled || !is_releasing(w, op))
        return false;
    op->waits_until = alive_now() + GRACE_MS;
    TAILQ_INSERT_TAIL(&w->ops, op, waiting);
    w->wake(w->data, op->waits_until);
    return true;
}

void wait_leave(struct wait_queue *w, struct op *op)
{
    TAILQ_REMOVE(&w->ops, op, waiting);
    op->waits_until = 0;
}

void wait_poke(struct wait_queue *w)
{
    if (!TAILQ_EMPTY(&w->ops))
        w->wake(w->data, alive_now());
}

// Whether an earlier one of the same user is still queued.
static bool is_behind_another(const struct wait_queue *w, const struct op *op)
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

static void end_what_has_waited_enough(struct wait_queue *w, uint64_t now)
{
    struct op *op = TAILQ_FIRST(&w->ops);

    while (op) {
        struct op *next = TAILQ_NEXT(op, waiting);

        if (op->cancelled) {
            op_give_up(op, -ECANCELED);
            next = TAILQ_FIRST(&w->ops); // other things may have happened
        } else if (now >= op->waits_until || !is_releasing(w, op)) {
            if (!op_try_again(op))
                op_give_up(op, -EDQUOT);
            next = TAILQ_FIRST(&w->ops);
        }
        op = next;
    }
}

// The first in the queue of the user whose turn it is, if that can be granted; users behind the one served last come first.
static bool serve_one(struct wait_queue *w)
{
    for (int round = 0; round < 2; round++) {
        struct op *op;

        TAILQ_FOREACH (op, &w->ops, waiting) {
            uid_t uid = op->region->owner->uid;

            if ((uid > w->last_served) != (round == 0) || is_behind_another(w, op))
                continue;
            if (op_try_again(op)) {
                w->last_served = uid;
                return true;
            }
        }
    }
    return false;
}

void wait_run(struct wait_queue *w, uint64_t now)
{
    const struct op *op;
    uint64_t next = UINT64_MAX;

    while (serve_one(w))
        continue;
    end_what_has_waited_enough(w, now);
    TAILQ_FOREACH (op, &w->ops, waiting)
        if (op->waits_until < next)
            next = op->waits_until;
    if (next != UINT64_MAX)
        w->wake(w->data, next);
}
