// std::sort, for contenders that are written in C.
#include <algorithm>

#include "tests/bench/bench.h"

void bench_std_sort(uint64_t *numbers, size_t n)
{
    std::sort(numbers, numbers + n);
}
