// libbsd's red-black trees, with functions that are static to the file that generates them.
#pragma once
#include <bsd/sys/tree.h>

// Like RB_GENERATE_STATIC.  libbsd's macro uses __unused, which glibc does not define.
//
// Clang's analyzer follows a bounded number of steps through a function, and libbsd's rebalancing uses them up.  For
// this analyzer the functions are declared only: their callers are followed to the end.  GCC's analyzer has them.
#ifndef __clang_analyzer__
#define TREE_GENERATE(name, type, field, compare) \
    RB_GENERATE_INTERNAL(name, type, field, compare, __attribute__((unused)) static)
#else
#define TREE_GENERATE(name, type, field, compare)       \
    RB_PROTOTYPE_INTERNAL(name, type, field, compare, ) \
    __attribute__((unused)) static __typeof__(&(compare)) const name##_compare = compare;
#endif
