// A set of byte ranges.  Daemon and client keep in such a set which parts of a region are discarded.  The ranges are
// sorted, none is empty, and there is a gap between any two.  Pure.
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { RANGES_MAX = 4096 }; // ranges of one set

struct range {
    uint64_t offset, length; // bytes
};

struct ranges {
    struct range *items;
    size_t n, n_allocated; // ranges
    uint64_t sum;          // bytes in all ranges
};

void ranges_deinit(struct ranges *r);
// A copy into RET, which is overwritten: 0 or -ENOMEM, and then RET is empty.
int ranges_copy(const struct ranges *from, struct ranges *ret);
// Adds or removes the bytes from OFFSET to OFFSET + LENGTH, which must not wrap.
// 0; -EMFILE: the set would have more than RANGES_MAX ranges; -ENOMEM.  On failure the set is unchanged.
int ranges_add(struct ranges *r, uint64_t offset, uint64_t length);
int ranges_remove(struct ranges *r, uint64_t offset, uint64_t length);
// Removes all bytes from SIZE on.
void ranges_cut(struct ranges *r, uint64_t size);
// The number of bytes from OFFSET to OFFSET + LENGTH that are in the set.
uint64_t ranges_overlap(const struct ranges *r, uint64_t offset, uint64_t length);
// The index of the first range that ends behind OFFSET; r->n if there is none.
size_t ranges_find(const struct ranges *r, uint64_t offset);
