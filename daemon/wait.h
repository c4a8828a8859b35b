// Operations that a limit refuses now and that may be granted soon: queued until something is given back.  See wait.c.
#pragma once
#include <stdbool.h>
#include <stdint.h>

#include "daemon/op.h"

struct wait_queue;

// WAKE is called whenever wait_run should be called not later than at AT (ms, monotonic).
int wait_new(struct op_env *env, void (*wake)(void *data, uint64_t at), void *data, struct wait_queue **ret);
void wait_free(struct wait_queue *w);

// OP, refused just now: true: it is queued and will be tried again; false: its refusal stands.
bool wait_enter(struct wait_queue *w, struct op *op);
void wait_leave(struct wait_queue *w, struct op *op);
// Something was given back, or a queued operation was cancelled.
void wait_poke(struct wait_queue *w);
// Tries what may be granted now, and ends what has waited for long enough.
void wait_run(struct wait_queue *w, uint64_t now);
