// The places of a region that pattern.c looks at: in each part as many windows, of PATTERN_WINDOW pages each.  Sizes
// are bytes.
#pragma once
#include "client/memory/evidence.h"

// The size of a part in a region of SIZE bytes.
uint64_t windows_part_size(uint64_t size);
// Where the window PLACE lies, from the beginning of its part: all over the part while pages are SINGLE, and in one
// unit each while they are large.
uint64_t windows_place(const struct pattern *p, unsigned place, bool single);
bool windows_is_used(const struct pattern *p, unsigned place, bool single); // small parts have fewer, of large pages
// While pages are large: the two units before PLACE and the two behind it are looked at too.
bool windows_has_neighbours(const struct pattern *p, unsigned place);
