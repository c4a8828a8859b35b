// The metrics themselves: diskalloc-metrics(7) describes each of them.
#pragma once
#include <stdbool.h>

struct exposition;

// Writes all families; or, unless FOR_ADMINS, those that everybody may see.
void families_write(struct exposition *e, bool for_admins);
