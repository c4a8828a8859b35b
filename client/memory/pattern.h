// How a region larger than memory is read: at scattered places, or in runs.  See the essay in pattern.c.  Sizes are
// bytes.
#pragma once
#include "client/memory/evidence.h"

// NULL: no memory.  Not from malloc.
struct pattern *pattern_new(void);
void pattern_free(struct pattern *p);

// Begins anew, with parts of this size.
void pattern_reset(struct pattern *p, uint64_t part_size);
// Looks at the region, and judges each part.  REGULAR: the last look was not long ago; otherwise this look only notes
// what is in memory.  True: there is a verdict other than unknown.
bool pattern_look(struct pattern *p, const struct pattern_region *r, bool regular);
