// Address space: how much of it a region gets, and how much the library holds.  Pure but for one counter; any thread.
#pragma once
#include <stdbool.h>
#include <stdint.h>

#define RESERVATION_ALIGN ((uint64_t)2 << 20)

// What a region gets that asked for nothing in particular when HELD bytes are taken.  0: nothing is left.
uint64_t reservation_default(uint64_t held);
// The next smaller one to try after the kernel refused RESERVE; 0: there is none that holds NEEDED bytes.
uint64_t reservation_smaller(uint64_t reserve, uint64_t needed);

// Takes and gives back.  False when the library would hold more than its share.
bool reservation_take(uint64_t bytes);
void reservation_release(uint64_t bytes);
uint64_t reservation_held(void);
