// libbsd's red-black trees, generated for one file.
#pragma once
#include <bsd/sys/tree.h>

// RB_GENERATE_STATIC as it is meant: libbsd's own wants a __unused that glibc lacks.
#define TREE_GENERATE(name, type, field, compare) \
    RB_GENERATE_INTERNAL(name, type, field, compare, __attribute__((unused)) static)
