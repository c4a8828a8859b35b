// How much a vector asks for when it grows.  Pure.
#pragma once
#include <stdint.h>

#define GROWTH_FIRST ((uint64_t)256 << 10) // bytes that a vector begins with

// The next size in bytes for one of SIZE bytes that needs NEEDED > SIZE, and may have MOST >= NEEDED.
uint64_t growth_next(uint64_t size, uint64_t needed, uint64_t most);
// The size to ask for early, by one of SIZE bytes that is filled up to END: 0: not yet.
uint64_t growth_early(uint64_t size, uint64_t end, uint64_t most);
// What to ask for when that was refused and LEFT more bytes are said to be there; NEEDED if that is all that makes sense.
uint64_t growth_fallback(uint64_t size, uint64_t needed, uint64_t most, uint64_t left);
// When REFUSED was refused: NEEDED and half of what was asked for beyond it.
uint64_t growth_halfway(uint64_t needed, uint64_t refused);
