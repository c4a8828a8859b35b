// The bytes of a range, in address order, and what each of them is.  Pure.
//
// The extents cover the range without gaps, and two neighbours differ in their state: what is given back becomes one
// with the free bytes around it.  A search finds the lowest place, so that free bytes gather at the end.
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum extent_state {
    EXTENT_BLANK, // free: zeros as soon as the region grants it
    EXTENT_DIRTY, // free, and granted: it has what an earlier block left there
    EXTENT_HELD,  // granted, and of no block; but a forked child may read it
    EXTENT_USED,  // of a block
    EXTENT_STATE_N,
};

struct extent {
    uint64_t offset, length; // bytes
    enum extent_state state;
};

struct extents {
    struct extent *items; // owned; sorted
    size_t n, n_allocated;
    uint64_t bytes[EXTENT_STATE_N]; // bytes in each state
};

// LENGTH blank bytes.  0 or -ENOMEM.
int extents_init(struct extents *e, uint64_t length);
void extents_deinit(struct extents *e);
// The index of the extent that OFFSET is in; OFFSET is less than the length of the range.
size_t extents_at(const struct extents *e, uint64_t offset);
// The bytes from OFFSET to OFFSET + LENGTH, which are in the range, get STATE; LENGTH may be 0.  0; -ENOMEM: nothing
// has changed.
int extents_set(struct extents *e, uint64_t offset, uint64_t length, enum extent_state state);
// The lowest offset of LENGTH bytes (at least 1) whose states are all in STATES, an or of 1 << enum extent_state.  The
// range begins at the address BASE, and the address of the bytes is a multiple of ALIGN, a power of two.  False: there
// is none.
bool extents_find(const struct extents *e, uint64_t length, uint64_t base, uint64_t align, unsigned states,
                  uint64_t *ret);
// Whether the bytes from OFFSET to OFFSET + LENGTH are in the range, and their states all in STATES.
bool extents_are(const struct extents *e, uint64_t offset, uint64_t length, unsigned states);
