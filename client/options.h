// What callers pass as options, checked and filled up.
#pragma once
#include <diskalloc/client.h>

// OPTIONS may be NULL or of another version of the header.  0 or -EINVAL, with the reason noted.
int options_check(const struct diskalloc_options *options, struct diskalloc_options *ret);
int options_check_region(const struct diskalloc_region_options *o, uint32_t allowed_flags,
                         struct diskalloc_region_options *ret);
