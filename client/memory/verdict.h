// Whether the parts of a region should change the way in which they are read.
#pragma once
#include "client/memory/evidence.h"

// Writes the verdicts.  True: one of them is not unknown.
bool pattern_judge(struct pattern *p, const struct pattern_region *r);
