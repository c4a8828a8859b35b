// Options that callers pass, checked and completed by the defaults.
#pragma once
#include <diskalloc/client.h>

// OPTIONS may be NULL, or of an older or newer version of the public header.  0; or -EINVAL with the reason noted.
int options_check(const struct diskalloc_options *options, struct diskalloc_options *ret);
int options_check_region(const struct diskalloc_region_options *o, uint32_t allowed_flags,
                         struct diskalloc_region_options *ret);
