// Gives the memory of a closed region back, beside the program.  See the essay in dispose.c.  BACKGROUND may be NULL:
// then nothing is done beside the program.
#pragma once
#include <stdbool.h>
#include <stdint.h>

#include "client/util/background.h"

struct mapping;

// Unmaps MAPPING, at once or on the thread.
void dispose(struct background *background, const struct mapping *mapping);
// dispose_await waits until the thread has given everything back, and returns true if anything was given back since
// dispose_mark returned SINCE.
uint64_t dispose_mark(struct background *background);
bool dispose_await(struct background *background, uint64_t since);
