#include "proto/util/clock.h"

#include <time.h>

uint64_t clock_now(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000;
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
