// Addresses at which the bytes of regions are mapped once more: for blocks that have grown, and for memory of mmap.
//
// With the lock of the blocks (blocks.c).
#pragma once
#include <stdint.h>

// LENGTH bytes of addresses for the caller, from a multiple of 2 MiB on; MAP_FAILED: there are none.
void *addresses_reserve(uint64_t length);
// Addresses for a block of LENGTH bytes, with room behind it: *RET_RESERVE bytes of them in all.  They are the
// library's, so that free() knows them.  0 or -ENOMEM.
int addresses_take(uint64_t length, uintptr_t *ret, uint64_t *ret_reserve);
// The block that had RESERVE bytes from AT on has gone; 0: it had none.
void addresses_release(uintptr_t at, uint64_t reserve);
