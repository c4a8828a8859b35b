// How much a vector asks for when it grows.  Pure.
#pragma once
#include <stdint.h>

// What a client's next vector begins with follows what the last ones came to.
#define GROWTH_FIRST_LEAST ((uint64_t)64 << 10)
#define GROWTH_FIRST_MOST ((uint64_t)2 << 20)
// FIRST, and what it becomes when a vector has come to NEEDED bytes; when one that began with BEGAN has ended with USED.
uint64_t growth_first_after_need(uint64_t first, uint64_t needed);
uint64_t growth_first_after_end(uint64_t first, uint64_t began, uint64_t used);

// The next size in bytes for one of SIZE bytes that needs NEEDED > SIZE, and may have MOST >= NEEDED.
uint64_t growth_next(uint64_t size, uint64_t needed, uint64_t most);
// The size to ask for early, by one of SIZE bytes that is filled up to END: 0: not yet.
uint64_t growth_early(uint64_t size, uint64_t end, uint64_t most);
// What to ask for when that was refused and LEFT more bytes are said to be there; NEEDED if that is all that makes sense.
uint64_t growth_fallback(uint64_t size, uint64_t needed, uint64_t most, uint64_t left);
// When REFUSED was refused: NEEDED and half of what was asked for beyond it.
uint64_t growth_halfway(uint64_t needed, uint64_t refused);
