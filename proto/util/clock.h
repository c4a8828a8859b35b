// The clock of daemon and client: CLOCK_MONOTONIC, which does not jump when somebody sets the time.
//
// A time is a number of milliseconds since some moment before the program began.  A deadline is such a time too, and
// UINT64_MAX stands for "never".
#pragma once
#include <stdint.h>
#include <time.h>

uint64_t clock_now(void);
// The same clock in microseconds.
uint64_t clock_now_us(void);
// The deadline TIMEOUT_MS from now.  A negative timeout means never.
uint64_t clock_after(int64_t timeout_ms);
// Milliseconds from now until DEADLINE: 0 when it has passed, UINT64_MAX when it is never.
uint64_t clock_left(uint64_t deadline);
// DEADLINE (which must not be "never") as pthread_cond_clockwait(3) with CLOCK_MONOTONIC takes it.
struct timespec clock_timespec(uint64_t deadline);
