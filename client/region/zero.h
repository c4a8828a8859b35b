// Making bytes zero that others may have written to.
#pragma once
#include <stdint.h>

#include "client/region/region.h"

// Of an accessible part of R, which had SIZE_BEFORE bytes before it was grown.  What is known to be zero is not touched: a page
// that is not touched costs neither memory nor time.
void zero_bytes(struct diskalloc_region *r, uint64_t from, uint64_t to, uint64_t size_before);
