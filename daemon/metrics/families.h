// The metrics themselves: diskalloc-metrics(7) describes each of them.
#pragma once
#include <stddef.h>

struct exposition;

void families_write(struct exposition *e); // all of them
// Writes those that everybody may see, from the one with the number FIRST on: as many as have MOST bytes together, and
// at least one.  Returns the number of the next one; 0: these were the last, and the end is written, beyond MOST.
size_t families_write_part(struct exposition *e, size_t first, size_t most);
