// Gives back what a closed region had, beside the program.  See the essay in dispose.c.
#pragma once
#include <stdbool.h>
#include <stdint.h>

#include "client/util/background.h"

struct mapping;

// Unmaps.  BACKGROUND may be NULL: at once.
void dispose(struct background *background, const struct mapping *mapping);
// Waits for what is under way.  Whether anything was given back since SINCE was told.  BACKGROUND may be NULL.
uint64_t dispose_mark(struct background *background);
bool dispose_await(struct background *background, uint64_t since);
