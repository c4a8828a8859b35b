// Times and deadlines: see clock.h.
#include "proto/util/clock.h"

uint64_t clock_now_us(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000 + (uint64_t)t.tv_nsec / 1000;
}

uint64_t clock_now(void)
{
    return clock_now_us() / 1000;
}

uint64_t clock_after(int64_t timeout_ms)
{
    return timeout_ms < 0 ? UINT64_MAX : clock_now() + (uint64_t)timeout_ms;
}

uint64_t clock_left(uint64_t deadline)
{
    uint64_t now = clock_now();

    return deadline == UINT64_MAX ? UINT64_MAX : deadline > now ? deadline - now : 0;
}

struct timespec clock_timespec(uint64_t deadline)
{
    return (struct timespec){.tv_sec = (time_t)(deadline / 1000), .tv_nsec = (long)(deadline % 1000) * 1000000};
}
