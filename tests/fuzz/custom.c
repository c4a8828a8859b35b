// The functions by which libFuzzer mutates the inputs of a target.  MUTATE and TYPE are the target's, see
// CMakeLists.txt; with CROSS the inputs are conversations, and two can be made one.
#include "proto/diskalloc.pb-c.h"
#include "tests/fuzz/mutate.h"

size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t n, size_t max, unsigned seed);
size_t LLVMFuzzerCustomCrossOver(const uint8_t *a, size_t n_a, const uint8_t *b, size_t n_b, uint8_t *ret, size_t max,
                                 unsigned seed);

size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t n, size_t max, unsigned seed)
{
    return MUTATE(&TYPE, data, n, max, seed);
}

#ifdef CROSS
size_t LLVMFuzzerCustomCrossOver(const uint8_t *a, size_t n_a, const uint8_t *b, size_t n_b, uint8_t *ret, size_t max,
                                 unsigned seed)
{
    return CROSS(a, n_a, b, n_b, ret, max, seed);
}
#endif
