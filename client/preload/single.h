// Which parts of the regions are read by single pages at the moment, as the client library has decided.  They are units
// of 2 MiB; REGION is an index of disk.regions.  With the lock of the blocks (blocks.c).
#pragma once
#include <stdbool.h>
#include <stdint.h>

// For the units that begin within LENGTH bytes from OFFSET on.
void single_set(unsigned region, uint64_t offset, uint64_t length, bool single);
// Whether most of these bytes are read so.
bool single_is(unsigned region, uint64_t offset, uint64_t length);
