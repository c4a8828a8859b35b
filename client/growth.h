// How much a vector asks for when it grows.  Pure functions; sizes are bytes.
#pragma once
#include <stdbool.h>
#include <stdint.h>

// The first size of a client's next vector follows the sizes that its last vectors reached.
#define GROWTH_FIRST_LEAST ((uint64_t)64 << 10)
#define GROWTH_FIRST_MOST ((uint64_t)2 << 20)
// The new first size: after a vector has grown to NEEDED bytes; after a vector that began with BEGAN bytes has ended
// with USED bytes.
uint64_t growth_first_after_need(uint64_t first, uint64_t needed);
uint64_t growth_first_after_end(uint64_t first, uint64_t began, uint64_t used);

// Whether a vector that begins with SIZE bytes is likely to end there: the last ones did.
bool growth_is_learned(uint64_t size);

// The next size of a vector of SIZE bytes that needs NEEDED > SIZE bytes, and may have MOST >= NEEDED.
uint64_t growth_next(uint64_t size, uint64_t needed, uint64_t most);
// The size that a vector of SIZE bytes, filled up to END, should ask for early; 0: it is not time yet.
uint64_t growth_early(uint64_t size, uint64_t end, uint64_t most);
// The size to ask for after a refusal, when LEFT more bytes are said to be free; at least NEEDED.
uint64_t growth_fallback(uint64_t size, uint64_t needed, uint64_t most, uint64_t left);
// The size to ask for after REFUSED was refused: half way from NEEDED to REFUSED.
uint64_t growth_halfway(uint64_t needed, uint64_t refused);
