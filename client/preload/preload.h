// The library that `diskallocctl run` puts into a program: its settings, and what it counts.
#pragma once
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>

#include "client/preload/settings.h"

// Of this process, from its environment; constant once the program runs.
extern struct settings preload_settings;

// Blocks of that size and more are no business of the allocator behind: 0 with `all`, SIZE_MAX before the settings are
// read.
extern size_t preload_from;

// A block of SIZE bytes was refused, and WHY.  True: it comes from the allocator behind; false: the call fails.
bool preload_refused(size_t size, const char *why);
