// The queue of operations that wait for what was refused.  See the essay in wait.c.
#pragma once
#include <stdbool.h>
#include <stdint.h>

#include "daemon/op/op.h"

struct wait_queue;

// WAKE(DATA, AT) asks the caller to call op_resume_waiting not later than at AT (ms, monotonic).  0 or -ENOMEM.
int wait_new(const struct region_table *regions, void (*wake)(void *data, uint64_t at), void *data,
             struct wait_queue **ret);
void wait_free(struct wait_queue *w); // nothing waits any more: see op_end_waiting

// Something was given back, a limit was raised, or a waiting operation was cancelled: try soon.
void wait_poke(struct wait_queue *w);
// How many operations with a deadline wait, of users whose charges count in ACCOUNT.
uint64_t wait_count(const struct wait_queue *w, const struct quota_account *account);
// Whether an operation waits for something that OP, an early grow, would take.
bool wait_wants(const struct wait_queue *w, const struct op *op);

// For queue.c:

// OP has just failed with RESULT.  True: OP is queued here now; false: OP must end.  RESULT >= 0 is never queued.
bool wait_enter(struct wait_queue *w, struct op *op, int result);
void wait_leave(struct wait_queue *w, struct op *op);
// Whether OP, which could be granted, must let waiting operations go first; op->refusal is set to what they wait for.
bool wait_holds_back(const struct wait_queue *w, struct op *op);
// Watches OP's deadline, until wait_unwatch or wait_next_late.
void wait_watch(struct wait_queue *w, struct op *op);
void wait_unwatch(struct wait_queue *w, struct op *op); // does nothing if OP is not watched

// For resume.c.  Each of these returns NULL when there is no such operation:

// The next operation to try.  Call it again after the try; the search begins anew when an operation has left the queue.
struct op *wait_next_to_try(struct wait_queue *w, uint64_t now);
// The next operation that has waited long enough, and the -errno to end it with.
struct op *wait_next_to_end(const struct wait_queue *w, uint64_t now, int *ret_result);
// The next operation whose deadline has passed while it was not waiting here; it is not watched any more.
struct op *wait_next_late(struct wait_queue *w, uint64_t now);
struct op *wait_first(const struct wait_queue *w);
// Asks to be woken when the next operation may be tried, ends, or is late.
void wait_set_alarm(struct wait_queue *w, uint64_t now);
