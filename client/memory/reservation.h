// Address space: how much of it a region gets, and how much the library holds.  One atomic counter, otherwise pure;
// any thread.  Sizes are bytes.
#pragma once
#include <stdbool.h>
#include <stdint.h>

#define RESERVATION_ALIGN ((uint64_t)2 << 20)

// The default for a region, when the library holds HELD bytes already.  0: nothing is left.
uint64_t reservation_default(uint64_t held);
// For a region of SIZE bytes that may grow, where USUAL is the usual reservation: twice the size, if that is more.
uint64_t reservation_for(uint64_t usual, uint64_t size);
// The next smaller reservation to try after the kernel refused RESERVE; the last one is NEEDED bytes.  0: there is
// none.
uint64_t reservation_smaller(uint64_t reserve, uint64_t needed);

// Count what is taken and given back.  False: the library would hold more than its share.
bool reservation_take(uint64_t bytes);
void reservation_release(uint64_t bytes);
uint64_t reservation_held(void);
