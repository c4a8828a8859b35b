// Tries and ends operations that wait for a limit.
//
// wait.c is the queue: it says which operation is next.  queue.c prepares, runs and ends a single operation.  This
// file is the loop between the two, and the only caller of wait.c's wait_next functions.  It runs on the loop, from
// the timer that wait.c sets: soon after something was given back or cancelled, and when a deadline or a retry is
// due.
//
// There may be very many such operations, and others are to be served meanwhile.  So one call tries and ends MOST of
// them, and the timer goes on with the round where this call has stopped.
//
// Trying comes before ending: an operation is granted if that is possible at the moment of its deadline.  One
// operation is taken at a time, because each end may start, end or queue other operations.
#include <errno.h>

#include "daemon/op/op_internal.h"
#include "daemon/op/wait.h"

enum { MOST = 16 };

static unsigned try_some(struct op_env *env, uint64_t now, unsigned left)
{
    struct op *op;

    for (; left > 0 && (op = wait_next_to_try(env->wait, now)); left--)
        op_try_again(op);
    return left;
}

static unsigned end_some(struct op_env *env, uint64_t now, unsigned left)
{
    struct op *op;
    int result;

    for (; left > 0 && (op = wait_next_to_end(env->wait, now, &result)); left--)
        op_give_up(op, result);
    return left;
}

// A hung disk, or the operations before it in its region's queue, hold the operation up.
static unsigned tell_some(struct op_env *env, uint64_t now, unsigned left)
{
    struct op *op;

    for (; left > 0 && (op = wait_next_late(env->wait, now)); left--)
        if (op_cancel(op) && op->late)
            op->late(op);
    return left;
}

void op_resume_waiting(struct op_env *env, uint64_t now)
{
    unsigned left = MOST, before;

    wait_begin_round(env->wait);
    do {
        before = left = try_some(env, now, left);
        // When an operation ends, those behind it in its user's queue may be small enough to be granted.
        left = end_some(env, now, left);
    } while (left > 0 && left < before);
    left = tell_some(env, now, left);
    if (left > 0)
        wait_end_round(env->wait);
    else
        wait_cut_round(env->wait);
}

void op_end_waiting(struct op_env *env)
{
    struct op *op;

    while (env->wait && (op = wait_first(env->wait)))
        op_give_up(op, -ESHUTDOWN);
}
