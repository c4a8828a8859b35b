// The set of what is discarded of a region, changed only once the change is a fact.
#pragma once
#include "proto/util/ranges.h"

// As ranges_add, with the reason noted; -EPROTO: the range wraps.
int discarded_add(struct ranges *r, uint64_t offset, uint64_t length);

// What NOW would be with, or without, a part: into RET, which is empty.  0, or an errno with the reason noted.
int discarded_with(const struct ranges *now, uint64_t offset, uint64_t length, struct ranges *ret);
int discarded_without(const struct ranges *now, uint64_t offset, uint64_t length, struct ranges *ret);
// NEXT takes NOW's place if RESULT is 0; the other is freed.
void discarded_replace(struct ranges *now, struct ranges *next, int result);
