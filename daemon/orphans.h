// Regions that nobody has attached and nothing keeps: when does nobody map them any more?  See the essay in orphans.c.
#pragma once
#include <stdint.h>

#include "daemon/op/op.h"

struct orphans;

// WAKE is called whenever orphans_run should be called not later than at AT (ms, monotonic).
int orphans_new(struct op_env *env, void (*wake)(void *data, uint64_t at), void *data, struct orphans **ret);
void orphans_free(struct orphans *a);

// Something about this region changed: it becomes an orphan, or ceases to be one.
void orphans_consider(struct orphans *a, struct region *r);
// Probes what is due.
void orphans_run(struct orphans *a, uint64_t now);
