// Asking those who have a region attached whether it may be cut.  See the essay in ask.c.  All functions run on the
// loop.
#pragma once
#include <stdbool.h>
#include <stdint.h>

struct attachment;
struct op;
struct op_env;
struct region;

// For op_shrink.

// Whether all others who have the region attached have agreed that OP cuts it.
bool op_ask_is_granted(const struct op *op);
// OP was refused because others have the region attached: asks them, if OP may wait for that and all can be asked.
void op_ask_begin(struct op *op);
// OP has succeeded, or failed: tells those who were asked.
void op_ask_end(struct op *op);
void op_ask_failed(struct op *op);

// For requests.

// The client of A says that it has no access any more to what the ask NUMBER is about.  0; -ESTALE: nobody waits for
// that.
int op_ask_agree(struct op_env *env, struct attachment *a, uint64_t number);
// A is new, or its client has attached the region once more: what it has agreed to does not count any more.
void op_ask_newcomer(struct op_env *env, struct attachment *a);
// The client of A is about to make the region SIZE bytes long at least: it takes its agreement back, or needs what was
// to be cut.
void op_ask_object(struct op_env *env, struct attachment *a, uint64_t size);
