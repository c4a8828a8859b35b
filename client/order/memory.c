// The limits that a sort keeps: see memory.h.
#include "client/order/memory.h"

#include <sched.h>

#include "client/memory/pressure.h"
#include "client/memory/proctext.h"
#include "proto/util/checked.h"

#define KIB ((uint64_t)1 << 10)

// Dirty pages count as available: they can be written.
static uint64_t available_in_machine(const char *root)
{
    char text[PROCTEXT_MAX];
    uint64_t kib;

    if (!proctext_read(text, root, "/proc/meminfo") || !proctext_number(text, "MemAvailable:", &kib) ||
        kib > UINT64_MAX / KIB)
        return UINT64_MAX;
    return kib * KIB;
}

uint64_t order_memory(const char *root)
{
    struct pressure pressure;
    struct pressure_state state;

    pressure_init(&pressure, root);
    pressure_look(&pressure, &state);
    pressure_deinit(&pressure);
    return u64_min(state.most, available_in_machine(root ? root : ""));
}

size_t order_processors(size_t most)
{
    cpu_set_t set;
    int n = sched_getaffinity(0, sizeof(set), &set) == 0 ? CPU_COUNT(&set) : 1;

    return (size_t)n < most ? (size_t)n : most;
}
