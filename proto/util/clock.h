// Deadlines, in milliseconds of CLOCK_MONOTONIC.  UINT64_MAX: never.
#pragma once
#include <stdint.h>

uint64_t clock_now(void);
uint64_t clock_after(int64_t timeout_ms); // negative: never
uint64_t clock_left(uint64_t deadline);   // UINT64_MAX: for ever
