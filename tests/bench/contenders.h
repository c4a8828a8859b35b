// All contenders that this build has.  CMake leaves out those whose packages are missing.
#pragma once
#include "tests/bench/bench.h"

extern const struct contender *const contenders[];
extern const size_t n_contenders;
const struct contender *contender_find(const char *name); // or NULL
