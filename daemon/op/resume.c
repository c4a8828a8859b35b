// Tries and ends operations that wait for a limit.
//
// wait.c is the queue: it says which operation is next.  queue.c prepares, runs and ends a single operation.  This
// file is the loop between the two, and the only caller of wait.c's wait_next functions.  It runs on the loop, from
// the timer that wait.c sets: soon after something was given back or cancelled, and when a deadline or a retry is
// due.
//
// Trying comes before ending: an operation is granted if that is possible at the moment of its deadline.  One
// operation is taken at a time, because each end may start, end or queue other operations.
#include <errno.h>

#include "daemon/op/op_internal.h"
#include "daemon/op/wait.h"

void op_resume_waiting(struct op_env *env, uint64_t now)
{
    struct op *op;
    bool ended;
    int result;

    wait_begin_round(env->wait);
    do {
        while ((op = wait_next_to_try(env->wait, now)))
            op_try_again(op);
        // When an operation ends, those behind it in its user's queue may be small enough to be granted.
        for (ended = false; (op = wait_next_to_end(env->wait, now, &result)); ended = true)
            op_give_up(op, result);
    } while (ended);
    // A hung disk, or the operations before it in its region's queue, hold the operation up.
    while ((op = wait_next_late(env->wait, now))) {
        if (op_cancel(op) && op->late)
            op->late(op);
    }
    wait_set_alarm(env->wait);
}

void op_end_waiting(struct op_env *env)
{
    struct op *op;

    while (env->wait && (op = wait_first(env->wait)))
        op_give_up(op, -ESHUTDOWN);
}
