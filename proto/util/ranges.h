// A set of byte ranges: sorted, apart from each other, none empty.  Of a region: what is discarded.  Pure.
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { RANGES_MAX = 4096 }; // of one set

struct range {
    uint64_t offset, length;
};

struct ranges {
    struct range *items;
    size_t n, n_allocated;
    uint64_t sum; // of all lengths
};

void ranges_deinit(struct ranges *r);
// A copy into RET, which is overwritten: 0 or -ENOMEM, and then RET is empty.
int ranges_copy(const struct ranges *from, struct ranges *ret);
// Adds, or takes away, what lies between OFFSET and OFFSET + LENGTH (which must not wrap).
// 0; -EMFILE: it would be in more than RANGES_MAX pieces; -ENOMEM; on failure nothing has changed.
int ranges_add(struct ranges *r, uint64_t offset, uint64_t length);
int ranges_remove(struct ranges *r, uint64_t offset, uint64_t length);
// Drops all from SIZE on.
void ranges_cut(struct ranges *r, uint64_t size);
// How many bytes between OFFSET and OFFSET + LENGTH are in the set.
uint64_t ranges_overlap(const struct ranges *r, uint64_t offset, uint64_t length);
// Index of the first range that ends behind OFFSET; r->n: none.
size_t ranges_find(const struct ranges *r, uint64_t offset);
