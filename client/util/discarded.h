// The set of a region's discarded parts.  A change is computed first (discarded_with, discarded_without), then
// carried out by the backend, and then made true or dropped (discarded_replace).  So running out of memory can't
// leave a set that is wrong.
#pragma once
#include "proto/util/ranges.h"

// As ranges_add, with the reason noted.  -EPROTO: the range has no end.
int discarded_add(struct ranges *r, uint64_t offset, uint64_t length);

// Sets *RET, which is empty, to NOW with, or without, a part.  0; or -errno with the reason noted.
int discarded_with(const struct ranges *now, uint64_t offset, uint64_t length, struct ranges *ret);
int discarded_without(const struct ranges *now, uint64_t offset, uint64_t length, struct ranges *ret);
// If RESULT is 0, NEXT takes the place of NOW; the other one of the two is freed.
void discarded_replace(struct ranges *now, struct ranges *next, int result);
