// Gives back what a closed region had, beside the program.  See the essay in dispose.c.
#pragma once
#include <stdbool.h>

#include "client/background.h"

struct mapping;

// Unmaps.  BACKGROUND may be NULL: at once.
void dispose(struct background *background, const struct mapping *mapping);
// Waits for what is under way.  False: there was nothing.
bool dispose_await(struct background *background);
