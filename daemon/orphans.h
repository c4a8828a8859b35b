// Regions that nobody has attached and nothing keeps: when does nobody map them any more?  See the essay in alive.c.
#pragma once
#include <stdint.h>

#include "daemon/op/op.h"

struct alive;

// WAKE is called whenever alive_run should be called not later than at AT (ms, monotonic).
int alive_new(struct op_env *env, void (*wake)(void *data, uint64_t at), void *data, struct alive **ret);
void alive_free(struct alive *a);

// Something about this region changed: it becomes an orphan, or ceases to be one.
void alive_consider(struct alive *a, struct region *r);
// Probes what is due.
void alive_run(struct alive *a, uint64_t now);
