// The queue of orphans: regions without a name that nobody has attached.  See the essay in orphans.c.
#pragma once
#include <stdint.h>

struct orphans;
struct region;
struct region_table;

// WAKE(DATA, AT) asks the caller to call orphans_take_due not later than at AT (ms, monotonic).  0 or -ENOMEM.
int orphans_new(struct region_table *regions, void (*wake)(void *data, uint64_t at), void *data, struct orphans **ret);
void orphans_free(struct orphans *o);

// Queues R if it is an orphan and no operation is at work on it; takes R out if it is no orphan any more.  Must be
// called after each change of R's attachments, name or state, and when its queue of operations has become empty.
void orphans_consider(struct orphans *o, struct region *r);
// Takes the next region that is due at NOW out of the queue: the caller probes it, and then calls orphans_probed.
// NULL: no region is due, or enough probes are running; the queue has asked to be woken for the next one.
struct region *orphans_take_due(struct orphans *o, uint64_t now);
// The probe of R has ended.  If R exists and is an orphan still, orphans_consider puts it back, with a longer delay.
void orphans_probed(struct orphans *o, struct region *r);
