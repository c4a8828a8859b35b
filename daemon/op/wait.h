// The queue of operations that wait for what was refused.  See the essay in wait.c; wait_wants and wait_holds_back are
// in claims.c.
#pragma once
#include <stdbool.h>
#include <stdint.h>

#include "daemon/op/waits.h"

// WAKE(DATA, AT) asks the caller to call op_resume_waiting not later than at AT (ms, monotonic).  0 or -ENOMEM.
int wait_new(const struct region_table *regions, void (*wake)(void *data, uint64_t at), void *data,
             struct wait_queue **ret);
void wait_free(struct wait_queue *w); // nothing waits any more: see op_end_waiting

// Something was given back or a limit was raised: try soon.
void wait_poke(struct wait_queue *w);
// How many operations with a deadline wait, of users whose charges count in ACCOUNT.
uint64_t wait_count(struct wait_queue *w, const struct quota_account *account);
// Whether an operation waits for something that OP, an early grow, would take.
bool wait_wants(struct wait_queue *w, const struct op *op);

// For queue.c:

// OP has just failed with RESULT.  True: OP is queued here now; false: OP must end.  RESULT >= 0 is never queued.
bool wait_enter(struct wait_queue *w, struct op *op, int result);
// OP is queued here and was refused again with -EBUSY.  True: it stays, because a process that may map the region may
// just be ending.
bool wait_asks_again(struct wait_queue *w, struct op *op);
// OP is queued here and was refused again, with -EDQUOT and op->refusal.
void wait_stays(struct wait_queue *w, struct op *op);
// OP may be granted now.  Does nothing if OP is not queued here.
void wait_retry(struct wait_queue *w, struct op *op);
// OP is queued here and was cancelled: it ends soon.
void wait_cancel(struct wait_queue *w, struct op *op);
// Whether OP, which could be granted, must let waiting operations go first; op->refusal is set to what they wait for.
bool wait_holds_back(struct wait_queue *w, struct op *op);

// For resume.c.

// Begins a round, in which each user's first operation is tried, or goes on with the one that was cut.
void wait_begin_round(struct wait_queue *w);
void wait_end_round(struct wait_queue *w); // nothing is left to be done; asks to be woken for the next round
void wait_cut_round(struct wait_queue *w); // there is more to do; asks to be woken at once

// Each of these returns NULL when there is no such operation:

// The next operation to try.  Call it again after the try.
struct op *wait_next_to_try(struct wait_queue *w, uint64_t now);
// The next operation that has waited long enough, and the -errno to end it with.
struct op *wait_next_to_end(struct wait_queue *w, uint64_t now, int *ret_result);
struct op *wait_first(const struct wait_queue *w);
