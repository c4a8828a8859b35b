// Growth that a limit or the disk refuses now and that may be granted later: queued until something is given back.  See wait.c.
#pragma once
#include <stdbool.h>
#include <stdint.h>

#include "daemon/op/op.h"

struct wait_queue;

// WAKE is called whenever wait_run should be called not later than at AT (ms, monotonic).
int wait_new(struct op_env *env, void (*wake)(void *data, uint64_t at), void *data, struct wait_queue **ret);
void wait_free(struct wait_queue *w); // gives up what still waits

// OP was refused just now with RESULT: true: it is queued and will be tried again; false: that stands.
bool wait_enter(struct wait_queue *w, struct op *op, int result);
void wait_leave(struct wait_queue *w, struct op *op);
// Whether OP, which could be granted, must let others go first: then op->refusal says what they wait for.
bool wait_holds_back(const struct wait_queue *w, struct op *op);
// Whether anybody waits for what OP, an early one, would take.
bool wait_wants(const struct wait_queue *w, const struct op *op);
// OP has a deadline: op->late is called when it passes and OP is not queued here but held up elsewhere.
void wait_watch(struct wait_queue *w, struct op *op);
void wait_unwatch(struct wait_queue *w, struct op *op); // idempotent
// Something was given back, a limit was raised, or a queued operation was cancelled.
void wait_poke(struct wait_queue *w);
// Tries what may be granted now, and ends what has waited for long enough.
void wait_run(struct wait_queue *w, uint64_t now);
// How many requests of those who count in ACCOUNT wait, for whatever.
uint64_t wait_count(const struct wait_queue *w, const struct quota_account *account);
