// libbsd's red-black trees, with functions that are static to the file that generates them.
#pragma once
#include <bsd/sys/tree.h>

// Like RB_GENERATE_STATIC.  libbsd's macro uses __unused, which glibc does not define.
#define TREE_GENERATE(name, type, field, compare) \
    RB_GENERATE_INTERNAL(name, type, field, compare, __attribute__((unused)) static)
