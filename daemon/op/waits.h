// The queue of waiting operations: shared by wait.c, wait_due.c, wait_turns.c and claims.c.
#pragma once
#include <sys/queue.h>

#include "daemon/op/op.h"
#include "daemon/tree.h"

TAILQ_HEAD(op_queue, op);

// The operations of one user that wait.  It exists as long as there are some.
struct waits {
    struct user *user;   // a reference
    struct op_queue ops; // for a limit or the disk, in the order in which they were first refused
    unsigned n_waiting;  // operations that this user has asked for, of all lists
    unsigned n_wanting;  // operations with a deadline, of anybody, on this user's own regions
    bool renewed;        // an operation in front of the others has ended
    TAILQ_ENTRY(waits) turn, renewal, owner;
};
TAILQ_HEAD(waits_list, waits);
RB_HEAD(op_due_tree, op);
RB_HEAD(op_late_tree, op);

struct wait_queue {
    const struct region_table *regions;
    void (*wake)(void *data, uint64_t at);
    void *data;
    struct waits_list turns;   // those with OPS; who was served goes to the end
    struct waits_list renewed; // of TURNS: their first operations are to be tried before the round goes on
    struct waits_list owners;  // those with N_WANTING
    struct op_queue asking;    // refused with -EBUSY, for another try; N_ASKING of them
    struct op_queue ending;    // to be ended in this round
    struct op_due_tree due;    // of all OPS
    struct op_late_tree late;  // operations with a deadline, whether they wait or not
    bool in_round;             // a round was begun, and was not ended
    bool poked;                // since then
    unsigned n_asking;
    unsigned n_asking_left; // in this round
    struct waits *next;     // in this round; NULL: the end of TURNS
    const struct op *tried; // what wait_next_to_try returned last
    uint64_t judgement;     // the last one of claims.c
    uint64_t n_looks;       // how often an operation was looked at, for tests
};

// wait_turns.c:

// The user (user_party) in whose name OP waits, or would.
struct user *wait_user_of(const struct op *op);
// The first operation of the user, and of the next user; NULL: there is none.
struct op *wait_first_head(struct wait_queue *w);
struct op *wait_next_head(struct wait_queue *w, const struct op *op);

struct op *wait_head_of(struct wait_queue *w, const struct waits *of_user); // NULL as OF_USER: NULL
// Whether OP waits in the list ASKING, or would.
bool wait_is_asking(const struct op *op);
// Enters OP, as op->refused_with says.  False: no memory.
bool wait_insert(struct wait_queue *w, struct op *op);

void wait_leave(struct wait_queue *w, struct op *op);

// wait_due.c: when operations have to be looked at.

bool wait_is_releasing(const struct wait_queue *w, const struct op *op);
bool wait_is_hopeless(const struct op *op);
// Whether OP, which was refused again just now or whose time has come, must end.
bool wait_is_over(const struct wait_queue *w, const struct op *op, uint64_t now);

// Says when OP, which waits for a limit or the disk, has to be looked at without a poke.  Always later than NOW.
uint64_t wait_set_due(struct wait_queue *w, struct op *op, uint64_t now);
void wait_unset_due(struct wait_queue *w, struct op *op);
// The next operation whose wait is over.  NULL: there is none.
struct op *wait_next_due(struct wait_queue *w, uint64_t now);
// Watches OP's deadline, until wait_unwatch or wait_next_late.
void wait_watch(struct wait_queue *w, struct op *op);
void wait_unwatch(struct wait_queue *w, struct op *op); // does nothing if OP is not watched
// The next operation whose deadline has passed while it was not waiting here; it is not watched any more.
struct op *wait_next_late(struct wait_queue *w, uint64_t now);
// Counts the charge of each region for which an operation with a deadline waits (quota_count_charge).
void wait_count_charges(const struct wait_queue *w);
// How many operations with a deadline wait for regions that are charged to ACCOUNT.
uint64_t wait_count_due(struct wait_queue *w, const struct quota_account *account);
// Asks to be woken when the next operation may be tried, ends, or is late.
void wait_set_alarm(struct wait_queue *w);
